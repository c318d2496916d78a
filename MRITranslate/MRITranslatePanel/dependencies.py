"""Python packages that the worker needs in Slicer's own Python: looked for, never imported. `installing` installs them.

torch comes with the tool of the PyTorch extension, which picks the build for the computer's GPU; the others come from
Resources/requirements.txt. numpy, SimpleITK and vtk are Slicer's own and are held at their versions.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import tempfile
import typing

from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError

TORCH_LEAST = "2.6"
MODULES = {
    "monai": "monai",
    "pytorch_grad_cam": "grad-cam",
    "safetensors": "safetensors",
    "transformers": "transformers",
    "pydantic": "pydantic",
}
"""Name for `import` -> name for pip."""
KEPT = ("numpy", "SimpleITK", "vtk")
"""Slicer's own packages; each has one name for both."""
REQUIREMENTS = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Resources", "requirements.txt"
)
LIGHT_THE_TORCH = "light-the-torch>=0.5"
"""The tool of the PyTorch extension that finds the build of torch for the computer's driver."""


class Lack(typing.NamedTuple):
    """A package that is not there, or not as new as it must be.

    Attributes:
        package: Name for pip.
        module: Name for `import`.
        least: Lowest version that will do.
        installed: Version that is there, "" for none.
    """

    package: str
    module: str
    least: str
    installed: str

    def words(self) -> str:
        if self.installed:
            return _("{package} {least} (instead of {installed})").format(**self._asdict())
        return _("{package} {least}").format(**self._asdict())


def wanted() -> dict[str, str]:
    """Lowest version of each package, by its name for pip; torch comes first."""
    with open(REQUIREMENTS, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    pairs = [line.split(">=") for line in lines if line and not line.startswith("#")]
    return {"torch": TORCH_LEAST, **{name.strip(): least.strip() for name, least in pairs}}


def lacking() -> list[Lack]:
    """The packages that are absent, left half-installed or too old; torch comes first. Looks, but imports nothing."""
    least = wanted()
    lacks = []
    for module, package in {"torch": "torch", **MODULES}.items():
        installed = _version(module, package)
        if _numbers(installed) < _numbers(least[package]):
            lacks.append(Lack(package, module, least[package], installed))
    return lacks


def missing() -> list[str]:
    """Names (for pip) of the packages that are `lacking`."""
    return [lack.package for lack in lacking()]


def check() -> None:
    """For scripts, which are not asked.

    Raises:
        InputError: Packages are lacking; it says how to install them.
    """
    lacks = lacking()
    if lacks:
        raise InputError(
            _(
                "MRITranslate needs the Python packages {names}; install them with "
                "MRITranslateLogic().installDependencies(), or press Run in the panel and agree."
            ).format(names=", ".join(lack.words() for lack in lacks))
        )


def steps(lacks: list[Lack], constraints: str) -> list[list[str]]:
    """What Slicer's Python is to be started with, one after the other, to install what is lacking.

    Args:
        constraints: Path of the file that `constraintsFile` wrote.

    Raises:
        InputError: torch is lacking, and so is the PyTorch extension.
    """
    pip = ["-m", "pip", "install", "-c", constraints]
    found = []
    if any(lack.package == "torch" for lack in lacks):
        arguments = _torchArguments()
        if _version("light_the_torch", "light-the-torch") == "":
            found.append([*pip, LIGHT_THE_TORCH])
        found.append(["-m", "light_the_torch", *arguments, "-c", constraints])
    if any(lack.package != "torch" for lack in lacks):
        found.append([*pip, "-r", REQUIREMENTS])
    return found


def _torchArguments() -> list[str]:
    """What the PyTorch extension would give its tool.

    Its own `installTorch` is not called: it holds Slicer up while gigabytes are downloaded, cannot be cancelled, and
    then loads torch into Slicer, which is needed in the worker only.
    """
    if importlib.util.find_spec("PyTorchUtils") is None:
        raise InputError(
            _("MRITranslate needs the PyTorch extension; install it in the Extensions Manager and restart Slicer.")
        )
    from PyTorchUtils import PyTorchUtilsLogic

    try:
        return list(PyTorchUtilsLogic._getPipInstallArguments(torchVersionRequirement=f">={TORCH_LEAST}"))
    except (AttributeError, TypeError) as error:  # of another version of the extension
        raise InputError(
            _("Install PyTorch {least} or newer in the module PyTorch Utils, then press Run again.").format(
                least=TORCH_LEAST
            )
        ) from error


def constraintsFile() -> str:
    """Path of a new pip constraints file that keeps Slicer's own packages as they are; the caller deletes it."""
    handle, path = tempfile.mkstemp(prefix="MRITranslate-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        for name in KEPT:
            version = _version(name, name)
            if version:
                file.write(f"{name}=={version}\n")
            elif importlib.util.find_spec(name) is not None:  # built into Slicer, unknown to pip: never to be added
                file.write(f"{name}<0\n")
    return path


def replacedWhileLoaded(lacks: list[Lack]) -> list[str]:
    """Of packages that were lacking before an installation those whose old version Slicer still has in memory."""
    return [lack.package for lack in lacks if lack.module in sys.modules]


def _version(module: str, package: str) -> str:
    """The version that is installed, "" if none is, or no whole one."""
    try:
        return "" if importlib.util.find_spec(module) is None else importlib.metadata.version(package) or ""
    except (importlib.metadata.PackageNotFoundError, KeyError, ValueError):  # metadata that was cut short, a stand-in
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    """2.6.0+cu124 -> (2, 6); nothing is below everything."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in release.group().split(".")] if release else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
