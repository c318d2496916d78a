"""Does a map show what the network used? Deletion and insertion curves, and the network with shuffled weights.

Deletion and insertion (Petsiuk et al., BMVC 2018): the body's pixels are replaced by a blurred copy, warmest first, or
put back into the blurred copy, warmest first. If the map is right, the target falls early and rises early; the areas
under both curves say how early. Only the body is touched: removals of air change nothing, and a map that wastes its own
on air would make every other one look good.

Chance is measured, not assumed, by random maps that have the power spectrum of the map itself and hence its smoothness
(surrogates: Theiler et al., Physica D 1992). White noise at the layer's stride would not do: a smoother map, right or
wrong, hits or misses more at once, and arbitrary ones then pass up to three times as often as they should. A Gaussian
at the centre of the body (centre prior) shows what could be had without looking at the image.

Parameter randomisation (Adebayo et al., NeurIPS 2018): a twin whose weights are shuffled has learnt nothing. If its map
looks the same, the map shows the image, not what the network knows.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrize import is_parametrized

from .errors import Cancelled, InputError

FRACTIONS = np.array([0, 0.02, 0.08, 0.25, 0.5, 0.75, 0.92, 0.98, 1])
"""Of the body's pixels, after each of the eight steps: fine where few warm pixels decide, and the same from both ends,
so that the insertion of a map is the deletion of its negative read backwards."""
CHANCE = 0.95
"""Part of the random maps that a map must be better than: the usual level of significance."""
_RANDOM_MAPS = (10, 24)
"""Least and most per case. With their negatives, ten are just enough for that level; but where one spot is all there is
to hit, ten contain a lucky one too often, so that few cases are given more."""
_RANDOM_IN_ALL = 48
MOST_ALIKE = 0.5
"""Mean rank correlation with the twins' maps from which on the test fails: a quarter of the ranks' variance would then
be there without any training. Right maps share something with the twin's too, since both follow the same anatomy."""
TWINS = 2
_CENTRE_AHEAD = 0.1
_BLUR = 1 / 8
"""Standard deviation of the blur as a part of the image's extent: no tumour or ventricle survives it."""
_ITERATIONS = 30
_PIXELS = {"cuda": 1 << 20, "mps": 1 << 19, "cpu": 1 << 18}
"""In one batch; without gradients less than the map itself needed."""


@dataclass(frozen=True)
class Case:
    """One slice or window as the explained network sees it.

    Attributes:
        inputs: float32 (channels, *shape), network units.
        map: float32 (*shape), the signed raw map.
        body: bool (*shape): where there is signal; only these pixels are ranked and removed.
        score: From changed inputs (n, channels, *shape) on the device to the target (n,). It is called without
            gradients and has to leave its network in evaluation mode.
    """

    inputs: np.ndarray
    map: np.ndarray
    body: np.ndarray
    score: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Curves:
    """The target (0: all of the body blurred; 1 or -1: the whole image) against the part of the body that was deleted
    or inserted; each (9,).

    Attributes:
        fractions: 0 to 1.
        explained: Of the map itself.
        random: Mean over the random maps.
        spread: Standard deviation over the random maps.
        centre: Of the centre prior.
    """

    fractions: np.ndarray
    explained: np.ndarray
    random: np.ndarray
    spread: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True)
class Faithfulness:
    """What the checks found.

    Attributes:
        deletion, insertion: Curves summed over all cases, divided by the sum of |whole - blurred|: so a case counts by
            what there is to explain in it.
        areas: Area under each curve ("deletion", "deletion random", "deletion centre", "insertion", ...), and the gap
            insertion - deletion, from -1 to 1 for targets that rise steadily ("gap", "gap centre"), with the gap
            that 95 % of the random maps do not exceed ("gap chance"); higher is better, 0 is chance.
        twin_correlation: Mean over two twins of |Spearman's correlation| within the body between the signed maps,
            averaged over the cases first. The absolute value, since shuffling can turn a map's sign over without
            changing what it shows.
        passes: Whether the map passes all checks.
        sentence: The verdict for people.
    """

    deletion: Curves
    insertion: Curves
    areas: dict[str, float]
    twin_correlation: float
    passes: bool
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """Everything as lists, numbers and text."""
        values = asdict(self)
        for curves in (values["deletion"], values["insertion"]):
            curves.update({name: [float(value) for value in curve] for name, curve in curves.items()})
        return values


def check_map(
    cases: Sequence[Case],
    twins: Callable[[int], Sequence[np.ndarray]],
    device: str | torch.device,
    progress: Callable[[float, str, int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Faithfulness:
    """Check maps of one target by deletion, insertion and randomised parameters.

    A map passes if all of this holds:

    - its gap (see `Faithfulness.areas`) is above that of 95 % of random maps, the usual level of significance;
    - the centre prior's gap is not larger than its own by more than 0.1, a twentieth of the scale: a right map of
      something central is hardly different from a central spot, and either may come out a little ahead;
    - the rank correlation with the maps of networks with shuffled weights is below 0.5 (see `MOST_ALIKE`).

    It costs 170 answers of the network per case (up to 366 with fewer than five), and the twins' maps.

    Args:
        cases: At least one.
        twins: From a seed to the maps of the same cases by a randomised network (see `randomised`); they may be flat.
        device: Of the inputs that the scores are given.
        progress: Called with (fraction 0..1, stage, done, total) after every case and twin.
        cancel: Asked before every batch; True stops.

    Raises:
        InputError: A score is not finite, or there is no case.
        Cancelled: `cancel` said so.
    """
    if not cases:
        raise InputError("There is no map to check; explain a target that the image has.")
    total = len(cases) + TWINS

    def report(done: int) -> None:
        if progress is not None:
            progress(done / total, "Checking the map", done, total)

    least, most = _RANDOM_MAPS
    maps = min(max(least, _RANDOM_IN_ALL // len(cases)), most)
    ends, courses = [], []
    for case in cases:
        whole, course = _courses(case, maps, torch.device(device), cancel)
        ends.append(whole)
        courses.append(course)
        report(len(courses))
    alike = []
    for seed in range(1, TWINS + 1):
        _ask(cancel)
        pairs = zip(cases, twins(seed), strict=True)
        alike.append(abs(float(np.mean([_correlation(case.map, other, case.body) for case, other in pairs]))))
        report(len(cases) + seed)
    flat = all(np.ptp(case.map[case.body]) == 0 for case in cases if case.body.any())
    return _judge(np.asarray(ends), np.asarray(courses), float(np.mean(alike)), flat)


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """A twin with the weights permuted within each tensor: same shapes, same values, nothing learnt.

    The statistics of batch normalisation are permuted too, being learnt. Other buffers stay, being of the
    architecture; singular vectors of spectral normalisation follow the new weights.

    Args:
        network: Left alone.
        seed: Of the permutations.
    """
    twin = deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        tensors: list[torch.Tensor] = list(twin.parameters())
        for module in twin.modules():
            if isinstance(module, _NormBase) and module.running_mean is not None and module.running_var is not None:
                tensors += [module.running_mean, module.running_var]
        for tensor in tensors:
            order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
            tensor.copy_(tensor.flatten()[order].view_as(tensor))
        for module in [module for module in twin.modules() if is_parametrized(module)]:
            training = [(part, part.training) for part in module.modules()]
            module.train()
            for _ in range(_ITERATIONS):  # a step of the power iteration each
                for name in module.parametrizations:  # type: ignore[union-attr]
                    getattr(module, name)
            for part, flag in training:
                part.training = flag
    return twin


def _ask(cancel: Callable[[], bool] | None) -> None:
    if cancel is not None and cancel():
        raise Cancelled()


# -- one case


def _courses(
    case: Case, maps: int, device: torch.device, cancel: Callable[[], bool] | None
) -> tuple[tuple[float, float], np.ndarray]:
    """The target of the whole and of the blurred image, and on the way between them.

    Returns:
        The two, and float64 (2 + maps, 2, steps + 1): map, centre prior, random maps; deletion and insertion.
    """
    whole = torch.from_numpy(np.ascontiguousarray(case.inputs)).to(device)
    blurred = torch.from_numpy(_blurred(case.inputs, case.body)).to(device)
    counts = np.rint(FRACTIONS * case.body.sum())[1:-1]
    # The same noise for every case: neighbouring slices have similar maps, and so must their random ones.
    random = (_surrogate(case.map, case.body, np.random.default_rng(seed)) for seed in range(maps))
    orders = [case.map, _centre(case.body), *random]
    ranks = [torch.from_numpy(_ranks(order, case.body)).to(device) for order in orders]
    ends = _scores(case, [whole, blurred])
    size = max(1, _PIXELS[device.type] // case.body.size)
    directions = ((whole, blurred), (blurred, whole))
    steps = [(rank, count, *direction) for rank in ranks for direction in directions for count in counts]
    values = []
    for start in range(0, len(steps), size):
        _ask(cancel)
        chunk = steps[start : start + size]
        values.append(_scores(case, [torch.where(rank < count, after, before) for rank, count, before, after in chunk]))
    course = np.concatenate(values).reshape(len(ranks), 2, len(counts))
    first = np.broadcast_to(ends[None, :, None], (len(ranks), 2, 1))
    return (float(ends[0]), float(ends[1])), np.concatenate([first, course, first[:, ::-1]], axis=2)


@torch.no_grad()
def _scores(case: Case, inputs: list[torch.Tensor]) -> np.ndarray:
    """float64 (n,)."""
    values = case.score(torch.stack(inputs)).double().cpu().numpy()
    if not np.isfinite(values).all():
        raise InputError("The model answered with values that are not finite; verify the model package.")
    return values


def _blurred(inputs: np.ndarray, body: np.ndarray) -> np.ndarray:
    """A blur within the body, to which the air lends nothing; the rest is as it was."""
    sigma = [extent * _BLUR for extent in body.shape]
    weight = gaussian_filter(body.astype(np.float32), sigma, mode="constant")
    blurred = np.array(inputs, dtype=np.float32)
    for channel in blurred:
        smooth = gaussian_filter(np.where(body, channel, 0), sigma, mode="constant")
        channel[body] = smooth[body] / weight[body]
    return blurred


def _ranks(map_: np.ndarray, body: np.ndarray) -> np.ndarray:
    """0 for the body's warmest pixel, 1 for the next, ...; the body's size outside. Equal ones in random order."""
    values = map_[body]
    order = np.lexsort((np.random.default_rng(0).random(values.size), -values))
    ranks = np.full(body.shape, values.size, dtype=np.float32)
    inside = np.empty(values.size, dtype=np.float32)
    inside[order] = np.arange(values.size)
    ranks[body] = inside
    return ranks


def _centre(body: np.ndarray) -> np.ndarray:
    """The exponent of a Gaussian with the body's centre and extents: its order is that of the Gaussian."""
    map_ = np.zeros(body.shape)
    for axis, places in zip(np.indices(body.shape), np.nonzero(body), strict=True):
        if places.size:
            map_ -= (axis - places.mean()) ** 2 / max(float(places.var()), 1.0)
    return map_


def _surrogate(map_: np.ndarray, body: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise with the power spectrum of what the map shows within the body."""
    shown = np.where(body, map_ - map_[body].mean() if body.any() else 0, 0)
    axes = tuple(range(body.ndim))
    spectrum = np.abs(np.fft.rfftn(shown, axes=axes))
    noise = np.fft.rfftn(random.standard_normal(body.shape), axes=axes)
    return np.fft.irfftn(noise * spectrum, s=body.shape, axes=axes)


def _correlation(first: np.ndarray, second: np.ndarray, body: np.ndarray) -> float:
    """Spearman's, within the body; 0 where a map is flat or not finite."""
    a, b = first[body], second[body]
    if a.size < 2 or not np.isfinite(b).all() or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


# -- all cases together


def _judge(ends: np.ndarray, courses: np.ndarray, alike: float, flat: bool) -> Faithfulness:
    """From ends (cases, 2) and courses (cases, maps, 2, steps + 1) to the verdict."""
    change = np.abs(ends[:, 0] - ends[:, 1]).sum()
    moved = bool(change > 1e-5 * np.abs(ends).sum())
    curves = (courses - ends[:, 1, None, None, None]).sum(axis=0) / (change if moved else 1.0)
    explained, centre, chosen = curves[0], curves[1], curves[2:]
    # The deletion of a map is the insertion of its negative read backwards; both are random maps.
    random = np.concatenate([chosen, chosen[:, ::-1, ::-1]])
    deletion, insertion = (
        Curves(FRACTIONS, explained[kind], random[:, kind].mean(axis=0), random[:, kind].std(axis=0), centre[kind])
        for kind in (0, 1)
    )
    areas = {}
    for name, curve in (("deletion", deletion), ("insertion", insertion)):
        for suffix, values in (("", curve.explained), (" random", curve.random), (" centre", curve.centre)):
            areas[name + suffix] = float(np.trapezoid(values, FRACTIONS))
    areas["gap"] = areas["insertion"] - areas["deletion"]
    areas["gap centre"] = areas["insertion centre"] - areas["deletion centre"]
    below = np.trapezoid(random, FRACTIONS, axis=2)
    gaps = below[:, 1] - below[:, 0]
    areas["gap chance"] = float(np.quantile(gaps, CHANCE, method="higher"))
    if not moved:
        passes, sentence = False, "Cannot judge: blurring the whole image does not change what is explained."
    else:
        passes, sentence = _verdict(areas, alike, flat)
    return Faithfulness(deletion, insertion, areas, alike, passes, sentence)


def _verdict(areas: dict[str, float], alike: float, flat: bool) -> tuple[bool, str]:
    figures = (
        f"area under deletion {areas['deletion']:.2f}, random maps {areas['deletion random']:.2f}; "
        f"under insertion {areas['insertion']:.2f}, random maps {areas['insertion random']:.2f}"
    )
    failed = []
    if flat:
        failed.append("the map is the same everywhere")
    elif areas["gap"] <= areas["gap chance"]:
        failed.append(f"warm places matter to the target no more than random ones ({figures})")
    elif areas["gap centre"] - areas["gap"] > _CENTRE_AHEAD:
        failed.append(
            "a spot at the centre of the body would tell more "
            f"(insertion - deletion {areas['gap centre']:.2f} against {areas['gap']:.2f})"
        )
    if alike >= MOST_ALIKE:
        failed.append(f"a network with shuffled weights gives much the same map (rank correlation {alike:.2f})")
    if failed:
        return False, f"No better than chance: {', and '.join(failed)}."
    return True, (
        f"Passes: warm places matter to the target more than random ones ({figures}), and a network with shuffled "
        f"weights gives another map (rank correlation {alike:.2f})."
    )
