"""The phantom head: reproducible, one anatomy on every grid, contrasts and CT numbers as the tissues demand."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import (
    DEFAULTS,
    TISSUES,
    Acquisition,
    Phantom,
    gradient_echo,
    inversion_recovery,
    phantom,
    spin_echo,
    tissue_signal,
)
from MRITranslateLib.phantom.canvas import Window
from MRITranslateLib.phantom.fields import WaveField
from MRITranslateLib.phantom.grid import make_grid
from MRITranslateLib.phantom.sampling import block_fractions
from MRITranslateLib.phantom.shapes import Ellipsoid, Tube
from MRITranslateLib.phantom.signal import randomised_acquisition
from MRITranslateLib.phantom.subject import Subject
from MRITranslateLib.phantom.tissue import CSF, LESION, NAMES

CONTRASTS = ("t1", "t2", "flair", "pd")
IMAGES = (*CONTRASTS, "ct", "labels", "lesions")
SMALL = (16, 48, 48)


def whole(shape: tuple[int, int, int]) -> Window:
    """The window of all voxels."""
    slices, rows, columns = shape
    return slice(0, slices), slice(0, rows), slice(0, columns)


def array(image: sitk.Image) -> NDArray[np.float64]:
    return sitk.GetArrayFromImage(image).astype(np.float64)


@pytest.fixture(scope="module")
def head() -> Phantom:
    return phantom(seed=1, lesions=4)


@pytest.fixture(scope="module")
def means(head: Phantom) -> Callable[[str, str], float]:
    """Median of an image over the voxels in which a tissue has the largest share."""
    labels = sitk.GetArrayFromImage(head.labels)

    def of(contrast: str, tissue: str) -> float:
        return float(np.median(sitk.GetArrayFromImage(getattr(head, contrast))[labels == NAMES[tissue]]))

    return of


def test_every_image_is_on_one_grid(head: Phantom) -> None:
    for name in IMAGES:
        image = getattr(head, name)
        assert image.GetSize() == (128, 128, 96)
        assert image.GetSpacing() == head.t1.GetSpacing() == (2, 2, 2)
        assert image.GetOrigin() == head.t1.GetOrigin()
        assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert {getattr(head, name).GetPixelID() for name in CONTRASTS} == {sitk.sitkFloat32}
    assert head.ct.GetPixelID() == sitk.sitkInt16
    assert head.labels.GetPixelID() == head.lesions.GetPixelID() == sitk.sitkUInt8


def test_values_are_finite_and_magnitudes_are_not_negative(head: Phantom) -> None:
    for name in CONTRASTS:
        values = array(getattr(head, name))
        assert np.isfinite(values).all()
        assert values.min() >= 0


def test_the_same_seed_gives_the_same_arrays() -> None:
    first, second = (phantom(seed=3, shape=SMALL, lesions=2, randomise=True) for _ in range(2))
    for name in IMAGES:
        assert np.array_equal(array(getattr(first, name)), array(getattr(second, name)))


def test_another_seed_gives_another_head() -> None:
    first, second = (sitk.GetArrayFromImage(phantom(seed=seed, shape=SMALL).labels) for seed in (5, 6))
    tissue = (first > 0) | (second > 0)
    assert 0.2 < np.mean(first[tissue] != second[tissue]) < 0.9


def test_lesions_change_nothing_but_their_voxels() -> None:
    healthy, ill = phantom(seed=2, shape=SMALL), phantom(seed=2, shape=SMALL, lesions=3)
    changed = array(healthy.t2) != array(ill.t2)
    assert 0 < changed.mean() < 0.01


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 96, 80), (7, 33, 51), (40, 9, 17), (5, 160, 31)])
def test_any_shape(shape: tuple[int, int, int]) -> None:
    small = phantom(seed=4, shape=shape)
    assert small.t1.GetSize() == shape[::-1]
    assert np.isfinite(array(small.flair)).all()
    if min(shape[1:]) > 8:
        assert array(small.labels).any(), "a head is seen in every default field of view"


@settings(max_examples=6, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**31),
    flip=st.booleans(),
)
def test_fractions_sum_to_one(shape: tuple[int, int, int], seed: int, flip: bool) -> None:
    direction = (0, 0, 1, 1, 0, 0, 0, -1, 0) if flip else None
    fractions = block_fractions(Subject(seed), make_grid(shape, direction=direction), whole(shape))
    assert fractions.shape == (len(TISSUES), *shape)
    assert fractions.min() >= -1e-6
    assert np.allclose(fractions.sum(axis=0), 1.0, atol=1e-5)


def test_two_resolutions_show_the_same_anatomy() -> None:
    coarse = sitk.GetArrayFromImage(phantom(seed=8, shape=(12, 48, 48), spacing=(5, 5, 6)).labels)
    fine = sitk.GetArrayFromImage(phantom(seed=8, shape=(36, 144, 144), spacing=(5 / 3, 5 / 3, 2)).labels)[
        1::3, 1::3, 1::3
    ]
    head, bone = (coarse > 0, fine > 0), (coarse == NAMES["cortical bone"], fine == NAMES["cortical bone"])
    assert 2 * np.sum(head[0] & head[1]) / (head[0].sum() + head[1].sum()) > 0.97
    assert 2 * np.sum(bone[0] & bone[1]) / (bone[0].sum() + bone[1].sum()) > 0.6
    assert np.mean(coarse == fine) > 0.88


def test_tissue_volumes_do_not_depend_on_the_resolution() -> None:
    volumes = []
    for shape, spacing in (((20, 60, 60), (4.0, 4.0, 6.0)), ((60, 120, 120), (2.0, 2.0, 2.0))):
        fractions = block_fractions(Subject(9), make_grid(shape, spacing), whole(shape))
        volumes.append(fractions.sum(axis=(1, 2, 3)) * math.prod(spacing))
    for name in ("white matter", "grey matter", "fat", "cortical bone"):
        assert volumes[0][NAMES[name]] == pytest.approx(volumes[1][NAMES[name]], rel=0.04)


def test_an_oblique_grid_samples_the_same_head() -> None:
    angle = math.radians(25)
    turned = (math.cos(angle), -math.sin(angle), 0, math.sin(angle), math.cos(angle), 0, 0, 0, 1)
    straight = phantom(seed=7, shape=(10, 80, 80), spacing=(3, 3, 3))
    oblique = phantom(seed=7, shape=(10, 80, 80), spacing=(3, 3, 3), direction=turned)
    assert oblique.t1.GetDirection() == pytest.approx(turned)
    back = sitk.Resample(oblique.ct, straight.ct, sitk.Transform(), sitk.sitkLinear, -1000)
    difference = np.abs(array(back) - array(straight.ct))[:, 25:-25, 25:-25]
    assert np.median(difference) < 12, "noise of 4 HU in both"
    assert np.mean(difference > 300) < 0.03


def test_t1_contrast(means: Callable[[str, str], float]) -> None:
    assert means("t1", "fat") > means("t1", "white matter") > 1.2 * means("t1", "grey matter")
    assert means("t1", "grey matter") > 1.5 * means("t1", "cerebrospinal fluid")
    assert means("t1", "cortical bone") < 0.5 * means("t1", "grey matter")


def test_t2_contrast(means: Callable[[str, str], float]) -> None:
    assert means("t2", "cerebrospinal fluid") > 1.3 * means("t2", "grey matter")
    assert means("t2", "grey matter") > 1.1 * means("t2", "white matter")
    assert means("t2", "vitreous") > 1.5 * means("t2", "fat")
    assert means("t2", "muscle") < means("t2", "white matter")


def test_flair_darkens_fluid_and_shows_lesions(means: Callable[[str, str], float]) -> None:
    assert means("flair", "cerebrospinal fluid") < 0.6 * means("flair", "white matter")
    assert means("flair", "grey matter") > means("flair", "white matter")
    assert means("flair", "white-matter lesion") > 1.4 * means("flair", "white matter")


def test_lesions_look_like_lesions(means: Callable[[str, str], float]) -> None:
    assert means("t2", "white-matter lesion") > 1.4 * means("t2", "white matter")
    assert means("t1", "white-matter lesion") < 0.9 * means("t1", "white matter")
    assert means("ct", "white-matter lesion") < means("ct", "white matter") - 2


@pytest.mark.parametrize(
    ("tissue", "low", "high"),
    [
        ("air", -1024, -960),
        ("fat", -115, -60),
        ("cerebrospinal fluid", -5, 30),
        ("vitreous", 0, 20),
        ("white matter", 24, 34),
        ("grey matter", 28, 44),
        ("muscle", 35, 65),
        ("marrow", 250, 750),
        ("cortical bone", 700, 1900),
        ("tooth", 1300, 2600),
    ],
)
def test_ct_numbers(means: Callable[[str, str], float], tissue: str, low: float, high: float) -> None:
    assert low <= means("ct", tissue) <= high


def test_the_background_is_air(head: Phantom) -> None:
    labels = sitk.GetArrayFromImage(head.labels)
    corner = (slice(None), slice(0, 6), slice(0, 6))
    assert not labels[corner].any()
    assert array(head.ct)[corner].mean() == pytest.approx(-1000, abs=1)


def test_a_head_of_human_size(head: Phantom) -> None:
    labels = sitk.GetArrayFromImage(head.labels)
    litres = np.bincount(labels.ravel(), minlength=len(TISSUES)) * np.prod(head.t1.GetSpacing()) / 1e6
    brain = sum(litres[NAMES[name]] for name in ("white matter", "grey matter", "deep grey matter"))
    assert 0.9 < brain < 1.7
    assert 0.1 < litres[CSF] < 0.6
    assert 0.35 < litres[NAMES["white matter"]] / brain < 0.68
    assert {head.label_names[value] for value in np.unique(labels)} >= {
        "lens",
        "tooth",
        "mucosa",
        "venous blood",
        "dura",
    }


@pytest.mark.parametrize(("seed", "count"), [(1, 1), (2, 5), (3, 12)])
def test_the_number_of_lesions(seed: int, count: int) -> None:
    ill = phantom(seed=seed, shape=(72, 96, 96), lesions=count)
    assert len(ill.lesion_centres) == count
    components = sitk.ConnectedComponent(ill.lesions > 0, True)
    assert int(sitk.GetArrayViewFromImage(components).max()) == count
    assert np.array_equal(np.unique(sitk.GetArrayViewFromImage(ill.lesions)), np.arange(count + 1))
    inside = sitk.GetArrayViewFromImage(ill.labels)[sitk.GetArrayViewFromImage(ill.lesions) > 0]
    assert np.mean(inside == LESION) > 0.8
    for number, centre in enumerate(ill.lesion_centres, start=1):
        assert ill.lesions[ill.lesions.TransformPhysicalPointToIndex(centre)] == number


def test_lesions_lie_in_white_matter() -> None:
    healthy, ill = (phantom(seed=6, shape=(40, 64, 64), lesions=count) for count in (0, 6))
    under = sitk.GetArrayViewFromImage(healthy.labels)[sitk.GetArrayViewFromImage(ill.lesions) > 0]
    assert np.mean(under == NAMES["white matter"]) > 0.95


def test_spin_echo_equation() -> None:
    assert spin_echo(1.0, 1000.0, 100.0, 1000.0, 100.0) == pytest.approx((1 - 1 / math.e) / math.e)
    assert spin_echo(0.8, 500.0, 50.0, 1e9, 0.0) == pytest.approx(0.8)


def test_inversion_recovery_equation() -> None:
    t1 = 4000.0
    null = t1 * math.log(2.0)
    assert inversion_recovery(1.0, t1, 100.0, 1e9, 10.0, null) == pytest.approx(0.0, abs=1e-12)
    assert inversion_recovery(1.0, t1, 100.0, 1e9, 0.0, 0.0) == pytest.approx(1.0)
    assert inversion_recovery(0.9, t1, 1e9, 1e9, 0.0, 1e9) == pytest.approx(0.9)


def test_gradient_echo_equation() -> None:
    assert gradient_echo(1.0, 800.0, 50.0, 100.0, 50.0, 90.0) == pytest.approx((1 - math.exp(-0.125)) / math.e)
    ernst = math.degrees(math.acos(math.exp(-20.0 / 800.0)))
    best = gradient_echo(1.0, 800.0, 50.0, 20.0, 5.0, ernst)
    assert best > gradient_echo(1.0, 800.0, 50.0, 20.0, 5.0, ernst - 3)
    assert best > gradient_echo(1.0, 800.0, 50.0, 20.0, 5.0, ernst + 3)


def test_the_inversion_time_nulls_the_fluid() -> None:
    flair = DEFAULTS["flair"]
    assert tissue_signal(TISSUES[CSF], flair) < 0.1 * tissue_signal(TISSUES[NAMES["white matter"]], flair)


def test_a_noise_free_acquisition_gives_the_equation() -> None:
    plain = Acquisition("spin_echo", tr=600.0, te=12.0, noise=0.0, bias=0.0)
    still = phantom(seed=1, shape=(1, 128, 128), acquisitions={"t1": plain})
    labels, values = sitk.GetArrayFromImage(still.labels), array(still.t1)
    white = np.median(values[labels == NAMES["white matter"]])
    assert white == pytest.approx(tissue_signal(TISSUES[NAMES["white matter"]], plain), rel=0.03)
    assert not values[:, :4].any(), "no noise: air is empty"


def test_noise_is_rician_in_air() -> None:
    acquisition = replace(DEFAULTS["t1"], noise=0.05)
    noisy = phantom(seed=1, shape=(8, 64, 64), acquisitions={"t1": acquisition})
    background = array(noisy.t1)[:, :5, :]
    sigma = 0.05 * tissue_signal(TISSUES[NAMES["white matter"]], acquisition)
    assert background.mean() == pytest.approx(sigma * math.sqrt(math.pi / 2), rel=0.06), "Rayleigh mean"


def test_randomised_heads_keep_anatomy_and_change_contrast() -> None:
    plain, varied = phantom(seed=11, shape=SMALL), phantom(seed=11, shape=SMALL, randomise=True)
    assert np.array_equal(array(plain.labels), array(varied.labels))
    assert varied.acquisitions != plain.acquisitions
    white = array(plain.labels) == NAMES["white matter"]
    assert np.median(array(varied.t1)[white]) != pytest.approx(np.median(array(plain.t1)[white]), rel=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_randomised_protocols_keep_the_order_of_tissues(seed: int) -> None:
    generator = np.random.default_rng(seed)
    white, grey, fluid = (TISSUES[NAMES[name]] for name in ("white matter", "grey matter", "cerebrospinal fluid"))
    t1 = randomised_acquisition("t1", generator)
    assert tissue_signal(white, t1) > tissue_signal(grey, t1) > tissue_signal(fluid, t1)
    t2 = randomised_acquisition("t2", generator)
    assert tissue_signal(fluid, t2) > tissue_signal(grey, t2) > tissue_signal(white, t2)
    flair = randomised_acquisition("flair", generator)
    assert tissue_signal(grey, flair) > tissue_signal(white, flair) > tissue_signal(fluid, flair)


def test_a_field_has_unit_variance_and_is_the_same_on_a_grid_and_at_points() -> None:
    field = WaveField(np.random.default_rng(0), 40, (20.0, 60.0), 2)
    matrix, offset = (
        np.diag((2.0, 3.0, 4.0)) @ np.linalg.qr(np.arange(9.0).reshape(3, 3) + np.eye(3))[0],
        np.array((5.0, -3.0, 1.0)),
    )
    values = field.on_grid(matrix, offset, (20, 30, 40))
    index = np.stack(np.meshgrid(np.arange(40), np.arange(30), np.arange(20), indexing="ij"), axis=-1).transpose(
        2, 1, 0, 3
    )
    points = index.reshape(-1, 3) @ matrix.T + offset
    assert np.allclose(field.at(points).reshape(values.shape), values, atol=2e-4)
    assert 0.5 < values.std() < 1.5


def test_the_gradient_of_a_field() -> None:
    field = WaveField(np.random.default_rng(1), 30, (20.0, 60.0))
    points = np.random.default_rng(2).uniform(-50, 50, size=(3, 20)).astype(np.float32)
    value, gradient = field.with_gradient(points)
    for axis in range(3):
        step = np.zeros((3, 1), np.float32)
        step[axis] = 0.05
        numeric = (field.with_gradient(points + step)[0] - field.with_gradient(points - step)[0]) / 0.1
        assert np.allclose(numeric, gradient[axis], atol=2e-3)
    assert np.allclose(value, field.at(points.T)[0], atol=1e-4)


def test_distances_of_solids() -> None:
    x, y, z = (np.array([value], np.float32) for value in (13.0, 0.0, 0.0))
    assert Ellipsoid((0, 0, 0), (10, 10, 10)).distance(x, y, z)[0] == pytest.approx(3.0, abs=1e-4)
    assert Tube(((0, 0, -5), (0, 0, 5)), (2, 2)).distance(x, y, z)[0] == pytest.approx(11.0, abs=1e-4)
    assert Tube(((0, 0, -5), (0, 0, 5)), (2, 4)).distance(x, y, z)[0] == pytest.approx(10.0, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": (0, 10, 10)}, "out of range"),
        ({"shape": (-4, 10, 10)}, "out of range"),
        ({"shape": (2000, 10, 10)}, "out of range"),
        ({"shape": (1000, 1000, 1000)}, "out of range"),
        ({"shape": (10, 10)}, "three whole numbers"),
        ({"shape": (10.5, 10, 10)}, "three whole numbers"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"lesions": -1}, "number of lesions"),
        ({"lesions": 1000}, "number of lesions"),
        ({"spacing": (0, 1, 1)}, "spacing"),
        ({"spacing": (math.nan, 1, 1)}, "spacing"),
        ({"spacing": (1000, 1, 1)}, "spacing"),
        ({"origin": (math.inf, 0, 0)}, "origin"),
        ({"direction": (1, 0, 0, 1, 0, 0, 0, 0, 1)}, "direction"),
        ({"direction": (1, 0, 0)}, "direction"),
        ({"acquisitions": {"dwi": Acquisition()}}, "Unknown contrast"),
    ],
)
def test_bad_input_is_one_sentence(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        phantom(**{"shape": (8, 16, 16), **arguments})  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
