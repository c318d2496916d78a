"""What the tests of the commands share: small volumes, and how a command ended."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

SHAPE = (6, 32, 36)


def write(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (4.0, 4.5, 6.0), vector: bool = False) -> Path:
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(spacing[: image.GetDimension()] + (1.0,) * (image.GetDimension() - 3))
    sitk.WriteImage(image, str(path))
    return path


def anatomy() -> np.ndarray:
    z, y, x = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in SHAPE), indexing="ij")
    inside = x**2 + y**2 + (0.6 * z) ** 2 < 1.0
    return np.where(inside, 500.0 + 150.0 * np.sin(5 * x) * np.cos(4 * y) + 40.0 * z, 0.0).astype(np.float32)


@dataclass(frozen=True)
class Files:
    """What the commands of this file work on."""

    t1: Path
    ct: Path
    mask: Path
    package: Path


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        (line,) = self.out.splitlines()
        return json.loads(line)


Run = Callable[..., Ended]


def refused(ended: Ended, results: Path, *words: str) -> None:
    """One sentence on standard error, exit code 2, nothing on standard output, nothing written."""
    assert ended.code == 2, ended.err
    (sentence,) = ended.err.splitlines()
    assert sentence.startswith("Error: ")
    assert sentence.endswith((".", "?"))
    for word in words:
        assert word in sentence
    assert ended.out == ""
    assert list(results.iterdir()) == []
