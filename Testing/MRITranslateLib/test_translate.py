"""Translation end to end: geometry, determinism, progress, cancel, memory, masks, bad input."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

import MRITranslateLib as mt
from MRITranslateLib.errors import Cancelled, InputError, OutOfMemory
from MRITranslateLib.inference import _BATCH
from MRITranslateLib.package import Package
from MRITranslateLib.translate import translate

from .packages import tiny_package
from .test_geometry import correlation_peak, rotation, same_geometry


class Identity(nn.Module):
    """Gives back the middle channel: what remains is the way there and back."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, x.shape[1] // 2 : x.shape[1] // 2 + 1]


def blob(size, spacing, direction=None, seed=0) -> sitk.Image:
    """An asymmetric bright object on a dark background, smooth on the scale of a few mm."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*[np.arange(n) for n in size[::-1]], indexing="ij")
    extent = np.asarray(size) * spacing
    x, y, z = ((index + 0.5 - n / 2) * s for index, n, s in zip((i, j, k), size, spacing, strict=True))
    inside = (x / extent[0] / 0.35) ** 2 + (y / extent[1] / 0.4) ** 2 + (z / extent[2] / 0.6) ** 2
    values = (
        300
        / (1 + np.exp(12 * (inside - 1)))
        * (1 + 0.3 * np.sin(x / 7 + 1) + 0.2 * np.cos(y / 9) + 0.1 * z / extent[2])
    )
    image = sitk.GetImageFromArray((values + rng.gamma(1, 0.5, values.shape)).astype(np.float32))
    image.SetSpacing([float(value) for value in spacing])
    image.SetOrigin((12.5, -80.25, 33.0))
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel())
    return image


GRIDS = {
    "oblique": ((61, 73, 25), (1.0, 1.0, 1.0), rotation((0.3, -0.2, 0.5))),
    "flipped": ((60, 50, 40), (1.0, 1.0, 1.0), np.diag([-1, -1, 1])),
    "left-handed": ((60, 50, 40), (1.0, 1.0, 1.0), np.diag([1, 1, -1])),
    "sagittal": ((30, 64, 60), (4.0, 1.0, 1.0), np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]])),
    "thick": ((150, 131, 13), (0.5, 0.5, 6.0), rotation((0.05, 0.1, 0.0))),
    "odd": ((57, 83, 9), (0.93, 0.77, 3.3), np.eye(3)),
    "one slice": ((64, 64, 1), (1.0, 1.0, 5.0), np.eye(3)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_an_identity_network_returns_the_input_on_its_own_grid_unshifted(identity, name):
    image = blob(*GRIDS[name])
    result = translate(image, identity, device="cpu")
    assert same_geometry(result.image, image)
    before, after = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(result.image)
    assert correlation_peak(before, after) == (0, 0, 0)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.995


def test_a_large_volume_keeps_its_grid(identity):
    """512 x 512 x 300, as the issue of geometry names it."""
    coarse = sitk.GetArrayFromImage(blob((128, 128, 75), (2.0, 2.0, 2.4))).astype(np.int16)
    image = sitk.GetImageFromArray(coarse.repeat(4, axis=0).repeat(4, axis=1).repeat(4, axis=2))
    image.SetSpacing((0.5, 0.5, 0.6))
    image.SetDirection(rotation((0.02, 0.03, 0.0)).ravel().tolist())
    result = translate(image, identity, device="cpu")
    assert same_geometry(result.image, image)
    before, after = (sitk.GetArrayViewFromImage(part)[::4, ::4, ::4] for part in (image, result.image))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.995


def test_the_result_is_deterministic_and_does_not_depend_on_the_batch(package, monkeypatch):
    image = blob((48, 48, 11), (1.0, 1.0, 2.0))
    first, again = (sitk.GetArrayFromImage(translate(image, package, "cpu").image) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    monkeypatch.setitem(_BATCH, "cpu", 1)
    single = sitk.GetArrayFromImage(translate(image, package, "cpu").image)
    np.testing.assert_allclose(single, first, atol=1e-3 * np.ptp(first))


def test_neighbouring_slices_are_the_channels(tmp_path):
    from MRITranslateLib.preparation import Preparation

    folder = tiny_package(
        tmp_path / "context",
        network={"name": "resnet9", "parameters": {"width": 4, "blocks": 1, "in_channels": 3}},
        grid={"plane": "axial", "spacing_mm": [1.0, 1.0], "context": 3, "size_multiple": 16},
        discriminator=None,
    )
    package = mt.load_package(folder)
    image = blob((32, 32, 5), (1.0, 1.0, 4.0))
    preparation = Preparation(image, package.card)
    batch = preparation.batch(0, 5)
    assert batch.shape == (5, 3, 32, 32)
    np.testing.assert_array_equal(batch[:, 1], preparation.array)
    np.testing.assert_array_equal(batch[1:, 0], preparation.array[:-1])
    np.testing.assert_array_equal(batch[0, 0], preparation.array[0])
    assert translate(image, package, "cpu").image.GetSize() == image.GetSize()


def test_progress_rises_to_one_and_cancel_stops_within_a_batch(package):
    image = blob((32, 32, 30), (1.0, 1.0, 2.0))
    seen = []
    translate(image, package, "cpu", progress=lambda *event: seen.append(event))
    fractions = [fraction for fraction, *_ in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {stage for _, stage, *_ in seen} >= {"Preparing", "Translating slices"}
    asked = []

    def after_two() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        translate(image, package, "cpu", cancel=after_two)
    assert len(asked) == 3


def test_memory_that_runs_out_halves_the_batch_and_says_so(package, monkeypatch):
    image = blob((32, 32, 9), (1.0, 1.0, 2.0))
    expected = sitk.GetArrayFromImage(translate(image, package, "cpu").image)
    generator = package.generator("cpu")

    class Tight(nn.Module):
        def forward(self, x):
            if len(x) > 1:
                raise torch.OutOfMemoryError("simulated")
            return generator(x)

    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Tight())
    result = translate(image, package, "cpu")
    assert any("1 slices at a time" in warning for warning in result.warnings)
    np.testing.assert_allclose(sitk.GetArrayFromImage(result.image), expected, atol=1e-3 * np.ptp(expected))

    class Full(nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Full())
    with pytest.raises(OutOfMemory, match="not enough memory"):
        translate(image, package, "cpu")


def test_a_mask_confines_the_result(package):
    image = blob((40, 40, 8), (1.0, 1.0, 3.0))
    mask = sitk.Cast(image > 150, sitk.sitkUInt8)
    result = sitk.GetArrayFromImage(translate(image, package, "cpu", mask=mask).image)
    outside = sitk.GetArrayFromImage(mask) == 0
    assert (result[outside] == 0).all()
    assert result[~outside].any()


def test_provenance_names_model_and_hash(package):
    facts = translate(blob((32, 32, 4), (1, 1, 3)), package, "cpu").provenance
    assert facts["model"] == "tiny"
    assert facts["weights_sha256"] == package.weights_sha256
    assert len(facts["weights_sha256"]) == 64
    assert "not for diagnosis" in facts["notice"]


def test_bad_input(package):
    image = blob((32, 32, 6), (1.0, 1.0, 3.0))
    ct = sitk.Cast(image * 4 - 1000, sitk.sitkInt16)
    with pytest.raises(InputError, match="looks like a CT"):
        translate(ct, package, "cpu")
    with pytest.raises(InputError, match="everywhere"):
        translate(image * 0, package, "cpu")
    with pytest.raises(InputError, match="not available here"):
        translate(image, package, "quantum")
    with pytest.raises(InputError, match="does not lie on the input's grid"):
        translate(image, package, "cpu", mask=sitk.Cast(image > 0, sitk.sitkUInt8)[:-1])
    with pytest.raises(InputError, match="mask is empty"):
        translate(image, package, "cpu", mask=sitk.Cast(image * 0, sitk.sitkUInt8))
    huge = sitk.Image(image)
    huge.SetSpacing((1000.0, 1000.0, 1000.0))
    with pytest.raises(InputError, match="correct the voxel spacing"):
        translate(huge, package, "cpu")


def test_an_unusual_scan_is_translated_with_a_warning(tmp_path):
    folder = tiny_package(
        tmp_path / "narrow",
        domain={
            "field_of_view_mm": [[150, 250]] * 3,
            "spacing_mm": [[0.9, 1.1]] * 3,
            "quantiles": {"p10": [5.0, 6.0]},
        },
    )
    warnings = translate(blob((40, 40, 20), (1.0, 1.0, 5.0)), mt.load_package(folder), "cpu").warnings
    assert any("field of view is 40 mm left-right" in warning for warning in warnings)
    assert any("voxel spacing is 5 mm head-foot" in warning for warning in warnings)
    assert any("distribution of intensities" in warning for warning in warnings)


def test_uncertainty_is_the_spread_under_harmless_changes(package, identity):
    """A network that copies its input is sure about mirroring and moves with brightness by exactly its own share."""
    image = blob((40, 40, 8), (1.0, 1.0, 3.0))
    result = translate(image, identity, "cpu", uncertainty=True)
    assert same_geometry(result.uncertainty, image)
    spread, value = sitk.GetArrayFromImage(result.uncertainty), sitk.GetArrayFromImage(result.image)
    np.testing.assert_allclose(spread, value * 0.05 / np.sqrt(2), rtol=1e-2, atol=1e-2 * value.max() * 0.05)
    assert translate(image, identity, "cpu").uncertainty is None


def test_only_the_plane_the_model_was_trained_on(package):
    image = blob((32, 32, 6), (1.0, 1.0, 3.0))
    translate(image, package, "cpu", planes=["axial"])
    with pytest.raises(InputError, match="axial slices only"):
        translate(image, package, "cpu", planes=["coronal"])


def test_slices_without_signal_stay_without_signal(package):
    """Where an image was resampled beyond its field of view there is nothing to translate."""
    array = sitk.GetArrayFromImage(blob((32, 32, 10), (1.0, 1.0, 3.0)))
    array[:3] = 0
    image = sitk.GetImageFromArray(array)
    result = sitk.GetArrayFromImage(translate(image, package, "cpu").image)
    assert (result[:3] == 0).all()
    assert (result[3:] != 0).any(axis=(1, 2)).all()
