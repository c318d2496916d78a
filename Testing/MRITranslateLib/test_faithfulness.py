"""The checks on maps: right maps pass; wrong, arbitrary and flat ones, and those that ignore the weights, do not."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from MRITranslateLib import cam, checkplot, networks
from MRITranslateLib.errors import Cancelled, InputError
from MRITranslateLib.faithfulness import Case, Faithfulness, check_map, randomised

SIZE = 48
PLACE = (slice(14, 19), slice(28, 33))
"""Where the network's output is asked about."""
SHIFT = (3, -4)
"""The output there is the input this many rows and columns further."""
SOURCE = tuple(slice(part.start + by, part.stop + by) for part, by in zip(PLACE, SHIFT, strict=True))


class Shifted(nn.Module):
    """The input in a feature map of its own, at another place in the output."""

    explain_layer = "features"

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.shift = nn.Conv2d(2, 1, 9, padding=4, bias=False)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([1.0, 0.5]).view(2, 1, 1, 1))
            self.shift.weight.zero_()
            self.shift.weight[0, 0, 4 + SHIFT[0], 4 + SHIFT[1]] = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shift(self.features(x))


def head(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc of smooth tissue in the air, float32 (1, SIZE, SIZE), and its mask."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    body = (rows - SIZE / 2) ** 2 + (columns - SIZE / 2) ** 2 < 21**2
    tissue = gaussian_filter(np.random.default_rng(seed).standard_normal((SIZE, SIZE)), 1.5)
    tissue = 0.4 + tissue / tissue.std() * 0.1
    tissue[SOURCE] += 0.5
    return np.where(body, tissue, 0).astype(np.float32)[None], body


def region(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network(x)[:, 0, PLACE[0], PLACE[1]].mean(dim=(1, 2))


def maps(network: nn.Module, inputs: np.ndarray, method: str) -> np.ndarray:
    explained = cam.ActivationMaps(network, None, method, (1, SIZE, SIZE))
    where = [lambda output: output[..., PLACE[0], PLACE[1]].mean()] * len(inputs)
    return explained(torch.from_numpy(inputs), where).values[:, 0]


def check(
    network: nn.Module,
    method: str = "hirescam",
    change: Callable[[np.ndarray], np.ndarray] = np.asarray,
    heads: int = 2,
) -> Faithfulness:
    inputs, bodies = (np.stack(arrays) for arrays in zip(*(head(seed) for seed in range(heads)), strict=True))
    found = change(maps(network, inputs, method))
    score = partial(region, network)
    cases = [Case(x, map_, body, score) for x, map_, body in zip(inputs, found, bodies, strict=True)]
    return check_map(cases, lambda seed: list(maps(randomised(network, seed), inputs, method)), "cpu")


def bump(row: float, column: float, variance: float) -> np.ndarray:
    """A Gaussian, float32 (SIZE, SIZE)."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * variance)).astype(np.float32)


def weighted(weight: np.ndarray) -> Callable[[torch.Tensor], torch.Tensor]:
    """The score of a network whose evidence is known: a weighted sum of the image."""
    return lambda x: (x[:, 0] * torch.from_numpy(weight)).sum(dim=(1, 2))


# -- the verdict


@pytest.mark.parametrize("method", ["hirescam", "layercam", "gradcamelementwise"])
def test_the_right_map_passes(method: str) -> None:
    found = check(Shifted().eval(), method)
    assert found.passes, found.sentence
    assert found.sentence.startswith("Passes: ")
    assert found.areas["deletion"] < 0.05
    assert found.areas["insertion"] > 0.95
    assert found.areas["gap"] > found.areas["gap chance"] > 0
    assert abs(found.areas["deletion random"] - 0.5) < 0.2
    assert found.twin_correlation < 0.2


def test_a_single_case_is_enough_for_a_single_spot() -> None:
    assert check(Shifted().eval(), heads=1).passes


def test_the_map_at_the_wrong_place_fails() -> None:
    """Where the output lies, not where it comes from."""
    found = check(Shifted().eval(), change=lambda m: np.roll(m, (-SHIFT[0], -SHIFT[1]), axis=(1, 2)))
    assert not found.passes
    assert "no more than random ones" in found.sentence
    assert found.sentence.startswith("No better than chance: ")


def test_the_opposite_map_fails() -> None:
    found = check(Shifted().eval(), change=np.negative)
    assert not found.passes
    assert found.areas["gap"] < -0.9


def test_a_constant_map_fails() -> None:
    found = check(Shifted().eval(), change=np.ones_like)
    assert not found.passes
    assert "same everywhere" in found.sentence


def test_arbitrary_maps_pass_as_rarely_as_chance_allows() -> None:
    """Smooth ones, on evidence as wide as a tumour; of white noise they would have to beat less."""
    inputs, body = head(0)
    passed = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        weight = bump(*random.integers(14, 34, 2), 25)
        map_ = gaussian_filter(random.standard_normal((SIZE, SIZE)), 6).astype(np.float32)
        case = Case(inputs + weight * body, map_, body, weighted(weight))
        areas = check_map([case], lambda seed: [inputs[0]], "cpu").areas
        passed += areas["gap"] > areas["gap chance"]
    assert passed <= 5


def test_cases_that_resemble_each_other_are_not_taken_for_independent_ones() -> None:
    """Neighbouring slices have nearly the same map: eight of them are hardly more to go by than five."""
    inputs, body = head(0)
    weight = bump(20, 20, 25)
    case = Case(inputs + weight * body, bump(25, 20, 25), body, weighted(weight))
    few = check_map([case] * 5, lambda seed: [inputs[0]] * 5, "cpu").areas
    many = check_map([case] * 8, lambda seed: [inputs[0]] * 8, "cpu").areas
    assert few == pytest.approx(many)


def test_a_spot_at_the_centre_that_explains_more_is_told() -> None:
    inputs, body = head(0)
    middle, aside = bump(23.5, 23.5, 30), bump(23.5, 30.5, 30)
    found = []
    for map_ in (middle, aside):
        turned = [np.ascontiguousarray(np.rot90(map_, turn)) for turn in range(4)]
        cases = [Case(inputs + middle * body, one, body, weighted(middle)) for one in turned]
        found.append(check_map(cases, lambda seed: [np.indices(body.shape)[0]] * 4, "cpu"))
    good, poor = found
    assert good.passes, good.sentence
    assert poor.areas["gap"] > poor.areas["gap chance"]
    assert not poor.passes
    assert "a spot at the centre" in poor.sentence


def test_a_target_that_is_low_in_the_image_is_judged_alike() -> None:
    """Blurring raises this target; the map of what raises it passes all the same, and its opposite does not."""
    inputs, body = head(3)
    inputs[0][SOURCE] = 0.1
    right = np.zeros((SIZE, SIZE), np.float32)
    right[SOURCE] = -1  # the dark place keeps the target low

    def score(x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, SOURCE[0], SOURCE[1]].mean(dim=(1, 2))

    twins = [np.arange(SIZE * SIZE, dtype=float).reshape(SIZE, SIZE)]
    assert check_map([Case(inputs, right, body, score)], lambda seed: twins, "cpu").areas["gap"] > 0.9
    assert check_map([Case(inputs, -right, body, score)], lambda seed: twins, "cpu").areas["gap"] < -0.9


def test_a_target_that_blurring_leaves_alone_cannot_be_judged() -> None:
    inputs, body = head(0)
    found = check_map(
        [Case(inputs, inputs[0], body, lambda x: 7 + 0 * x.sum(dim=(1, 2, 3)))], lambda seed: [-inputs[0]], "cpu"
    )
    assert not found.passes
    assert found.sentence.startswith("Cannot judge: ")


# -- the twins


class Edges(nn.Module):
    """Its features are edges, which no weight has a part in."""

    explain_layer = "features"
    kernel: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.register_buffer("kernel", torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).view(1, 1, 3, 3))
        self.last = nn.Conv2d(1, 4, 5, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        edges = nn.functional.conv2d(x, self.kernel, padding=1).square()
        edges = edges + nn.functional.conv2d(x, self.kernel.mT, padding=1).square()
        return self.last(self.features(edges)).mean(dim=1, keepdim=True)


def test_a_map_that_ignores_the_weights_fails() -> None:
    torch.manual_seed(0)
    found = check(Edges().eval(), "eigencam")
    assert found.twin_correlation > 0.99
    assert not found.passes
    assert "shuffled weights" in found.sentence


def test_the_map_of_the_twin_differs_where_the_weights_matter() -> None:
    network, inputs = Shifted().eval(), head(0)[0][None]
    own, other = (maps(one, inputs, "hirescam")[0] for one in (network, randomised(network, 1)))
    assert np.unravel_index(own.argmax(), own.shape) != np.unravel_index(other.argmax(), other.shape)


@pytest.mark.parametrize("name", ["pix2pix_unet", "resnet_classifier", "dcgan_discriminator", "report_discriminator"])
def test_a_twin_has_the_same_values_elsewhere(name: str) -> None:
    parameters: dict[str, dict[str, object]] = {
        "pix2pix_unet": {"channels": [4, 4, 4, 4]},
        "resnet_classifier": {"channels": [4, 8]},
        "dcgan_discriminator": {"size": 32, "width": 4, "norm": "none", "spectral": True},
        "report_discriminator": {"features": 8, "size": 32, "width": 4, "text_width": 4},
    }
    torch.manual_seed(0)
    network = networks.build(name, parameters[name]).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    twin, same, another = (randomised(network, seed) for seed in (1, 1, 2))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    moved = [
        key for key, value in twin.state_dict().items() if value.numel() > 3 and not torch.equal(before[key], value)
    ]
    assert any("running_mean" in key for key in moved) or name != "resnet_classifier"
    for key, value in twin.named_parameters():
        torch.testing.assert_close(before[key].flatten().sort().values, value.flatten().sort().values)
        assert torch.equal(value, same.state_dict()[key])
    assert any(not torch.equal(value, another.state_dict()[key]) for key, value in twin.state_dict().items())
    assert not any(module.training for module in twin.modules())
    for module in twin.modules():
        if nn.utils.parametrize.is_parametrized(module):  # spectral normalisation follows the new weights
            largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)
            assert float(largest) == pytest.approx(1, abs=0.1)


# -- how it works


def test_only_the_body_is_changed_and_the_network_is_asked_without_gradients() -> None:
    inputs, body = head(0)
    outside = torch.from_numpy(inputs)[:, ~torch.from_numpy(body)]
    calls = []

    def score(x: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        assert x.dtype == torch.float32
        assert torch.equal(x[:, :, ~torch.from_numpy(body)], outside.expand(len(x), -1, -1))
        calls.append(len(x))
        return x.mean(dim=(1, 2, 3))

    check_map([Case(inputs, inputs[0], body, score)] * 5, lambda seed: [inputs[0]] * 5, "cpu")
    assert sum(calls) == 5 * 170


def test_windows_and_neighbouring_slices() -> None:
    random = np.random.default_rng(0)
    inputs = random.random((3, 6, 12, 10)).astype(np.float32)
    body = np.ones((6, 12, 10), bool)
    map_ = np.zeros(body.shape, np.float32)
    map_[2:4, 3:6, 5:9] = 1
    inputs[:, 2:4, 3:6, 5:9] += 2

    def score(x: torch.Tensor) -> torch.Tensor:
        return x[:, 1, 2:4, 3:6, 5:9].mean(dim=(1, 2, 3))

    found = check_map([Case(inputs, map_, body, score)], lambda seed: [random.random(body.shape)], "cpu")
    assert found.passes, found.sentence


def test_progress_cancel_and_values_that_are_not_finite() -> None:
    inputs, body = head(0)
    case = Case(inputs, inputs[0], body, lambda x: x.mean(dim=(1, 2, 3)))
    seen: list[float] = []
    check_map([case, case], lambda seed: [inputs[0]] * 2, "cpu", lambda fraction, *_: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1
    with pytest.raises(Cancelled):
        check_map([case], lambda seed: [inputs[0]], "cpu", cancel=lambda: True)
    broken = Case(inputs, inputs[0], body, lambda x: x.mean(dim=(1, 2, 3)) * float("nan"))
    with pytest.raises(InputError, match="not finite"):
        check_map([broken], lambda seed: [inputs[0]], "cpu")
    with pytest.raises(InputError, match="no map"):
        check_map([], lambda seed: [], "cpu")


def test_everything_is_stored_and_shown(tmp_path: Path) -> None:
    from matplotlib.image import imread

    found = check(Shifted().eval())
    stored = json.loads(json.dumps(found.as_json()))
    assert stored["passes"] is True
    assert stored["sentence"] == found.sentence
    assert len(stored["deletion"]["explained"]) == len(stored["insertion"]["centre"]) == 9
    assert stored["areas"]["gap"] == pytest.approx(found.areas["insertion"] - found.areas["deletion"])
    picture = imread(checkplot.plot(found, tmp_path / "check.png"))
    assert picture.shape[1] > 800
    red = (picture[..., 0] > 0.8) & (picture[..., 1] < 0.3)
    assert red.sum() > 200  # the curve of the map
