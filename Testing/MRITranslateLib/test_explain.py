"""Explanations whose truth is known: networks that look at a known place must be shown to look there, on any grid."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn
from torch.nn import functional

from MRITranslateLib import explainer
from MRITranslateLib.cam import METHODS
from MRITranslateLib.card import NetworkCard
from MRITranslateLib.errors import Cancelled, InputError, OutOfMemory, PackageError
from MRITranslateLib.explain import Explanation, explain
from MRITranslateLib.package import Package
from MRITranslateLib.targets import Error, Realism, Region, Target, Voxel
from Testing.MRITranslateLib.packages import tiny_package

SHAPE = (5, 40, 51)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny")


class Look(nn.Module):
    """`features` copies one channel of the input (made positive); the output at a place is the feature `shift` away.

    With `stride` the features are means over squares of that many pixels.
    """

    explain_layer = "features"

    def __init__(
        self, channels: int = 1, channel: int = 0, shift: tuple[int, int] = (0, 0), stride: int = 1, gain: float = 1
    ) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, 1, stride, stride)
        nn.init.zeros_(self.features.weight)
        nn.init.constant_(self.features.bias, 2.0)
        with torch.no_grad():
            self.features.weight[0, channel] = 1 / stride**2
        self.shift, self.stride, self.gain = shift, stride, gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.features(x)
        if self.stride > 1:
            y = functional.interpolate(y, scale_factor=self.stride, mode="nearest")
        return self.gain * torch.roll(y, self.shift, dims=(2, 3)) - 2


class Looking(Package):
    """A real package whose networks were exchanged for ones with known behaviour."""

    def __init__(
        self, folder: Path, generator: nn.Module, discriminator: nn.Module | None = None, context: int = 1
    ) -> None:
        super().__init__(folder)
        self.card = self.card.model_copy(update={"grid": self.card.grid.model_copy(update={"context": context})})
        self._pair = (generator.eval(), discriminator)

    def generator(self, device: str | torch.device = "cpu") -> nn.Module:
        return self._pair[0]

    def discriminator(self, device: str | torch.device = "cpu") -> nn.Module:
        assert self._pair[1] is not None
        return self._pair[1]


def volume(
    array: np.ndarray, spacing: tuple[float, ...] = (1, 1, 1), direction: np.ndarray | None = None
) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin((-31.0, 12.5, 7.25))
    if direction is not None:
        image.SetDirection(direction.ravel().tolist())
    return image


def head(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A box of tissue with a little texture in air."""
    array = np.zeros(shape, np.float32)
    inner = tuple(slice(n // 8, n - n // 8) for n in shape)
    array[inner] = 100 + np.random.default_rng(1).random(array[inner].shape, dtype=np.float32)
    return array


def box(image: sitk.Image, low: tuple[int, int, int], high: tuple[int, int, int]) -> sitk.Image:
    """Label of the voxels low..high - 1 in (slice, row, column)."""
    array = np.zeros(image.GetSize()[::-1], np.uint8)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    label = sitk.GetImageFromArray(array)
    label.CopyInformation(image)
    return label


def heat(explanation: Explanation) -> np.ndarray:
    return sitk.GetArrayFromImage(explanation.heatmap)


def centre(image: sitk.Image) -> np.ndarray:
    """Centre of mass in physical space."""
    weights = sitk.GetArrayFromImage(image).astype(float)
    index = [
        (weights.sum(axis=tuple({0, 1, 2} - {axis})) @ np.arange(weights.shape[axis])) / weights.sum()
        for axis in (2, 1, 0)
    ]
    return np.asarray(image.TransformContinuousIndexToPhysicalPoint(index))


# -- the right place


def test_the_place_that_was_looked_at_is_shown(folder: Path) -> None:
    image = volume(head())
    region = box(image, (2, 20, 20), (4, 26, 30))
    seen = heat(explain(image, Looking(folder, Look(shift=(5, -7))), Region(region), "hirescam"))
    expected = np.zeros(SHAPE, bool)
    expected[2:4, 15:21, 27:37] = True  # rows 5 above, columns 7 to the right
    assert np.array_equal(seen > 0.5, expected)
    assert seen[~expected].max() == 0
    assert seen.max() == 1


def test_a_voxel(folder: Path) -> None:
    seen = heat(explain(volume(head()), Looking(folder, Look(shift=(0, 3))), Voxel(25, 18, 1), "hirescam"))
    assert np.argwhere(seen > 0).tolist() == [[1, 18, 22]]


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_coarse_layers_are_drawn_in_place(stride: int, folder: Path) -> None:
    """The model's grid is padded to multiples of 16: an odd-sized image's features start off its corner."""
    image = volume(head())
    region = box(image, (2, 14, 17), (3, 30, 33))
    explanation = explain(image, Looking(folder, Look(stride=stride)), Region(region), "hirescam")
    assert np.linalg.norm(centre(explanation.heatmap) - centre(region)) < 0.6


def rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    k = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


GRIDS = {
    "oblique": ((1.0, 1.0, 3.0), rotation((1, 2, 3), 25), (6, 41, 38)),
    "flipped": ((0.9, 1.1, 3.0), np.diag([-1.0, -1.0, 1.0]), (6, 41, 38)),
    "left-handed": ((0.9, 1.1, 3.0), np.diag([1.0, -1.0, 1.0]), (6, 41, 38)),
    "thick slices": ((0.5, 0.5, 6.0), np.eye(3), (4, 71, 64)),
    "coronal scan": ((1.0, 3.0, 1.2), np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), (21, 25, 30)),
    "sagittal oblique scan": (
        (1.0, 1.0, 2.0),
        np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]]) @ rotation((0, 1, 0), 15),
        (12, 33, 35),
    ),
    "one slice": ((1.0, 1.0, 5.0), np.eye(3), (1, 33, 47)),
}


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("name", GRIDS)
def test_the_map_lies_at_the_region_on_the_inputs_grid(name: str, plane: str, folder: Path) -> None:
    spacing, direction, shape = GRIDS[name]
    array = np.full(shape, 100, np.float32)
    array[:, :3] = 0
    image = volume(array + np.random.default_rng(0).random(shape, dtype=np.float32), spacing, direction)
    low = tuple(int(0.55 * n) for n in shape)
    region = box(image, low, tuple(min(n, a + max(1, n // 5)) for n, a in zip(shape, low, strict=True)))  # type: ignore[arg-type]
    package = Looking(folder, Look())
    package.card = package.card.model_copy(update={"grid": package.card.grid.model_copy(update={"plane": plane})})
    explanation = explain(image, package, Region(region), "hirescam")
    for made in (explanation.heatmap, explanation.raw, explanation.levels):
        assert made.GetSize() == image.GetSize()
        assert made.GetSpacing() == image.GetSpacing()
        assert made.GetOrigin() == image.GetOrigin()
        assert made.GetDirection() == image.GetDirection()
    assert np.linalg.norm(centre(explanation.heatmap) - centre(region)) < 0.6  # mm; the model's pixels have 1 mm
    assert heat(explanation).max() == 1


def test_a_region_thinner_than_the_models_pixels_is_not_lost(folder: Path) -> None:
    image = volume(head((3, 120, 120)), (0.3, 0.3, 2.0))
    region = box(image, (1, 61, 70), (2, 62, 71))
    explanation = explain(image, Looking(folder, Look()), Region(region), "hirescam")
    assert np.linalg.norm(centre(explanation.heatmap) - centre(region)) < 0.8


class Spot(nn.Module):
    """The first feature is there where the image is bright, the second where it is not; the output at a place is the
    first feature `shift` away."""

    explain_layer = "features"

    def __init__(self, shift: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, stride, stride), nn.ReLU())
        with torch.no_grad():
            self.features[0].weight[0], self.features[0].weight[1] = 1 / stride**2, -0.1 / stride**2
            self.features[0].bias.copy_(torch.tensor([-0.3, 0.03]))
        self.shift, self.stride = shift, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.interpolate(self.features(x)[:, :1], scale_factor=self.stride, mode="nearest")
        return torch.roll(y, self.shift, dims=(2, 3)) - 1


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_shows_the_place_that_the_output_was_copied_from(method: str, stride: int, folder: Path) -> None:
    array = head((3, 48, 64))  # as large as the model's grid
    array[:, 12:20, 40:48] = 200
    image = volume(array, direction=np.diag([-1.0, -1.0, 1.0]))
    shift = (8, -12)  # rows and columns of the model's grid, which runs the other way here
    region = box(image, (1, 12 - shift[0], 40 - shift[1]), (2, 20 - shift[0], 48 - shift[1]))
    seen = heat(explain(image, Looking(folder, Spot(shift, stride)), Region(region), method, device="cpu"))
    assert set(np.flatnonzero(seen.any(axis=(1, 2)))) == {1}
    assert seen[1, 12 - stride : 20 + stride, 40 - stride : 48 + stride].sum() > 0.95 * seen.sum()
    assert seen[1, 14:18, 42:46].min() > 0.9


# -- neighbouring slices, other targets


def test_neighbouring_slices_as_channels(folder: Path) -> None:
    """The output of a slice comes from the slice below: what that slice has shows in the explained slice."""
    array = head()
    array[1, 20:25, 20:25] = 200
    image = volume(array)
    package = Looking(folder, Look(channels=3, channel=0), context=3)
    for index, bright in ((2, True), (1, False)):
        seen = heat(explain(image, package, Region(box(image, (index, 8, 8), (index + 1, 32, 40))), "hirescam"))
        assert set(np.flatnonzero(seen.any(axis=(1, 2)))) == {index}
        ratio = seen[index, 21:24, 21:24].mean() / seen[index, 28:31, 30:38].mean()
        assert (ratio > 1.3) == bright


class Critic(nn.Module):
    """Finds a picture real where its last channel, the judged image, is bright; a feature for every 4 x 4 pixels."""

    explain_layer = "features"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 1, 4, 4), nn.ReLU())
        nn.init.zeros_(self.features[0].weight)
        nn.init.constant_(self.features[0].bias, -0.6)
        with torch.no_grad():
            self.features[0].weight[0, -1] = 1 / 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)


@pytest.mark.parametrize(("context", "alone"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
def test_realism_looks_at_the_generated_image(method: str, context: int, alone: bool, folder: Path) -> None:
    array = head()
    array[3, 18:26, 10:18] = 200
    image = volume(array)
    mirror = Look(channels=context, channel=context // 2, shift=(0, 16))  # the bright spot is generated 16 to the right
    package = Looking(folder, mirror, Critic(1 if alone else context + 1), context)
    if alone:  # an unconditional discriminator, as a CycleGAN's
        judge = NetworkCard(name="patchgan", parameters={"in_channels": 1})
        package.card = package.card.model_copy(update={"discriminator": judge})
    truth = head()
    truth[1, 10:18, 30:38] = 180
    explanation = explain(image, package, Realism(volume(truth)), method, device="cpu")
    spot = box(image, (3, 18, 26), (4, 26, 34))
    assert np.linalg.norm(centre(explanation.heatmap) - centre(spot)) < 0.6
    assert explanation.provenance["explained"] == "realism"
    beside = explanation.beside
    assert beside is not None
    assert np.linalg.norm(centre(beside.heatmap) - centre(box(image, (1, 10, 30), (2, 18, 38)))) < 0.6
    assert heat(explanation).max() == 1 > sitk.GetArrayFromImage(beside.heatmap).max() > 0.2
    assert beside.score < float(explanation.provenance["score"])


def test_error_looks_where_the_result_is_wrong(folder: Path) -> None:
    array = head().round()
    truth = volume(array)
    array = array.copy()
    array[2, 18:24, 30:36] = 150
    image = volume(array)
    explanation = explain(image, Looking(folder, Look()), Error(truth), "hirescam")
    seen = heat(explanation)
    assert (seen[2, 18:24, 30:36] > 0.9).all()
    assert seen.sum() == pytest.approx(seen[2, 18:24, 30:36].sum(), rel=1e-3)


def test_slices_are_scaled_together(folder: Path) -> None:
    array = head()
    array[1, 10:30, 10:40], array[3, 10:30, 10:40] = 100, 200
    image = volume(array)
    seen = heat(explain(image, Looking(folder, Look()), Region(box(image, (1, 12, 12), (4, 28, 38))), "hirescam"))
    # 0 is air, the median of tissue 0 in network units, twice the median 1; the features add 2
    assert seen[3].max() == 1
    assert seen[1].max() == pytest.approx(2 / 3, abs=0.01)


def test_a_slice_counts_by_its_share_of_the_region(folder: Path) -> None:
    image = volume(np.pad(np.full((3, 30, 30), 100, np.float32), 1))
    package = Looking(folder, Look())
    once = explain(image, package, Region(box(image, (1, 5, 5), (2, 15, 15))), "gradcam")
    array = sitk.GetArrayFromImage(box(image, (1, 5, 5), (2, 15, 15)))
    array[2, 5:10, 5:15] = 1
    both = sitk.GetImageFromArray(array)
    both.CopyInformation(image)
    peaks = sitk.GetArrayFromImage(explain(image, package, Region(both), "gradcam").raw).max(axis=(1, 2))
    assert peaks[1] / peaks[2] == pytest.approx(2)
    assert sitk.GetArrayFromImage(once.raw).max() == pytest.approx(peaks[1] * 1.5)


# -- real networks


@pytest.fixture(scope="module")
def package(folder: Path) -> Package:
    return Package(folder)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["region", "voxel", "realism", "error"])
def test_every_method_explains_every_target(method: str, kind: str, package: Package) -> None:
    image = volume(head((2, 33, 45)))
    target: Target = {
        "region": Region(box(image, (0, 10, 10), (1, 20, 20))),
        "voxel": Voxel(20, 15, 1),
        "realism": Realism(),
        "error": Error(volume(head((2, 33, 45))[:, ::-1].copy())),
    }[kind]
    explanation = explain(image, package, target, method, device="cpu")
    seen, raw = heat(explanation), sitk.GetArrayFromImage(explanation.raw)
    labels = sitk.GetArrayFromImage(explanation.levels)
    assert seen.dtype == np.float32
    assert seen.min() >= 0
    assert seen.max() == 1
    np.testing.assert_allclose(seen, np.maximum(raw, 0) / raw.max(), atol=1e-6)
    assert labels.dtype == np.uint8
    assert len(explanation.level_names) == 5
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}
    for level in (1, 2, 3):  # levels are nested thresholds
        assert seen[labels == level].max() <= seen[labels == level + 1].min()
    assert explanation.provenance["method"] == method
    assert explanation.provenance["weights_sha256"] == package.weights_sha256
    assert "not for diagnosis" in explanation.provenance["notice"]
    assert any("EigenCAM" in warning for warning in explanation.warnings) == (method == "eigencam")


def test_batches_change_nothing_and_the_same_comes_out_twice(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    image = volume(head())
    results = []
    for size in (1, 3, 3):
        monkeypatch.setitem(explainer._BATCH, "cpu", size)
        results.append(heat(explain(image, package, Region(box(image, (0, 10, 10), (5, 20, 20))), device="cpu")))
    np.testing.assert_allclose(results[0], results[1], atol=1e-4)
    assert np.array_equal(results[1], results[2])


def test_the_package_is_left_as_it_was(package: Package) -> None:
    network = package.generator()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    explain(volume(head()), package, Voxel(20, 20, 2), device="cpu")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())
    assert not any(module.training or module._forward_hooks for module in network.modules())


def test_progress_and_cancel(package: Package) -> None:
    image, told = volume(head()), []
    region = Region(box(image, (0, 10, 10), (5, 20, 20)))
    explain(image, package, region, device="cpu", progress=lambda *facts: told.append(facts))
    assert [fraction for fraction, *_ in told] == sorted(fraction for fraction, *_ in told)
    assert told[-1][0] == 1
    assert told[-1][2:] == (5, 5)
    asked: list[int] = []
    with pytest.raises(Cancelled):
        explain(image, package, region, device="cpu", cancel=lambda: asked.append(1) or len(asked) > 1)
    assert len(asked) == 2
    assert not any(module._forward_hooks for module in package.generator().modules())


class Hungry(Look):
    """Has memory for so many slices at once."""

    most = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most and x.device.type != "meta":
            raise torch.OutOfMemoryError("no memory")
        return super().forward(x)


def test_less_memory_means_smaller_batches_and_a_warning(folder: Path) -> None:
    image = volume(head())
    region = Region(box(image, (0, 10, 10), (5, 20, 20)))
    expected = explain(image, Looking(folder, Look()), region, device="cpu")
    hungry = Hungry()
    explanation = explain(image, Looking(folder, hungry), region, device="cpu")
    assert np.array_equal(heat(explanation), heat(expected))
    assert explanation.warnings == [*expected.warnings, "Memory ran out; went on with 1 slice(s) at a time on cpu."]
    hungry.most = 0
    with pytest.raises(OutOfMemory, match="crop the volume"):
        explain(image, Looking(folder, hungry), region, device="cpu")


# -- what cannot be explained


@pytest.mark.parametrize("gain", [0.0, -1.0])
def test_a_flat_map_is_refused(gain: float, folder: Path) -> None:
    """A generator that ignores its input, and one in which nothing raises the target."""
    image = volume(head())
    for target in (Region(box(image, (2, 20, 20), (4, 26, 30))), Voxel(20, 20, 2)):
        for method in METHODS if gain == 0 else ("gradcam", "hirescam"):
            with pytest.raises(InputError, match="flat"):
                explain(image, Looking(folder, Look(gain=gain)), target, method)


def test_a_map_that_is_the_same_everywhere_is_refused(folder: Path) -> None:
    """A layer that does not see the image: positive everywhere, and no place stands out."""
    image = volume(head())
    blind = Look()
    nn.init.zeros_(blind.features.weight)
    with pytest.raises(InputError, match="flat"):
        explain(image, Looking(folder, blind), Region(box(image, (2, 20, 20), (4, 26, 30))), "gradcam")


def test_bad_requests_get_one_sentence(package: Package, folder: Path, tmp_path: Path) -> None:
    image = volume(head())
    small = volume(head((5, 40, 50)))
    moved = volume(head(), (1.0, 1.0, 1.1))
    nan = head()
    nan[2, 20, 20] = np.nan
    good = Voxel(20, 20, 2)
    vector = sitk.Compose(image, image)
    for words, arguments in {
        "region is empty": (image, Region(sitk.Cast(image * 0, sitk.sitkUInt8))),
        "region does not lie": (image, Region(box(small, (2, 20, 20), (4, 26, 30)))),
        "resample it": (image, Region(box(moved, (2, 20, 20), (4, 26, 30)))),
        "draw it": (image, Region(vector)),
        "lies outside": (image, Voxel(51, 0, 0)),
        "choose one inside": (image, Voxel(0, 0, -1)),
        "reference does not lie": (image, Error(small)),
        "everywhere": (image, Error(volume(np.ones(SHAPE, np.float32)))),
        "Only a Region": (image, "region"),
        "NaN": (volume(nan), good),
        "no method": (image, good, "scorecam"),
        "no layer": (image, good, "gradcam", "block"),
        "not available": (image, good, "gradcam", None, "tpu"),
    }.items():
        with pytest.raises(InputError, match=words) as caught:
            explain(arguments[0], package, *arguments[1:])  # type: ignore[arg-type]
        assert str(caught.value).endswith((".", "?"))
    blind = Package(tiny_package(tmp_path / "tiny", discriminator=None))
    with pytest.raises(PackageError, match="no discriminator"):
        explain(image, blind, Realism())
