"""There and back again: a map of nothing where nothing is lost, of exactly what is lost elsewhere."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import Package
from MRITranslateLib.translate import translate

from .packages import tiny_package
from .test_geometry import rotation, same_geometry
from .test_translate import Identity, blob

BACK = {"name": "back", "source": "T2", "target": "T1"}


class Dimmer(nn.Module):
    """Takes away 10 % of the signal."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.9 * (x + 1) - 1


@pytest.fixture
def both(tmp_path, monkeypatch) -> tuple[Package, Package]:
    """A package and the one that it names for the way back, among the user's models."""
    monkeypatch.setenv("MRITRANSLATE_MODELS", str(tmp_path))
    there, back = tiny_package(tmp_path / "tiny", inverse="back"), tiny_package(tmp_path / "back", **BACK)
    return mt.load_package(there), mt.load_package(back)


def networks(monkeypatch, **found) -> None:
    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": found[self.card.name])


def test_what_comes_back_unchanged_leaves_an_empty_map(both, monkeypatch):
    networks(monkeypatch, tiny=Identity(), back=Identity())
    image = blob((40, 44, 8), (1.0, 1.0, 3.0), rotation((0.1, 0.2, 0.3)))
    plain, result = translate(image, both[0], "cpu"), translate(image, both[0], "cpu", cycle=True)
    assert same_geometry(result.cycle, image)
    assert sitk.GetArrayFromImage(result.cycle).max() < 2e-3
    np.testing.assert_array_equal(sitk.GetArrayFromImage(plain.image), sitk.GetArrayFromImage(result.image))
    assert plain.cycle is None
    assert result.provenance["cycle"].startswith("back 1.0.0 (")


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 3.0), (0.8, 0.9, 3.0)])
def test_the_map_is_the_lost_fraction_of_full_scale(both, monkeypatch, spacing):
    """Full scale is twice the median of the tissue, as the card's normaliser says."""
    networks(monkeypatch, tiny=Identity(), back=Dimmer())
    image = blob((50, 48, 8), spacing)
    before = sitk.GetArrayFromImage(image)
    result = sitk.GetArrayFromImage(translate(image, both[0], "cpu", cycle=both[1]).cycle)
    full = 2 * np.median(before[before > before.mean()])
    np.testing.assert_allclose(result, 0.1 * before / full, atol=0.01)
    assert result.max() > 0.05


def test_a_way_back_to_another_unit_is_scaled_like_an_input(both, tmp_path, monkeypatch):
    unit = {"source": {"name": "foreground_median"}, "target": {"name": "foreground_percentile"}}
    other = mt.load_package(tiny_package(tmp_path / "other", **BACK | {"name": "other"}, intensity=unit))
    networks(monkeypatch, tiny=Identity(), other=Dimmer())
    image = blob((40, 44, 8), (1.0, 1.0, 3.0))
    assert sitk.GetArrayFromImage(translate(image, both[0], "cpu", cycle=other).cycle).max() < 1e-2


def test_progress_mask_and_real_networks(both):
    image = blob((32, 32, 6), (1.0, 1.0, 3.0))
    mask = sitk.Cast(image > 150, sitk.sitkUInt8)
    seen = []
    result = translate(
        image, both[0], "cpu", mask=mask, uncertainty=True, cycle=True, progress=lambda *event: seen.append(event[0])
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1
    lost, inside = sitk.GetArrayFromImage(result.cycle), sitk.GetArrayFromImage(mask) != 0
    assert (lost[~inside] == 0).all()
    assert (lost[inside] > 0).all()
    assert result.uncertainty is not None


def test_where_there_is_no_way_back(both, tmp_path):
    image = blob((32, 32, 4), (1, 1, 3))
    alone = mt.load_package(tiny_package(tmp_path / "alone"))
    lost = mt.load_package(tiny_package(tmp_path / "lost", inverse="gone"))
    for package, given, words in (
        (alone, True, "names no model for the way back from T2 to T1; give one"),
        (lost, True, 'the model "gone", which is not there or cannot be used; add it'),
        (both[0], both[0], "the way back from .* is from T2 to T1; give a model for that"),
    ):
        with pytest.raises(InputError, match=words):
            translate(image, package, "cpu", cycle=given)
