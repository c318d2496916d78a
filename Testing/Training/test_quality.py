"""FID and KID against what they must be by their formulas, and against pictures that are better and worse."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter

from MRITranslateLib.errors import InputError
from Testing.MRITranslateLib.packages import tiny_package
from Training.neighbours import save_neighbours
from Training.quality import (
    Quality,
    feature_network,
    frechet_distance,
    kernel_distance,
    mean_pairwise_distance,
    nearest,
)
from Training.runfolder import RunFolder
from Training.samples import read_sheet


def gaussian(rng: np.random.Generator, mean: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    """Features whose sample mean and covariance are exactly these."""
    values = rng.standard_normal((count, len(mean)))
    values -= values.mean(0)
    values = values @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T))).T
    return values @ np.linalg.cholesky(covariance).T + mean


def heads(rng: np.random.Generator, count: int, size: int = 32) -> np.ndarray:
    """Ellipses with a bright rim and texture, no two alike."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    pictures = []
    for _ in range(count):
        radius = np.hypot(x / rng.uniform(0.5, 0.8), y / rng.uniform(0.7, 0.95))
        texture = gaussian_filter(rng.standard_normal((size, size)), 1)
        pictures.append(np.where(radius < 0.85, 0.5 * texture, np.where(radius < 1, 0.9, -1.0)))
    return np.clip(np.stack(pictures), -1, 1).astype(np.float32)


def test_the_frechet_distance_of_gaussians_is_the_analytic_one():
    rng = np.random.default_rng(1)
    one = gaussian(rng, np.array([0.0, 1.0, 2.0]), np.diag([1.0, 4.0, 9.0]), 40)
    other = gaussian(rng, np.array([1.0, 1.0, 0.0]), np.diag([4.0, 4.0, 1.0]), 60)
    assert frechet_distance(one, other) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_agrees_with_the_matrix_square_root_and_needs_no_more_pictures_than_features():
    rng = np.random.default_rng(2)
    one, other = rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6)), rng.standard_normal((70, 6)) + 0.3
    a, b = np.cov(one.T), np.cov(other.T)
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)
    turned = np.linalg.qr(rng.standard_normal((200, 200)))[0][:6]  # the same clouds in 200 dimensions
    assert frechet_distance(one @ turned, other @ turned) == pytest.approx(expected, rel=1e-6)


def test_the_kernel_distance_is_the_u_statistic_and_has_no_bias():
    rng = np.random.default_rng(3)
    one, other = rng.standard_normal((5, 4)), rng.standard_normal((6, 4)) + 1
    kernel = lambda x, y: (x @ y / 4 + 1) ** 3  # noqa: E731
    within = [
        np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (one, other)
    ]
    across = np.mean([kernel(x, y) for x in one for y in other])
    assert kernel_distance(one, other) == pytest.approx(within[0] + within[1] - 2 * across)
    same = [kernel_distance(rng.standard_normal((8, 4)), rng.standard_normal((8, 4))) for _ in range(500)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(len(same))
    assert min(same) < 0


def test_diversity_and_nearest_neighbours():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert mean_pairwise_distance(points) == pytest.approx((5 + 0 + 5) / 3)
    index, distance = nearest(np.array([[3.0, 3.0]]), points)
    assert index.tolist() == [1]
    assert distance[0] == pytest.approx(1 / np.sqrt(2))


def test_worse_pictures_score_worse_and_copies_are_told():
    rng = np.random.default_rng(4)
    train, real = heads(rng, 60), heads(rng, 40)
    quality = Quality(feature_network(), train, real)
    good = quality.measure(heads(rng, 40))
    assert abs(good["kid_floor"]) < good["kid_floor_sd"]
    assert good["kid"] < 2 * good["kid_floor_sd"]
    assert good["fid"] < 1.3 * good["fid_floor"]
    assert good["copies"] < 0.2
    assert good["diversity"] == pytest.approx(good["real_diversity"], rel=0.1)

    fresh = heads(rng, 40)
    blurred, noise = gaussian_filter(fresh, (0, 1, 1)), np.tanh(rng.standard_normal(fresh.shape)).astype(np.float32)
    collapsed = fresh[np.arange(40) % 2]
    bad = [quality.measure(pictures) for pictures in (blurred, noise, collapsed)]
    for scores in bad:
        assert scores["kid"] > 5 * good["kid_floor_sd"]
        assert scores["fid"] > 1.3 * good["fid"]
    assert bad[2]["diversity"] < 0.8 * good["diversity"]

    mirrored = quality.measure(train[:40, :, ::-1])
    assert mirrored["copies"] == 1
    assert mirrored["nearest_train"] == pytest.approx(0, abs=1e-6)
    assert good["nearest_train"] > 0.5 * good["real_nearest_train"] > 0


def test_the_figure_of_neighbours_shows_the_copies_first(tmp_path):
    rng = np.random.default_rng(7)
    train, real, made = heads(rng, 20), heads(rng, 9), heads(rng, 21)
    made[13] = train[4, :, ::-1]
    quality = Quality(feature_network(), train.astype(np.float16), real)
    found = quality.neighbours(made)
    assert found.distance.argmin() == 13
    assert found.distance[13] == pytest.approx(0, abs=1e-3)
    assert found.mirrored[13]
    np.testing.assert_allclose(found.pictures[13], made[13], atol=1e-3)
    assert found.held_back.min() > 0.05
    turned = found.pictures[~found.mirrored][0]
    assert (np.abs(train - turned).max((1, 2)) < 1e-3).sum() == 1

    folder = RunFolder(tmp_path / "run", resume=False)
    save_neighbours(folder, quality, made)
    ((picture,),) = read_sheet(folder.path / "neighbours.png").tiles
    bottom = picture.shape[0] - 6 * (160 + 32)  # 18 pairs in rows of three below the title
    first = picture[bottom + 32 : bottom + 32 + 160, : 2 * 160, 0]
    assert np.abs(first[:, :160] - first[:, 160:]).mean() < 0.02
    last = picture[-160:, -2 * 160 :, 0]
    assert np.abs(last[:, :160] - last[:, 160:]).mean() > 0.04


def test_figures_are_the_same_every_time_and_say_what_they_are():
    rng = np.random.default_rng(5)
    train, real, made = heads(rng, 10), heads(rng, 9), heads(rng, 12)
    first, second = (Quality(feature_network(), train, real) for _ in range(2))
    assert first.measure(made) == second.measure(made)
    assert "random convolutional network (weights of seed 0" in first.protocol
    assert "4 generated and 4 of 9 held-back" in first.protocol
    with pytest.raises(InputError, match="generate at least 4"):
        first.measure(made[:3])
    with pytest.raises(InputError, match="hold back at least"):
        Quality(feature_network(), train, real[:3])


def test_features_do_not_depend_on_the_batch_and_come_from_a_named_classifier_if_there_is_one(tmp_path):
    pictures = heads(np.random.default_rng(6), 40)
    for network, count in (
        (feature_network(), 1280),
        (feature_network(str(tiny_package(tmp_path / "c", task="classification"))), 8),
    ):
        features = network(pictures)
        assert features.shape == (40, count)
        assert features.dtype == np.float64
        np.testing.assert_allclose(network(pictures[35:36]), features[35:36], rtol=1e-4, atol=1e-5)
    assert network.name.startswith("classifier tiny_classes 1.0.0")
    with pytest.raises(InputError, match="no classifier"):
        feature_network(str(tiny_package(tmp_path / "t")))
