"""How good generated pictures are: distance to real ones, diversity, and whether they are copies.

A distance between two sets of pictures is one between their features, so every figure here goes with the name of the
network that gave the features, and with its floor: the same figure for two random halves of real pictures, at the same
number of pictures. A generator that reaches the floor cannot be told from reality by these features.

FID (Heusel et al., NeurIPS 2017) is the Fréchet distance of two Gaussians and depends on the number of pictures; KID
(Binkowski et al., ICLR 2018) is the squared maximum mean discrepancy under a cubic kernel and has no bias, which is why
it is the figure for small sets. The usual Inception network knows photographs and would have to be downloaded; the
features come from a classification package, or else from a network of random weights, which suffices to compare sets
of pictures far from photographs (Naeem et al., ICML 2020).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.distance import cdist, pdist
from torch import nn

from MRITranslateLib.errors import InputError
from MRITranslateLib.package import Package, load_package
from MRITranslateLib.sampling import resize_pictures

from .config.dcgan import QualityConfig

_BATCH = 32
_SPLITS = 50
"""Random halves over which the figures are averaged."""
_THUMBNAIL = 32
"""Rows and columns at which pictures are compared with the training pictures."""
_PARTS = 4
"""Rows and columns of parts of a picture over which the maps of the random network are averaged."""
_FEWEST = 4
"""Real pictures without which there are no two halves to compare."""


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that turns pictures into features.

    Attributes:
        name: Says which network it is; belongs to every figure that was measured with it.
        size: Rows and columns that it sees; pictures of another size are resampled.
        network: (N, 1, size, size) in [-1, 1] to (N, features).
        positions: Features that belong to one map, if features are to have mean 0 and, on average over a map, variance
            1 over the training pictures: those of random weights, since nothing says which of them matter. 0 leaves
            them as they are.
    """

    name: str
    size: int
    network: Callable[[torch.Tensor], torch.Tensor]
    positions: int = 0

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Features of pictures (n, rows, columns) in [-1, 1]: float64 (n, features). Memory is that of 32 pictures."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pictures), _BATCH):
                batch = torch.from_numpy(pictures[start : start + _BATCH].astype(np.float32))[:, None]
                parts.append(self.network(resize_pictures(batch, self.size)).double().numpy())
        return np.concatenate(parts)


def feature_network(package: str | None = None) -> FeatureNetwork:
    """The network that features are taken from.

    Args:
        package: Name or folder of a classification package: its embedding, the mean of the deepest maps. None
            gives a small convolutional network of fixed random weights.

    Raises:
        InputError: There is no such package, or it is no classifier.
    """
    if package is None:
        name = "random convolutional network (weights of seed 0, 1280 features, scaled on the training pictures)"
        return FeatureNetwork(name, 128, _RandomNetwork(), _PARTS**2)
    loaded = load_package(package)
    if loaded.card.task != "classification":
        raise InputError(f'"{package}" is no classifier, so it has no features to measure by; name one that is.')
    classifier = loaded.classifier()
    return FeatureNetwork(name_of(loaded), loaded.card.picture.size, classifier.embedding)  # type: ignore[arg-type]


def name_of(classifier: Package) -> str:
    """What a protocol calls a classifier that took part."""
    card = classifier.card
    return f"classifier {card.name} {card.version} (weights {classifier.weights_sha256[:12]})"


@dataclass(frozen=True)
class Neighbours:
    """The training pictures that generated ones are most similar to.

    Attributes:
        pictures: float32 (n, size, size) in [-1, 1], each turned round where its mirror image is the similar one.
        mirrored: (n,), whether it was.
        distance: (n,), root-mean-square difference (range -1 to 1) at 32 x 32 pixels.
        held_back: (m,), the same of the held-back pictures: what no copy can have.
    """

    pictures: np.ndarray
    mirrored: np.ndarray
    distance: np.ndarray
    held_back: np.ndarray


class Quality:
    """Measures generated pictures against real ones; what concerns the real ones alone is measured once.

    Args:
        network: Of the features.
        train: Real pictures (n, rows, columns) in [-1, 1] that the generator learns from.
        held_back: Real pictures that it has never seen.
        seed: Of the random halves.

    Raises:
        InputError: There are fewer than 4 pictures held back.
    """

    def __init__(self, network: FeatureNetwork, train: np.ndarray, held_back: np.ndarray, seed: int = 0) -> None:
        if len(held_back) < _FEWEST:
            raise InputError(
                f"{len(held_back)} pictures are held back, too few to compare with; hold back at least {_FEWEST}."
            )
        self._network, self._seed = network, seed
        self._mean, self._deviation = np.zeros(1), np.ones(1)
        if network.positions:
            features = network(train)
            # One scale for a whole map: in a corner that is black in every training picture the deviation is 0.
            variance = features.var(0).reshape(-1, network.positions).mean(1) + np.finfo(float).tiny
            self._mean, self._deviation = features.mean(0), np.sqrt(variance).repeat(network.positions)
        self._real = self._features(held_back)
        self._pictures = train
        self._train = _thumbnails(np.concatenate([train, train[:, :, ::-1]]))
        self._half = len(held_back) // 2
        halves = [np.split(order[: 2 * self._half], 2) for order in self._orders(len(held_back))]
        pairs = [(self._real[a], self._real[b]) for a, b in halves]
        self._floor = _distances(pairs)
        self._halves = [real for real, _ in pairs]
        self._nearest = nearest(_thumbnails(held_back), self._train)[1]
        self._diversity = mean_pairwise_distance(self._real)

    @property
    def count(self) -> int:
        """Pictures that must be generated at least."""
        return self._half

    @property
    def protocol(self) -> str:
        """What the figures are, for the card."""
        return (
            f"FID and KID on features of the {self._network.name}, means over {_SPLITS} random draws of {self._half} "
            f"generated and {self._half} of {len(self._real)} held-back pictures (kid_sd is the deviation over draws); "
            f"fid_floor and kid_floor are the same of two halves of the held-back pictures. diversity is the mean "
            f"distance of two generated pictures' features, real_diversity that of held-back pictures. nearest_train "
            f"is the median root-mean-square difference (range -1 to 1, at {_THUMBNAIL} x {_THUMBNAIL} pixels) to the "
            f"most similar training picture or its mirror image, real_nearest_train that of held-back pictures; copies "
            f"is the share of pictures more similar to a training picture than any held-back one is"
        )

    def measure(self, pictures: np.ndarray) -> dict[str, float]:
        """Figures of generated pictures (n, rows, columns) in [-1, 1]; `protocol` says what each is.

        Raises:
            InputError: There are fewer pictures than `count`.
        """
        if len(pictures) < self.count:
            raise InputError(f"{len(pictures)} generated pictures are too few; generate at least {self.count}.")
        features = self._features(pictures)
        draws = [features[order[: self._half]] for order in self._orders(len(pictures))]
        found = _distances(list(zip(self._halves, draws, strict=True)))
        distance = nearest(_thumbnails(pictures), self._train)[1]
        return {
            "fid": found["fid"],
            "fid_floor": self._floor["fid"],
            "kid": found["kid"],
            "kid_sd": found["kid_sd"],
            "kid_floor": self._floor["kid"],
            "kid_floor_sd": self._floor["kid_sd"],
            "diversity": mean_pairwise_distance(features),
            "real_diversity": self._diversity,
            "nearest_train": float(np.median(distance)),
            "real_nearest_train": float(np.median(self._nearest)),
            "copies": float((distance < self._nearest.min()).mean()),
        }

    def neighbours(self, pictures: np.ndarray) -> Neighbours:
        """The nearest training picture of each generated picture (n, rows, columns) in [-1, 1]."""
        index, distance = nearest(_thumbnails(pictures), self._train)
        mirrored = index >= len(self._pictures)
        found = self._pictures[index % len(self._pictures)].astype(np.float32)
        found[mirrored] = found[mirrored][:, :, ::-1]
        return Neighbours(found, mirrored, distance, self._nearest)

    def _features(self, pictures: np.ndarray) -> np.ndarray:
        return (self._network(pictures) - self._mean) / self._deviation

    def _orders(self, count: int) -> list[np.ndarray]:
        rng = np.random.default_rng((self._seed, count))
        return [rng.permutation(count) for _ in range(_SPLITS)]


def held_back_quality(
    config: QualityConfig, pictures: np.ndarray, parts: Mapping[str, np.ndarray], part: str
) -> Quality | None:
    """What measures against a held-back part of the pictures; None where nothing is held back.

    Args:
        config: Features, and how many pictures will be generated.
        pictures: (n, size, size) in [-1, 1] of all parts.
        parts: "train" and `part` -> indices of their pictures.
        part: "validation" or "test".

    Raises:
        InputError: Too few are held back or too few will be generated, or the features cannot be had.
    """
    held_back = pictures[parts[part]]
    if not len(held_back):
        return None
    quality = Quality(feature_network(config.feature_package), pictures[parts["train"]], held_back)
    if config.count < quality.count:
        raise InputError(
            f"quality.count must be at least half of the {part} pictures; make it {quality.count} or more."
        )
    return quality


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of features (n, features), (m, features).

    |mean a - mean b|^2 + tr A + tr B - 2 tr (A B)^(1/2), where the last trace is the sum of the singular values of
    X Y^T for centred, scaled features X and Y (A = X^T X, B = Y^T Y): exact for fewer pictures than features too,
    where the matrix square root is not.
    """
    means = a.mean(0) - b.mean(0)
    x, y = (
        np.asarray(np.linalg.qr((features - features.mean(0)) / np.sqrt(len(features) - 1), mode="r"))
        for features in (a, b)
    )
    return float(max(0.0, means @ means + (x**2).sum() + (y**2).sum() - 2 * np.linalg.norm(x @ y.T, "nuc")))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of two sets of features under the kernel (x y / features + 1)^3.

    Being unbiased it is below 0 about as often as above for two sets of the same origin.
    """
    kernel = lambda one, other: (one @ other.T / one.shape[1] + 1) ** 3  # noqa: E731

    def within(features: np.ndarray) -> float:
        values = kernel(features, features)
        return (values.sum() - np.trace(values)) / (len(features) * (len(features) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def mean_pairwise_distance(features: np.ndarray) -> float:
    """Mean Euclidean distance of two different rows; 0 when all pictures are the same."""
    return float(pdist(features).mean())


def nearest(pictures: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most similar other picture of each picture (n, values): its index, and the root-mean-square difference."""
    index, distance = [], []
    for start in range(0, len(pictures), _BATCH):
        distances = cdist(pictures[start : start + _BATCH], others) / np.sqrt(pictures.shape[1])
        index.append(distances.argmin(1))
        distance.append(distances.min(1))
    return np.concatenate(index), np.concatenate(distance)


def _distances(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    kernel = [kernel_distance(a, b) for a, b in pairs]
    return {
        "fid": float(np.mean([frechet_distance(a, b) for a, b in pairs])),
        "kid": float(np.mean(kernel)),
        "kid_sd": float(np.std(kernel)),
    }


def _thumbnails(pictures: np.ndarray) -> np.ndarray:
    """float32 (n, 32 * 32): fine enough to recognise a copy, small enough to compare with all."""
    parts = [
        resize_pictures(
            torch.from_numpy(pictures[start : start + _BATCH].astype(np.float32))[:, None], _THUMBNAIL
        ).flatten(1)
        for start in range(0, len(pictures), _BATCH)
    ]
    return torch.cat(parts).numpy()


class _RandomNetwork(nn.Module):
    """Strided convolutions of fixed random weights; the maps of every layer, averaged over 4 x 4 parts of the picture.

    Half of the filters have a sum of zero: they answer to edges and texture, which the brightness in the other half's
    answers would drown, since most of a medical picture is black.
    """

    def __init__(self, seed: int = 0, width: int = 16, layers: int = 5) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(width if n else 1, width, 3, 2, 1, bias=False) for n in range(layers))
        source = torch.Generator().manual_seed(seed)
        for layer in self.layers:
            weight = torch.randn(layer.weight.shape, generator=source)  # type: ignore[arg-type]
            weight *= (2 / weight[0].numel()) ** 0.5
            weight[width // 2 :] -= weight[width // 2 :].mean((2, 3), keepdim=True)
            weight[width // 2 :] *= 1.6  # edges are few
            layer.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = []
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.2)
            features.append(nn.functional.adaptive_avg_pool2d(x, _PARTS).flatten(1))
        return torch.cat(features, 1)
