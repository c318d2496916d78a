"""Configurations and cards for tests of the data."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.card import TranslationCard
from Testing.MRITranslateLib.packages import CARD
from Training.config.data import DataConfig


@pytest.fixture
def card() -> TranslationCard:
    """2.5-D, pixels of 4 mm, as the tiny subjects have them."""
    grid = {"plane": "axial", "spacing_mm": [4.0, 4.0], "context": 3, "size_multiple": 8}
    target = {"name": "foreground_percentile"}
    return TranslationCard.model_validate(CARD | {"grid": grid, "intensity": CARD["intensity"] | {"target": target}})


@pytest.fixture
def data(subjects) -> DataConfig:
    return DataConfig(root=subjects, train=["ms_a", "ms_b"], test=["gl_c"])


def save_picture(file: Path, array: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array.astype(np.uint8)), str(file))
    return file


def disc(radius: float, brightness: float = 200.0, size: int = 48) -> np.ndarray:
    """A picture of a textured disc; every radius and brightness gives another texture."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    noise = np.random.default_rng(int(radius * 10)).uniform(0.6, 1.0, (size, size))
    return np.where(np.hypot(x, y) < radius, brightness * noise, 0)
