"""Python packages that the worker needs in Slicer's own Python: looked for, never imported, installed with consent.

torch comes through the PyTorch extension, which picks the build for the computer's GPU; the others from
Resources/requirements.txt. numpy, SimpleITK and vtk are Slicer's own and are held at their versions.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import tempfile

import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError

TORCH_REQUIREMENT = ">=2.6"
MODULES = {
    "monai": "monai",
    "pytorch_grad_cam": "grad-cam",
    "safetensors": "safetensors",
    "transformers": "transformers",
    "pydantic": "pydantic",
}
"""Name for `import` -> name for pip."""
KEPT = ("numpy", "SimpleITK", "vtk")
REQUIREMENTS = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Resources", "requirements.txt"
)


def missing() -> list[str]:
    """Names (for pip) of the packages that are not installed; torch comes first. Looks, but imports nothing."""
    names = {"torch": "torch", **MODULES}
    return [package for module, package in names.items() if importlib.util.find_spec(module) is None]


def ensure() -> None:
    """Install what is missing, after asking. Quick when nothing is.

    Raises:
        InputError: Something is still missing, because the answer was no or the installation failed.
    """
    absent = missing()
    if not absent:
        return
    if absent[0] == "torch":
        _installTorch()
    if missing():
        _installRest()
    importlib.invalidate_caches()
    absent = missing()
    if absent:
        raise InputError(
            _("MRITranslate needs the Python packages {names}; press Run again and agree to installing them.").format(
                names=", ".join(absent)
            )
        )


def _installTorch() -> None:
    if importlib.util.find_spec("PyTorchUtils") is None:
        raise InputError(
            _("MRITranslate needs the PyTorch extension; install it in the Extensions Manager and restart Slicer.")
        )
    import PyTorchUtils

    torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
        askConfirmation=True, torchVersionRequirement=TORCH_REQUIREMENT
    )
    if torch is None:
        raise InputError(_("MRITranslate needs PyTorch; press Run again and agree to installing it."))


def _installRest() -> None:
    constraints = _constraintsFile()
    try:
        if importlib.util.find_spec("slicer.packaging") is not None:  # Slicer 5.11 and newer
            packaging = importlib.import_module("slicer.packaging")
            requirements = packaging.load_requirements(REQUIREMENTS)
            packaging.pip_ensure(requirements, constraints=constraints, requester="MRITranslate")
            return
        question = _(
            "MRITranslate needs these Python packages:\n\n{names}\n\nInstall them into Slicer now? "
            "This takes a few minutes and needs a network."
        ).format(names="\n".join(missing()))
        if slicer.util.confirmOkCancelDisplay(question, _("MRITranslate")):
            slicer.util.pip_install(["-c", constraints, "-r", REQUIREMENTS])
    except Exception as error:  # pip and Slicer's dialogs fail in many ways; `ensure` looks at what is there now
        raise InputError(
            _("The Python packages were not installed ({reason}); press Run to try again.").format(reason=error)
        ) from error
    finally:
        os.unlink(constraints)


def _constraintsFile() -> str:
    """A pip constraints file that keeps Slicer's own packages as they are."""
    handle, path = tempfile.mkstemp(prefix="MRITranslate-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        for name in KEPT:
            try:
                file.write(f"{name}=={importlib.metadata.version(name)}\n")
            except importlib.metadata.PackageNotFoundError:  # compiled into Slicer, unknown to pip
                continue
    return path
