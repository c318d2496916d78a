"""What a generator's judge looks at: a judge that looks at a known place must be shown to look there."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from torch import nn

import MRITranslateLib as mt
from MRITranslateLib.errors import Cancelled, InputError, PackageError
from MRITranslateLib.headparts import NAMES
from MRITranslateLib.package import Package
from MRITranslateLib.picture import prepare_picture
from MRITranslateLib.selfexplainfigure import selfexplain_figure

from .packages import tiny_package


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("packages") / "noise", task="generation")


@pytest.fixture(scope="module")
def package(folder: Path) -> Package:
    return mt.load_package(folder)


@pytest.fixture(scope="module")
def volume() -> sitk.Image:
    return mt.phantom(seed=1, shape=(16, 40, 40)).t1


@pytest.fixture(scope="module")
def real(volume: sitk.Image) -> list[np.ndarray]:
    array = sitk.GetArrayFromImage(sitk.DICOMOrient(volume, "LPS"))
    return [prepare_picture(one, 16) for one in array[9:14]]


class Corner(nn.Module):
    """Finds a picture real where its upper left corner of 6 x 6 pixels is bright, `gain` times so."""

    explain_layer = "features"

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.features.weight)
        nn.init.constant_(self.features.bias, 1.1)  # above 0 for any pixel
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * self.features(x)[:, :, :6, :6].mean(dim=(2, 3))


class Judging(Package):
    """A real package whose judge was exchanged."""

    def __init__(self, folder: Path, judge: nn.Module) -> None:
        super().__init__(folder)
        self._judge = judge.eval()

    def discriminator(self, device: str | torch.device = "cpu") -> nn.Module:
        return self._judge


def test_the_place_that_the_judge_looks_at_is_shown(folder: Path, real: list[np.ndarray]) -> None:
    found = mt.explain_generator(Judging(folder, Corner()), real, count=3, device="cpu")
    for one in (found.generated, found.real):
        assert one is not None
        assert one.heat[:, :6, :6].min() > 0
        assert one.heat[:, 6:].max() == one.heat[:, :, 6:].max() == 0
        assert not one.average[6:].any()
        assert not one.average[:, 6:].any()
        np.testing.assert_allclose(one.raw.sum(axis=(1, 2)), one.scores, rtol=1e-4)  # what each place adds to the logit
        held = np.array([(one.parts[:, :6, :6] == number).mean() for number in range(3)])
        for share, expected in zip(one.shares.values(), held, strict=True):
            assert (share.heat > 0) == (expected > 0)
            assert np.isnan(share.against)


def test_where_nothing_raises_the_logit_there_is_no_map(folder: Path) -> None:
    """A judge that everything speaks against: nothing is left to be shown as heat."""
    with pytest.raises(InputError, match="flat"):
        mt.explain_generator(Judging(folder, Corner(-1.0)), count=2, device="cpu")


def test_pictures_without_heat_are_left_out_of_the_shares(folder: Path) -> None:
    judge = Corner()
    nn.init.zeros_(judge.features.bias)  # dark pixels lower the logit, bright ones raise it
    dark, bright = (np.random.default_rng(1).uniform(*span, (16, 16)) for span in ((-1, -0.1), (0.1, 1)))
    found = mt.explain_generator(Judging(folder, judge), [dark, bright, bright], count=2, device="cpu")
    assert "By hirescam nothing in 1 of 3 real pictures raises the logit; the shares leave them out." in found.warnings
    assert found.real is not None
    assert sum(share.heat for share in found.real.shares.values()) == pytest.approx(1)
    assert sum(share.against for share in found.real.shares.values()) == pytest.approx(1)


def test_one_scale_and_shares_of_one(package: Package, real: list[np.ndarray]) -> None:
    found = mt.explain_generator(package, real, count=7, seed=3, device="cpu")
    made, held = found.generated, found.real
    assert held is not None
    assert (len(made.pictures), len(held.pictures)) == (7, 5)
    assert np.array_equal(made.pictures, mt.generate(package, 7, seed=3, device="cpu").pictures)
    highest = max(made.raw.max(), held.raw.max())
    assert max(made.heat.max(), held.heat.max()) == 1
    assert max(np.abs(made.average).max(), np.abs(held.average).max()) == pytest.approx(1)
    for one in (made, held):
        np.testing.assert_allclose(one.heat, np.maximum(one.raw, 0) / highest, atol=1e-6)
        assert one.scores.shape == (len(one.pictures),)
        assert one.parts.shape == one.raw.shape == one.pictures.shape
        assert tuple(one.shares) == NAMES
        for name in ("heat", "against", "area"):
            assert sum(getattr(share, name) for share in one.shares.values()) == pytest.approx(1)
    strongest = max(float(np.abs(one.raw.mean(axis=0)).max()) for one in (made, held))
    np.testing.assert_allclose(held.average, held.raw.mean(axis=0) / strongest, atol=1e-6)
    assert found.provenance["count_real"] == "5"
    assert found.provenance["seed"] == "3"
    assert "not for diagnosis" in found.provenance["notice"]


def test_a_picture_has_the_same_map_among_any_number(package: Package, real: list[np.ndarray]) -> None:
    few, many = (mt.explain_generator(package, real[:2], count=count, device="cpu") for count in (2, 5))
    np.testing.assert_allclose(few.generated.raw, many.generated.raw[:2], rtol=1e-3, atol=1e-7)
    assert few.real is not None
    assert many.real is not None
    np.testing.assert_allclose(few.real.raw, many.real.raw, rtol=1e-3, atol=1e-7)


def test_a_seed_decides(package: Package) -> None:
    first, again, other = (mt.explain_generator(package, count=3, seed=seed, device="cpu") for seed in (1, 1, 2))
    assert first.real is None
    assert np.array_equal(first.generated.raw, again.generated.raw)
    assert not np.array_equal(first.generated.raw, other.generated.raw)


def test_the_telling_slices_of_a_volume_are_the_real_pictures(package: Package, volume: sitk.Image) -> None:
    found = mt.explain_generator(package, volume, count=2, device="cpu")
    assert found.real is not None
    assert 2 < len(found.real.pictures) <= 16
    assert np.abs(found.real.pictures).max() <= 1


@pytest.mark.parametrize("method", ["gradcam", "layercam", "eigencam"])
def test_other_methods_and_layers(package: Package, real: list[np.ndarray], method: str) -> None:
    found = mt.explain_generator(package, real, 2, method=method, layer=["layers.0", "layers.1"], device="cpu")
    assert found.provenance["layer"] == "layers.0, layers.1"
    assert max(found.generated.heat.max(), found.real.heat.max()) == 1  # type: ignore[union-attr]


def test_progress_ends_at_one_and_cancelling_stops(package: Package, real: list[np.ndarray]) -> None:
    told: list[float] = []
    mt.explain_generator(package, real, 3, device="cpu", progress=lambda fraction, *_: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1
    with pytest.raises(Cancelled):
        mt.explain_generator(package, real, 3, device="cpu", cancel=lambda: True)


def test_bad_requests_get_one_sentence(package: Package, folder: Path, tmp_path: Path, volume: sitk.Image) -> None:
    nan = np.full((2, 16, 16), np.nan, np.float32)
    for words, arguments in {
        "0 generated": {"count": 0},
        "1,001 generated": {"count": 1001},
        "seed": {"seed": -1},
        "no method": {"method": "scorecam"},
        "no layer": {"layer": "layers.9"},
        "not available": {"device": "tpu"},
        "16 x 16 pixels, not none": {"real": []},
        r"not \(8, 8\)": {"real": np.zeros((3, 8, 8), np.float32)},
        r"not \(16,\)": {"real": np.zeros((16, 16), np.float32)},
        "outside -1..1": {"real": np.full((2, 16, 16), 255.0)},
        "prepare each": {"real": nan},
        "too many": {"real": np.zeros((1001, 16, 16), np.float32)},
        "everywhere": {"real": sitk.Image(16, 16, 4, sitk.sitkFloat32)},
        "2-D|2-dimensional": {"real": volume[:, :, 3]},
    }.items():
        with pytest.raises(InputError, match=words) as caught:
            mt.explain_generator(package, **{"count": 2, "device": "cpu", **arguments})  # type: ignore[arg-type]
        assert str(caught.value).endswith((".", "?"))
    with pytest.raises(InputError, match="its task is translation"):
        mt.explain_generator(mt.load_package(tiny_package(tmp_path / "translation")))
    with pytest.raises(PackageError, match="no discriminator"):
        mt.explain_generator(Package(tiny_package(tmp_path / "blind", task="generation", discriminator=None)))


@pytest.mark.parametrize("beside", [False, True])
def test_the_figure(package: Package, real: list[np.ndarray], beside: bool, tmp_path: Path) -> None:
    found = mt.explain_generator(package, real if beside else None, count=3, device="cpu")
    with Image.open(selfexplain_figure(found, tmp_path / "self.png")) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1] == (1920 if beside else 960)
    assert (np.ptp(pixels, axis=2) > 60).mean() > 0.002  # heat and bars
