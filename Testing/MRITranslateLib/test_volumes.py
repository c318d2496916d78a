"""Packages whose networks see volumes: checked, translated end to end, in little memory."""

import json
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

import MRITranslateLib as mt
from MRITranslateLib import cli
from MRITranslateLib.cam import METHODS
from MRITranslateLib.errors import Cancelled, InputError, OutOfMemory, PackageError
from MRITranslateLib.package import Package
from MRITranslateLib.preparation import Preparation
from MRITranslateLib.translate import translate
from MRITranslateLib.window import Windows

from .packages import VOLUMES, tiny_package_3d
from .test_geometry import correlation_peak, rotation, same_geometry
from .test_translate import GRIDS, Identity, blob


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_package_3d(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def package(folder) -> Package:
    return mt.load_package(folder)


@pytest.fixture
def identity(package, monkeypatch) -> Package:
    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Identity())
    return package


def changed(part: str, **values) -> dict:
    """The card's entry `part` for volumes with some parameters (of the grid: fields) replaced."""
    old = VOLUMES[part]
    return {part: {**old, **values} if part == "grid" else {**old, "parameters": {**old["parameters"], **values}}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (changed("network", dimensions=2), '"resnet9" of "tiny" is for 2 dimensions, what its card describes has 3'),
        (changed("discriminator", dimensions=2), '"patchgan" of "tiny" is for 2 dimensions'),
        ({"grid": {"size_multiple": 16}}, "is for 3 dimensions, what its card describes has 2"),
        (changed("network", in_channels=3), "does not fit the grid on its card .1 channel, windows of 16 x 16 x 24"),
        (changed("discriminator", in_channels=4), "does not fit the grid"),
        (changed("discriminator", layers=4), "does not fit the grid"),  # nothing is left of 16 voxels
        (changed("grid", size_multiple=2, patch=[6, 16, 16]), "does not fit the grid"),
    ],
)
def test_a_card_whose_network_does_not_fit_its_windows_is_refused(tmp_path, changes, says):
    with pytest.raises(PackageError, match=says):
        tiny_package_3d(tmp_path / "tiny", **changes)


def test_a_package_of_volumes_is_sound(package):
    package.verify()
    with torch.inference_mode():
        assert package.generator()(torch.zeros(1, 1, 16, 16, 24)).shape == (1, 1, 16, 16, 24)
        assert package.discriminator()(torch.zeros(1, 2, 16, 16, 24)).shape == (1, 1, 2, 2, 4)


@pytest.mark.parametrize("name", GRIDS)
def test_an_identity_network_returns_the_input_on_its_own_grid_unshifted(identity, name):
    image = blob(*GRIDS[name])
    result = translate(image, identity, device="cpu")
    assert same_geometry(result.image, image)
    before, after = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(result.image)
    assert correlation_peak(before, after) == (0, 0, 0)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99


def test_a_volume_of_one_window_is_exactly_what_the_network_answers(package):
    image = blob((24, 16, 16), (2.0, 2.0, 2.0))
    preparation = Preparation(image, package.card)
    assert preparation.array.shape == (16, 16, 24)
    with torch.inference_mode():
        answer = package.generator()(torch.from_numpy(preparation.array)[None, None])[0, 0].numpy()
    expected = sitk.GetArrayFromImage(preparation.restore(answer))
    result = sitk.GetArrayFromImage(translate(image, package, "cpu").image)
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.ptp(expected))


def test_windows_go_through_the_network_and_are_joined(package):
    """What `translate` gives for an oblique scan is the weighted sum of what the network says to every window."""
    image = blob((50, 44, 20), (1.1, 1.3, 3.0), rotation((0.2, 0.1, -0.3)))
    preparation = Preparation(image, package.card)
    windows = Windows(preparation.array, package.card.grid.patch)
    assert len(windows) > 8
    total = np.zeros(preparation.array.shape)
    for index, place in enumerate(windows.places):
        with torch.inference_mode():
            answer = package.generator()(torch.from_numpy(windows.batch(index, index + 1)))[0, 0].numpy()
        total[place] += windows.weights(index) * (-1 if windows.empty[index] else answer)
    expected = sitk.GetArrayFromImage(preparation.restore(total.astype(np.float32)))
    result = sitk.GetArrayFromImage(translate(image, package, "cpu").image)
    np.testing.assert_allclose(result, expected, atol=1e-4 * np.ptp(expected))


def test_progress_cancel_and_determinism(package):
    image = blob((48, 44, 40), (2.0, 2.0, 2.0))
    seen = []
    first = translate(image, package, "cpu", progress=lambda *event: seen.append(event))
    fractions = [fraction for fraction, *_ in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "Translating windows" in {stage for _, stage, *_ in seen}
    again = translate(image, package, "cpu")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(first.image), sitk.GetArrayFromImage(again.image))
    asked = []

    def at_second() -> bool:
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(Cancelled):
        translate(image, package, "cpu", cancel=at_second)
    assert len(asked) == 2


def test_memory_that_runs_out_halves_the_batch_and_says_so(package, monkeypatch):
    image = blob((40, 40, 40), (2.0, 2.0, 2.0))
    expected = sitk.GetArrayFromImage(translate(image, package, "cpu").image)
    generator = package.generator("cpu")

    class Tight(nn.Module):
        def forward(self, x):
            if len(x) > 1:
                raise torch.OutOfMemoryError("simulated")
            return generator(x)

    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Tight())
    result = translate(image, package, "cpu")
    assert any("1 windows at a time" in warning for warning in result.warnings)
    np.testing.assert_allclose(sitk.GetArrayFromImage(result.image), expected, atol=1e-3 * np.ptp(expected))

    class Full(nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Full())
    with pytest.raises(OutOfMemory, match="memory for one window"):
        translate(image, package, "cpu")


def test_uncertainty_mask_and_empty_surroundings(package, identity):
    image = blob((48, 40, 20), (2.0, 2.0, 4.0))
    result = translate(image, identity, "cpu", uncertainty=True)
    assert same_geometry(result.uncertainty, image)
    spread, value = sitk.GetArrayFromImage(result.uncertainty), sitk.GetArrayFromImage(result.image)
    np.testing.assert_allclose(spread, value * 0.05 / np.sqrt(2), rtol=2e-2, atol=2e-2 * value.max() * 0.05)
    mask = sitk.Cast(image > 150, sitk.sitkUInt8)
    masked = sitk.GetArrayFromImage(translate(image, identity, "cpu", mask=mask).image)
    assert (masked[sitk.GetArrayFromImage(mask) == 0] == 0).all()


def test_where_there_is_no_signal_far_and_wide_none_is_made(package):
    """Windows of 16 x 16 x 24 voxels of 2 mm that hold nothing answer nothing."""
    array = sitk.GetArrayFromImage(blob((40, 40, 40), (2.0, 2.0, 2.0)))
    empty = np.concatenate([np.zeros_like(array), array])
    image = sitk.GetImageFromArray(empty)
    image.SetSpacing((2.0, 2.0, 2.0))
    result = sitk.GetArrayFromImage(translate(image, package, "cpu").image)
    assert (result[:20] == 0).all()
    assert (result[45:75] != 0).mean() > 0.9


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.9, 2.2, 4.0)])
def test_memory_is_bounded(identity, spacing):
    """Three float32 volumes on the model's grid (the input, the sum of the windows, and one on its way back), or what
    telling the contrast of so small a volume takes: 25 bytes for each voxel of 3 mm."""
    image = blob((120, 104, 64), spacing)
    voxels = Preparation(image, identity.card).array.size
    tracemalloc.start()
    translate(image, identity, "cpu")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * voxels


def test_the_command_line_translates_with_a_package_of_volumes(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MRITRANSLATE_MODELS", str(tmp_path / "models"))
    image = blob((40, 36, 12), (2.0, 2.0, 5.0), rotation((0.1, 0.2, 0.3)))
    sitk.WriteImage(image, str(tmp_path / "t1.nii.gz"))
    with pytest.raises(SystemExit) as added:
        cli.main(["models", "add", str(folder)])
    assert not added.value.code, capsys.readouterr().err
    capsys.readouterr()
    files = [str(tmp_path / "t1.nii.gz"), "--output", str(tmp_path / "t2.nii.gz")]
    with pytest.raises(SystemExit) as translated:
        cli.main(["translate", *files, "--model", "tiny", "--device", "cpu", "--json"])
    out, err = capsys.readouterr()
    assert not translated.value.code, err
    assert json.loads(out)["provenance"]["model"] == "tiny"
    made = sitk.ReadImage(str(tmp_path / "t2.nii.gz"))
    assert made.GetSize() == image.GetSize()
    np.testing.assert_allclose(made.GetDirection(), image.GetDirection(), atol=1e-5)
    assert np.ptp(sitk.GetArrayFromImage(made)) > 0


# -- explaining


class Look(nn.Module):
    """`features` copies the input; the output at a place is the feature `shift` voxels before it along each axis."""

    explain_layer = "features"

    def __init__(self, shift: tuple[int, int, int]) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 1, 1)
        nn.init.ones_(self.features.weight)
        nn.init.constant_(self.features.bias, 2.0)
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        around = [n for shift in reversed(self.shift) for n in (shift, -shift)]  # what leaves the window is lost
        return nn.functional.pad(self.features(x), around) - 2


def region(image: sitk.Image, low: tuple[int, int, int], high: tuple[int, int, int]) -> sitk.Image:
    """Label of the voxels low..high - 1 in (slice, row, column)."""
    array = np.zeros(image.GetSize()[::-1], np.uint8)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    label = sitk.GetImageFromArray(array)
    label.CopyInformation(image)
    return label


@pytest.mark.parametrize("method", ["hirescam", "layercam"])
def test_the_place_that_was_looked_at_is_shown_through_the_slices(package, monkeypatch, method):
    """On the model's own grid of 2 mm; most windows hold only a part of the region, and no seam divides the map."""
    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Look((2, -3, 1)))
    array = np.full((40, 40, 48), 100, dtype=np.float32)
    array[:2] = 0
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2.0, 2.0, 2.0))
    target = mt.Region(region(image, (20, 14, 20), (24, 22, 32)))
    heat = sitk.GetArrayFromImage(mt.explain(image, package, target, method, device="cpu").heatmap)
    expected = np.zeros(array.shape, dtype=bool)
    expected[18:22, 17:25, 19:31] = True
    assert heat[~expected].max() == 0
    assert heat[expected].min() > 0.9
    assert heat.max() == 1


def test_a_map_returns_to_an_oblique_thick_scan(package, monkeypatch):
    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Look((0, 0, 0)))
    image = blob((60, 56, 14), (1.3, 1.3, 5.0), rotation((0.2, -0.1, 0.3)))
    label = region(image, (6, 20, 30), (9, 30, 38))
    explanation = mt.explain(image, package, mt.Region(label), "hirescam", device="cpu")
    for made in (explanation.heatmap, explanation.raw, explanation.levels):
        assert same_geometry(made, image)
    centres = []
    for part in (explanation.heatmap, label):
        weights = sitk.GetArrayFromImage(part).astype(float)
        index = [float((weights * at).sum() / weights.sum()) for at in np.indices(weights.shape)[::-1]]
        centres.append(np.asarray(part.TransformContinuousIndexToPhysicalPoint(index)))
    assert np.linalg.norm(centres[0] - centres[1]) < 1.5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["region", "voxel", "realism", "error"])
def test_every_method_explains_every_target(package, method, kind):
    image = blob((30, 24, 20), (2.0, 2.0, 2.0))
    target = {
        "region": mt.Region(region(image, (6, 8, 8), (12, 14, 18))),
        "voxel": mt.Voxel(15, 12, 10),
        "realism": mt.Realism(),
        "error": mt.Error(blob((30, 24, 20), (2.0, 2.0, 2.0), seed=5)),
    }[kind]
    explanation = mt.explain(image, package, target, method, device="cpu")
    heat = sitk.GetArrayFromImage(explanation.heatmap)
    assert heat.max() == 1
    assert heat.min() >= 0
    assert len(np.unique(sitk.GetArrayFromImage(explanation.levels))) > 2


def test_a_network_that_ignores_its_input_explains_nothing(package, monkeypatch):
    """Every window's map is flat; joined with Gaussian weights it would look like something."""
    blind = Look((0, 0, 0))
    nn.init.zeros_(blind.features.weight)
    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": blind)
    image = blob((60, 50, 40), (2.0, 2.0, 2.0))
    with pytest.raises(InputError, match="flat"):
        mt.explain(image, package, mt.Region(region(image, (20, 20, 20), (24, 24, 24))), "gradcam", device="cpu")


def test_explaining_tells_its_progress_in_windows_and_steps_down_when_memory_runs_out(package, monkeypatch):
    image = blob((60, 50, 40), (2.0, 2.0, 2.0))
    target, told = mt.Region(region(image, (14, 20, 20), (24, 24, 24))), []
    expected = mt.explain(image, package, target, device="cpu", progress=lambda *facts: told.append(facts))
    assert "Explaining windows" in {stage for _, stage, *_ in told}
    assert told[-1][2] < len(Windows(Preparation(image, package.card).array, package.card.grid.patch))
    generator = package.generator()

    class Hungry(nn.Module):
        explain_layer = f"inner.{generator.explain_layer}"

        def __init__(self) -> None:
            super().__init__()
            self.inner = generator

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > 1 and x.device.type != "meta":
                raise torch.OutOfMemoryError("simulated")
            return self.inner(x)

    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Hungry())
    explanation = mt.explain(image, package, target, device="cpu")
    assert "Memory ran out; went on with 1 window(s) at a time on cpu." in explanation.warnings
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(explanation.heatmap), sitk.GetArrayFromImage(expected.heatmap), atol=1e-3
    )
