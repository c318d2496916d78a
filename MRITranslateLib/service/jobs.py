"""What the worker can do: one function a method, from checked parameters to the protocol's result.

Everything heavy is imported inside the functions: the worker must be ready before torch is.
"""

from __future__ import annotations

import math
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ..errors import Cancelled, InputError, OutOfMemory
from . import modeljobs
from .messages import ProtocolError
from .volumes import remove_array

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..compare import Comparison
    from ..explain import Beside
    from ..faithfulness import Faithfulness
    from ..generate import Generated
    from ..levels import Levels, Segments
    from ..package import Package
    from ..radiograph import Radiograph
    from ..slicewise import SliceTranslator
    from ..targets import Target
    from ..words import Words

Progress = Callable[[float, str, int, int], None]
Cancel = Callable[[], bool]

#: Packages kept in memory; the least recently used goes first. Built-in ones take about 16 MiB each.
WARM_PACKAGES = 4


class Jobs:
    """The methods of the protocol on one exchange folder, with the packages used last kept warm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sent: list[dict[str, Any]] = []  # the volumes of the request under way
        self._packages: OrderedDict[Path, Package] = OrderedDict()
        self._sliced: tuple[tuple[str, str, str], SliceTranslator] | None = None  # by array, model and device
        self._methods: dict[str, Callable[[Mapping[str, Any], Progress, Cancel], dict[str, Any]]] = {
            "translate": self._translate,
            "translate_slice": self._translate_slice,
            "explain": self._explain,
            "check": self._check,
            "generate": self._generate,
            "radiograph": self._radiograph,
            "words": self._words,
            "evaluate": self._evaluate,
            "compare": self._compare,
            "report": self._report,
            "phantom": self._phantom,
            "export_dicom": self._export_dicom,
            "devices": self._devices,
            **modeljobs.METHODS,
        }

    def run(self, method: str, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        """The result of one request. Raises InputError, Cancelled, MemoryError, or whatever went wrong inside."""
        self._sent = []
        if self._sliced is not None and not (self.folder / self._sliced[0][0]).exists():
            self._sliced = None  # nobody will ask for another slice of it
        result = self._methods[method](params, progress, cancel)
        if cancel():
            raise Cancelled
        return result

    def take_back(self) -> None:
        """Delete the arrays of the last request, which has not ended with its result: nobody else knows of them."""
        for volume in self._sent:
            remove_array(self.folder, volume)

    def _translate(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        progress(0.0, "Loading the model", 0, 1)
        image = self._receive(params["image"])
        mask = self._receive(params.get("mask"))
        package = self._package(params["model"])
        from ..translate import translate

        made = translate(
            image,
            package,
            device=params.get("device", "auto"),
            mask=mask,
            uncertainty=self._uncertainty(params),
            cycle=self._cycle(params.get("cycle")),
            progress=progress,
            cancel=cancel,
        )
        return {
            "image": self._send(made.image),
            "modality": package.translation_card().target,
            "warnings": list(made.warnings),
            "provenance": dict(made.provenance),
            "uncertainty": self._send(made.uncertainty),
            "cycle": self._send(made.cycle),
        }

    def _translate_slice(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        progress(0.0, "Preparing the volume", 0, 1)
        key = (params["image"]["array"], params["model"], params.get("device", "auto"))
        if self._sliced is None or self._sliced[0] != key:
            from ..slicewise import SliceTranslator

            self._sliced = None  # two would take twice the memory
            made = SliceTranslator(self._receive(params["image"]), self._package(params["model"]), key[2])
            self._sliced = key, made
        made = self._sliced[1]
        image = made(params["index"], cancel)
        return {
            "image": self._send(image),
            "modality": made.package.translation_card().target,
            "warnings": list(made.warnings),
            "provenance": made.provenance(),
        }

    def _uncertainty(self, params: Mapping[str, Any]) -> bool | str | list[Package]:
        others = [self._package(model) for model in params.get("ensemble", [])]
        asked = params.get("uncertainty")
        return others or asked == "auto" or asked or False

    def _cycle(self, model: str | None) -> bool | Package:
        return False if model is None else model == "auto" or self._package(model)

    def _explain(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        progress(0.0, "Loading the model", 0, 1)
        image = self._receive(params["image"])
        target = self._target(params["target"], image)
        package = self._package(params["model"])
        from ..explain import explain
        from ..levels import share_sentence

        made = explain(
            image,
            package,
            target,
            method=params.get("method", "gradcam"),
            layer=_layers(params.get("layer")),
            device=params.get("device", "auto"),
            levels=_levels(params.get("levels", {})),
            segments=self._segments(params.get("segments")),
            check=params.get("check", False),
            progress=progress,
            cancel=cancel,
        )
        return {
            "heatmap": self._send(made.heatmap),
            "levels": self._send(made.levels),
            "level_names": list(made.level_names),
            "warnings": list(made.warnings),
            "provenance": dict(made.provenance),
            "table": [row.as_json() for row in made.table],
            "shares": dict(made.shares),
            "share_sentence": share_sentence(made.shares) if made.shares else "",
            "faithfulness": _faithfulness(made.faithfulness),
            "beside": self._beside(made.beside),
        }

    def _beside(self, beside: Beside | None) -> dict[str, Any] | None:
        if beside is None:
            return None
        return {
            "image": self._send(beside.image),
            "heatmap": self._send(beside.heatmap),
            "score": _number(beside.score),
            "title": beside.title,
        }

    def _check(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        progress(0.0, "Looking at the image", 0, 1)
        image = self._receive(params["image"])
        package = self._package(params["model"])
        from ..domain import check

        report = check(image, package)
        seen = report.contrast
        contrast = {"name": seen.name, "probabilities": dict(seen.probabilities), "known": seen.known}
        return {"outcome": report.outcome, "reasons": list(report.reasons), "contrast": contrast}

    def _generate(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        progress(0.0, "Loading the model", 0, 1)
        package = self._package(params["model"])
        from ..generate import generate

        made = generate(
            package,
            params["count"],
            params.get("seed", 1),
            params.get("truncation"),
            params.get("towards"),
            params.get("device", "auto"),
            progress=progress,
            cancel=cancel,
        )
        return _told(made, image=self._send(made.image), modality=_target_of(package), realism=made.realism)

    def _radiograph(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        progress(0.0, "Loading the model", 0, 1)
        package = self._package(params["model"])
        from ..radiograph import radiograph

        made = radiograph(
            params["report"],
            package,
            params.get("seed", 1),
            params.get("count", 1),
            params.get("text_encoder"),
            params.get("device", "auto"),
            progress=progress,
            cancel=cancel,
        )
        image, modality = self._send(made.image), _target_of(package)
        return _told(made, image=image, modality=modality, realism=made.realism, match=made.match)

    def _words(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        progress(0.0, "Loading the model", 0, 1)
        package = self._package(params["model"])
        classifier = None if params.get("classifier") is None else self._package(params["classifier"])
        from ..words import explain_words

        found = explain_words(
            params["report"],
            package,
            self._receive(params.get("image")),
            classifier,
            params.get("class"),
            params.get("seed", 1),
            params.get("text_encoder"),
            params.get("device", "auto"),
            progress=progress,
            cancel=cancel,
        )
        parts = [{"text": part.text, "score": part.score} for part in found.parts]
        scores = {"asked": found.asked, "score": found.score, "without": found.without}
        return _told(found, parts=parts, html=found.html(), **scores)

    def _evaluate(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        from ..evaluate import evaluate

        progress(0.0, "Comparing the volumes", 0, 1)
        scores = evaluate(
            self._receive(params["reference"]),
            self._receive(params["prediction"]),
            modality=params.get("modality", "MR"),
            mask=self._receive(params.get("mask")),
            protocol=params.get("protocol", "plain"),
            source=self._receive(params.get("input")),
            cancel=cancel,
        )
        return scores.as_json()

    def _compare(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        from .comparing import answer

        made = self._compared(params, progress, cancel)
        progress(0.9, "Drawing", 0, 1)
        volumes = {"difference": self._send(made.difference), "resampled": self._send(made.resampled)}
        return volumes | answer(made)

    def _report(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        from ..comparereport import write_report
        from ..reportpage import check_report_path

        check_report_path(params["path"])
        made = self._compared(params, progress, cancel)
        progress(0.9, "Writing the report", 0, 1)
        if cancel():
            raise Cancelled
        written = write_report(made, params["path"], params["names"]["reference"], params["names"]["prediction"])
        return {"path": str(written), "warnings": list(made.warnings)}

    def _compared(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> Comparison:
        from ..compare import compare
        from .comparing import joined

        shift = params.get("shift")
        made = compare(
            self._receive(params["reference"]),
            self._receive(params["prediction"]),
            modality=params.get("modality", "MR"),
            mask=self._receive(params.get("mask")),
            protocol=params.get("protocol", "plain"),
            shift=None if shift is None else joined([self._receive(part) for part in shift["parts"]]),
            progress=progress,
            cancel=cancel,
        )
        if shift is not None and shift["error_mm"] > 0.0:
            made.warnings.append(f"The curved transform was followed to within {shift['error_mm']:.2g} mm.")
        return made

    def _phantom(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        from ..phantom import phantom
        from ..phantom.tissue import TISSUES

        progress(0.0, "Making a phantom head", 0, 1)
        shape: tuple[int, int, int] = tuple(params.get("shape", (96, 128, 128)))
        head = phantom(seed=params.get("seed", 1), shape=shape, lesions=params.get("lesions", 0))
        names = ("t1", "t2", "flair", "pd", "ct", "labels", "lesions")
        volumes = {name: self._send(getattr(head, name)) for name in names}
        return {**volumes, "label_names": [tissue.name for tissue in TISSUES]}

    def _export_dicom(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        from .. import __version__
        from ..dicomexport import Facts, export_series

        progress(0.0, "Writing DICOM files", 0, 1)
        stated = dict(params["facts"])
        window = stated.pop("window")
        facts = Facts(**stated, extension=__version__, window=None if window is None else (window[0], window[1]))
        image = self._receive(params["image"])
        made = export_series(image, facts, params["folder"], params["source"], progress, cancel)
        return {
            "folder": str(made.folder),
            "files": list(made.files),
            "from_source": made.from_source,
            "warnings": list(made.warnings),
        }

    def _devices(self, params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
        progress(0.0, "Looking for devices", 0, 1)
        import torch

        cores = os.cpu_count() or 1
        devices = [{"name": "cpu", "title": f"CPU ({cores} cores)", "free_bytes": _free_memory()}]
        for number in range(torch.cuda.device_count()):
            free, _ = torch.cuda.mem_get_info(number)
            title = torch.cuda.get_device_name(number)
            devices.append({"name": f"cuda:{number}", "title": title, "free_bytes": free})
        if torch.backends.mps.is_available():
            devices.append({"name": "mps", "title": "Apple GPU", "free_bytes": _free_memory()})
        return {"devices": devices}

    def _target(self, target: Mapping[str, Any], image: sitk.Image) -> Target:
        from ..targets import ClassScore, Error, Match, Realism, Region, Voxel

        match target["kind"]:
            case "region":
                return Region(self._receive(target["mask"]))
            case "slice":
                return Region(_in_plane(image, self._receive(target.get("mask")), target["axis"], target["index"]))
            case "voxel":
                return Voxel(*target["index"])
            case "error":
                return Error(self._receive(target["reference"]))
            case "class":
                return ClassScore(target["name"])
            case "match":
                return Match(target["report"], target.get("seed", 1), target.get("text_encoder"))
            case _:
                return Realism(
                    self._receive(target.get("reference")),
                    target.get("seed", 1),
                    target.get("report"),
                    target.get("text_encoder"),
                )

    def _segments(self, segments: Mapping[str, Any] | None) -> Segments | None:
        if segments is None:
            return None
        from ..levels import Segments

        return Segments(self._receive(segments["labels"]), {int(key): name for key, name in segments["names"].items()})

    def _package(self, model: str) -> Package:
        """The package of a name or folder; its networks stay loaded while its card, with their hashes, is the same."""
        from ..package import load_package

        package = load_package(model)  # reads and checks the files anew: they may have changed since
        warm = self._packages.pop(package.folder, None)
        if warm is not None and warm.card == package.card:
            package = warm
        self._packages[package.folder] = package
        while len(self._packages) > WARM_PACKAGES:
            self._packages.popitem(last=False)
        return package

    def _receive(self, volume: Mapping[str, Any] | None) -> Any:
        from .images import receive_image

        return None if volume is None else receive_image(self.folder, volume)

    @overload
    def _send(self, image: sitk.Image) -> dict[str, Any]: ...
    @overload
    def _send(self, image: sitk.Image | None) -> dict[str, Any] | None: ...
    def _send(self, image: sitk.Image | None) -> dict[str, Any] | None:
        from .images import send_image

        if image is not None:
            self._sent.append(send_image(self.folder, image))
        return None if image is None else self._sent[-1]


def _told(made: Generated | Radiograph | Words, **fields: Any) -> dict[str, Any]:
    return fields | {"warnings": list(made.warnings), "provenance": dict(made.provenance)}


def _target_of(package: Package) -> str:
    return str(package.card.target)  # type: ignore[union-attr]  # a classifier's card has none, and made nothing


def _in_plane(image: sitk.Image, mask: sitk.Image | None, axis: int, index: int) -> sitk.Image:
    """What of a mask, or of the foreground if there is none, lies in one plane of an image's voxels.

    Raises:
        InputError: Nothing does, there is no such plane, or the mask is of another size.
    """
    import numpy as np
    import SimpleITK as sitk

    from ..intensity import foreground
    from ..volume import like

    if index >= image.GetSize()[axis]:
        raise InputError(f"The image has no plane of voxels number {index} along this axis; choose one inside.")
    if mask is not None and mask.GetSize() != image.GetSize():
        raise InputError("The region does not lie on the input's grid; draw it on the input volume.")
    plane = (*(slice(None) for _ in range(2 - axis)), slice(index, index + 1))
    inside = foreground(sitk.GetArrayViewFromImage(image)) if mask is None else sitk.GetArrayViewFromImage(mask) != 0
    chosen = np.zeros(inside.shape, dtype=np.uint8)
    chosen[plane] = inside[plane]
    if not chosen.any():
        what = "head" if mask is None else "region"
        raise InputError(f"Nothing of the {what} lies in this slice; scroll to one that shows a part of it.")
    return like(chosen, image)


def _layers(text: str | None) -> str | list[str] | None:
    """One name, or a list of names that had commas between them; None where there is none."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    return None if not names else names[0] if len(names) == 1 else names


def _levels(options: Mapping[str, Any]) -> Levels:
    from ..levels import Levels

    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return Levels(**given)


def _number(value: Any) -> Any:
    """JSON has neither infinity nor NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _faithfulness(found: Faithfulness | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {key: _number(value) for key, value in found.as_json().items()}


def failure(error: Exception) -> tuple[str, str]:
    """An exception as the protocol's (kind, one sentence)."""
    if isinstance(error, Cancelled):
        return "cancelled", "The work was cancelled."
    if isinstance(error, OutOfMemory):
        return "memory", str(error)
    if isinstance(error, InputError) and not isinstance(error, ProtocolError):
        return "input", str(error)
    if _is_out_of_memory(error):
        return (
            "memory",
            "The memory does not suffice; close other programs, crop the volume or choose another device.",
        )
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place = f" in {Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return "internal", f"The worker met an unexpected {type(error).__name__}{place}; its log has the details."


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    # torch's CPU allocator and ITK raise a plain RuntimeError.
    words = ("can't allocate memory", "not enough memory", "failed to allocate memory", "bad_alloc")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def _free_memory() -> int | None:
    """Free memory of this machine in bytes; None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            fields = dict(line.split(":", 1) for line in stream)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return None
