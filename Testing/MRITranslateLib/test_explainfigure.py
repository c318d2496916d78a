"""The picture of an explanation, with and without checks and an image beside."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MRITranslateLib.explain import explain
from MRITranslateLib.explainfigure import explain_figure
from MRITranslateLib.package import Package
from MRITranslateLib.phantom import phantom
from MRITranslateLib.targets import Realism, Region

from .packages import tiny_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return Package(tiny_package(tmp_path_factory.mktemp("packages") / "tiny"))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("more", [{}, {"check": True}])
def test_a_region(package: Package, more: dict, flipped: bool, tmp_path: Path) -> None:
    head = phantom(seed=2, shape=(12, 40, 36), lesions=1)
    image, mask = head.t1, sitk.Cast(head.labels == 3, sitk.sitkUInt8)
    if flipped:
        image, mask = (sitk.Flip(one, (True, False, True)) for one in (image, mask))
    made = explain(image, package, Region(mask), device="cpu", **more)
    with Image.open(explain_figure(image, made, tmp_path / "why.png")) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1] == 1350
    coloured = np.ptp(pixels, axis=2) > 60
    assert coloured[:500].mean() > 0.002  # heat and levels
    assert bool(coloured[550:, 900:].any()) is bool(more)  # curves


def test_realism_beside_a_real_image(package: Package, tmp_path: Path) -> None:
    head = phantom(seed=2, shape=(12, 40, 36))
    made = explain(head.t1, package, Realism(reference=head.t2), device="cpu")
    with Image.open(explain_figure(head.t1, made, tmp_path / "both.png")) as picture:
        assert picture.width == 1700
