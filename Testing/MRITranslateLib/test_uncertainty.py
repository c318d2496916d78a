"""Uncertainty: known spreads, dropout that leaves no trace, ensembles over grids, the scale of the card."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

import MRITranslateLib as mt
from MRITranslateLib.errors import Cancelled, InputError
from MRITranslateLib.package import Package
from MRITranslateLib.translate import translate
from MRITranslateLib.uncertainty import RUNS, Spread, _augmentations, dropout

from .packages import tiny_package
from .test_geometry import rotation, same_geometry
from .test_translate import Identity, blob

UNET = {
    "name": "pix2pix_unet",
    "parameters": {"channels": [4, 8, 8, 8], "head": 4, "norm": "batch", "dropout": 0.5, "output": "linear"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def package(folder) -> Package:
    return mt.load_package(tiny_package(folder / "tiny"))


@pytest.fixture
def dropping(tmp_path) -> Package:
    return mt.load_package(tiny_package(tmp_path / "dropping", name="dropping", network=UNET))


def values(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_mean_and_deviation_of_arrays_that_come_one_by_one():
    arrays = 1000 + np.random.default_rng(1).normal(size=(7, 3, 4)).astype(np.float32)
    spread = Spread()
    for array in arrays:
        spread.add(array)
    np.testing.assert_allclose(spread.mean, arrays.mean(0), rtol=1e-6)
    np.testing.assert_allclose(spread.deviation, arrays.astype(np.float64).std(0), rtol=1e-3)
    assert spread.mean.dtype == spread.deviation.dtype == np.float32


@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 2), ("sagittal", 0)])
def test_the_patient_is_mirrored_left_to_right_only(plane, axis):
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    (mirrored, back), *brightness = _augmentations(array, plane)
    np.testing.assert_array_equal(mirrored, np.flip(array, axis))
    np.testing.assert_array_equal(back(mirrored), array)
    assert 1 + len(brightness) == RUNS["augmentation"]


@pytest.mark.parametrize("method", ["augmentation", "dropout"])
def test_the_image_is_the_same_as_without(dropping, method):
    image = blob((40, 44, 6), (1.0, 1.1, 3.0), rotation((0.1, 0.2, 0.3)))
    plain, result = translate(image, dropping, "cpu"), translate(image, dropping, "cpu", uncertainty=method)
    np.testing.assert_array_equal(values(plain.image), values(result.image))
    assert same_geometry(result.uncertainty, image)
    assert values(result.uncertainty).max() > 0
    assert plain.uncertainty is None
    assert result.provenance["uncertainty"] == method
    assert result.provenance["calibration"] == "none"


def test_dropout_spreads_as_its_rate_says(package, monkeypatch):
    """What is dropped with probability p and else divided by 1 - p has the variance x² p / (1 - p); ten draws show
    nine tenths of it."""

    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(0.2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.dropout(x + 1) - 1

    network = Dropping().eval()
    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": network)
    result = translate(blob((48, 48, 12), (1.0, 1.0, 3.0)), package, "cpu", uncertainty="dropout")
    value, spread = values(result.image).astype(float), values(result.uncertainty).astype(float)
    assert (spread**2).sum() == pytest.approx((value**2).sum() * 0.25 * 0.9, rel=0.03)


def test_dropout_leaves_networks_and_random_numbers_as_they_were(dropping):
    image = blob((32, 32, 5), (1.0, 1.0, 3.0))
    network = dropping.generator("cpu")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(3)
    stream = torch.random.get_rng_state()
    first, again = (values(translate(image, dropping, "cpu", uncertainty="dropout").uncertainty) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    torch.testing.assert_close(torch.random.get_rng_state(), stream)
    assert not any(module.training for module in network.modules())
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)

    with dropout(dropping.generator, 0, "x") as active:
        awake = [type(module) for module in active("cpu").modules() if module.training]
    assert awake == [nn.Dropout]  # the batch normalisation sleeps on

    asked = []
    with pytest.raises(Cancelled):
        translate(image, dropping, "cpu", uncertainty="dropout", cancel=lambda: bool(asked.append(1) or len(asked) > 5))
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("network", [None, {**UNET, "parameters": UNET["parameters"] | {"dropout": 0.0}}])
def test_without_dropout_another_way_is_named(tmp_path, network):
    folder = tiny_package(tmp_path / "plain", **({"network": network} if network else {}))
    with pytest.raises(InputError, match="has no dropout; take its uncertainty by augmentation"):
        translate(blob((32, 32, 4), (1, 1, 3)), mt.load_package(folder), "cpu", uncertainty="dropout")


def test_an_ensemble_gives_mean_and_deviation_on_the_inputs_grid(package, dropping, tmp_path):
    coarse = mt.load_package(
        tiny_package(
            tmp_path / "coarse",
            name="coarse",
            network={"name": "resnet9", "parameters": {"width": 2, "blocks": 1}},
            grid={"plane": "coronal", "spacing_mm": [2.0, 1.5], "context": 1, "size_multiple": 16},
        )
    )
    image = blob((40, 44, 20), (1.0, 1.1, 2.0), rotation((0.1, 0.2, 0.3)))
    each = np.stack([values(translate(image, one, "cpu").image) for one in (package, dropping, coarse)])
    result = translate(image, package, "cpu", uncertainty=[dropping, package, coarse])
    np.testing.assert_allclose(values(result.image), each.mean(0), rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(values(result.uncertainty), each.std(0), rtol=1e-3, atol=1e-1)
    for made in (result.image, result.uncertainty):
        assert same_geometry(made, image)
    assert [name.split()[0] for name in result.provenance["uncertainty"].split(", ")] == ["tiny", "dropping", "coarse"]


def test_packages_that_make_no_ensemble(package, tmp_path):
    image = blob((32, 32, 4), (1, 1, 3))
    other = mt.load_package(tiny_package(tmp_path / "other", target="FLAIR", name="other"))
    unit = {"source": {"name": "foreground_median"}, "target": {"name": "foreground_percentile"}}
    scaled = mt.load_package(
        tiny_package(
            tmp_path / "scaled",
            name="scaled",
            intensity=unit,
            network={"name": "resnet9", "parameters": {"width": 2, "blocks": 1}},
        )
    )
    for given, words in (
        ([], "at least one package with other weights"),
        ([package], "at least one package with other weights"),
        ([other], "makes FLAIR of T1"),
        ([scaled], "different units"),
        ("guess", 'no uncertainty by "guess"; use augmentation or dropout'),
    ):
        with pytest.raises(InputError, match=words):
            translate(image, package, "cpu", uncertainty=given)


@pytest.mark.parametrize("kind", ["augmentation", "dropout", "ensemble"])
def test_progress_rises_and_cancel_stops_in_any_run(dropping, package, kind):
    image = blob((32, 32, 9), (1.0, 1.0, 3.0))
    seen, wanted = [], [package] if kind == "ensemble" else kind
    translate(image, dropping, "cpu", uncertainty=wanted, progress=lambda *event: seen.append(event[0]))
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == 1
    asked = []
    with pytest.raises(Cancelled):
        translate(image, dropping, "cpu", uncertainty=wanted, cancel=lambda: bool(asked.append(1) or len(asked) > 4))
    assert len(asked) == 5  # three batches a run: in the second one


def test_outside_the_mask_nothing_is_uncertain(package, monkeypatch):
    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Identity())
    image = blob((40, 40, 8), (1.0, 1.0, 3.0))
    mask = sitk.Cast(image > 150, sitk.sitkUInt8)
    spread = values(translate(image, package, "cpu", mask=mask, uncertainty=True).uncertainty)
    assert (spread[values(mask) == 0] == 0).all()
    assert (spread[values(mask) != 0] > 0).all()


def test_the_scale_of_the_card_is_applied_and_told(package, tmp_path):
    known = {
        "method": "augmentation",
        "data": "none",
        "subjects": ["s1"],
        "correlation": 0.5,
        "scale": 2.5,
        "usual": 1e6,
        "usual_ml": 0.0,
    }
    measured = mt.load_package(tiny_package(tmp_path / "measured", calibration=[known]))
    image = blob((32, 32, 6), (1, 1, 3))
    plain, scaled = (translate(image, one, "cpu", uncertainty=True) for one in (package, measured))
    np.testing.assert_allclose(values(scaled.uncertainty), 2.5 * values(plain.uncertainty), rtol=1e-5)
    np.testing.assert_array_equal(values(scaled.image), values(plain.image))
    assert scaled.provenance["calibration"] == "standard deviation x 2.5"
    assert scaled.warnings == plain.warnings
