"""A comparison as the protocol has it: between `MRITranslateLib.compare` and JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from typing import Any

import SimpleITK as sitk

from ..compare import Comparison
from ..comparereport import error_picture, histogram_picture
from ..scoring.scores import title_of

_INCHES = 3.0
"""Width of pictures for a panel of 350 pixels."""


def joined(parts: Sequence[sitk.Image]) -> sitk.Image:
    """Displacements along x, y and z as one vector image."""
    return sitk.Compose([sitk.Cast(part, sitk.sitkFloat64) for part in parts])


def answer(made: Comparison) -> dict[str, Any]:
    """All of the result of `compare` but its volumes."""
    names = made.scores.values
    pictures = {"histogram": histogram_picture(made, _INCHES), "errors": error_picture(made, _INCHES)}
    return {
        **made.scores.as_json(),
        "titles": {name: title_of(name, short=True) for name in names},
        "unit": made.unit,
        "reach": made.reach,
        "errors": _numbers(made.errors.tolist()),
        "voxels": made.voxels.tolist(),
        "histogram": {"edges": made.histogram.edges.tolist(), "counts": made.histogram.counts.tolist()},
        "pictures": {name: base64.b64encode(png).decode() for name, png in pictures.items()},
        "warnings": list(made.warnings),
    }


def _numbers(values: Iterable[float]) -> list[float | None]:
    """JSON has no NaN."""
    return [value if math.isfinite(value) else None for value in values]
