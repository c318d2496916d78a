"""The figure: what it takes, and that what it shows is placed and scaled as it says."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.figure import Row, figure, fitted, main_scores, score_line

VALUES = {"psnr": 20.0, "ssim": 0.5, "mae": 0.1, "psnr_affine": 25.0, "ssim_affine": 0.75, "mae_affine": 0.05}


def ball(value: float, direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1)) -> sitk.Image:
    z, y, x = np.mgrid[-6:7, -12:13, -12:13]
    array = np.where(4 * z**2 + y**2 + x**2 < 100, value, 0.0).astype(np.float32)
    array += np.where(x > 0, 0.1 * array, 0)
    image = sitk.GetImageFromArray(array)
    image.SetDirection(direction)
    return image


def row(target: str = "T2", heatmaps: int = 1, **changes: tuple[float, ...]) -> Row:
    image = ball(100.0, **changes)
    region = sitk.Cast(image > 105, sitk.sitkUInt8)
    heat = {f"Heat {number}": image / 110 for number in range(heatmaps)}
    return Row("model", target, image, image * 0.5, image, heat, region, main_scores(target, VALUES))


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, 1, 0)])
def test_draws_any_orientation_and_uneven_rows(tmp_path: Path, direction: tuple[float, ...]) -> None:
    path = figure([row("T2", 2, direction=direction), row("CT", 1)], tmp_path / "figure.png", "Test")
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert picture.shape[1] > picture.shape[0] > 500
    assert len(np.unique(picture[..., 0])) > 50


def test_scores_are_those_after_the_affine_fit_for_mri_only() -> None:
    assert main_scores("T2", VALUES) == {"psnr": 25.0, "ssim": 0.75, "mae": 0.05}
    assert main_scores("CT", VALUES) == {"psnr": 20.0, "ssim": 0.5, "mae": 0.1}
    assert score_line(row("T2")) == "PSNR 25.00 dB   SSIM 0.750   MAE 5.00 % of full scale"
    assert score_line(row("CT")).endswith("MAE 0.1 HU")


def test_fit_undoes_an_affine_change() -> None:
    truth = np.linspace(0, 100, 1000, dtype=np.float32)
    made = (truth + 30) / 4
    assert np.abs(fitted(made, truth) - truth).max() < 1e-3


def test_fit_of_bright_values_is_exact_and_leaves_air_dark() -> None:
    """A narrow range far from zero, over which single precision would lose the fit; and a large offset."""
    inside = np.linspace(2000, 2010, 1_000_000, dtype=np.float32)
    air = np.zeros(1000, np.float32)
    made = np.concatenate([inside, air])
    truth = np.concatenate([(inside - 2000) * 50 + 500, air])
    assert np.abs(fitted(made, truth) - truth).max() < 1
