"""Normalisers: what they promise, and their exact inverses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MRITranslateLib import intensity
from MRITranslateLib.card import NormaliserCard
from MRITranslateLib.errors import InputError, PackageError

MEDIAN = NormaliserCard(name="foreground_median")
PERCENTILE = NormaliserCard(name="foreground_percentile")
WINDOW = NormaliserCard(name="window", parameters={"low": -1024, "high": 3071})


def head(seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Noisy tissue in a dark background, float32 (8, 32, 32)."""
    rng = np.random.default_rng(seed)
    volume = rng.gamma(2.0, 3.0, (8, 32, 32))
    volume[:, 8:24, 8:24] += rng.normal(300, 60, (8, 16, 16)).clip(50)
    return (volume * scale).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e4), st.sampled_from([MEDIAN, PERCENTILE]))
def test_the_inverse_is_exact_between_the_clips(seed, scale, card):
    volume = head(seed, scale)
    normaliser = intensity.fit(card, volume)
    values = normaliser.apply(volume)
    inside = values < normaliser.high
    np.testing.assert_allclose(normaliser.invert(values)[inside], volume[inside], rtol=1e-4, atol=1e-4 * scale)


@st.composite
def normalisers(draw: st.DrawFn) -> NormaliserCard:
    """Every kind, with any parameters that make sense."""
    name = draw(st.sampled_from(["foreground_median", "foreground_percentile", "window"]))
    if name == "window":
        low, width = draw(st.floats(-3000, 3000)), draw(st.floats(1, 6000))
        return NormaliserCard(name=name, parameters={"low": low, "high": low + width})
    own = {"factor": st.floats(0.5, 8)} if name == "foreground_median" else {"percentile": st.floats(50, 100)}
    options = {key: draw(values) for key, values in own.items() if draw(st.booleans())}
    if draw(st.booleans()):
        options["clip_high"] = draw(st.floats(1, 6))
    return NormaliserCard(name=name, parameters=options)


@settings(max_examples=150, deadline=None)
@given(
    card=normalisers(),
    seed=st.integers(0, 1000),
    scale=st.floats(1e-3, 1e4),
    shape=st.tuples(st.integers(1, 5), st.integers(8, 24), st.integers(8, 24)),
)
def test_there_and_back_is_clipping_for_every_normaliser(card, seed, scale, shape):
    """What lies between the clips comes back, what lies beyond comes back as the clip; one slice is enough."""
    rng = np.random.default_rng(seed)
    volume = (rng.gamma(2.0, 100.0, shape) * scale).astype(np.float32)
    normaliser = intensity.fit(card, volume)
    values = normaliser.apply(volume)
    assert values.dtype == np.float32
    assert values.shape == volume.shape
    assert normaliser.low <= values.min() <= values.max() <= np.float32(normaliser.high)
    ends = [normaliser.offset + end * normaliser.scale for end in (normaliser.low, normaliser.high)]
    rounding = 1e-5 * max(abs(normaliser.offset), normaliser.scale, *map(abs, ends))
    np.testing.assert_allclose(normaliser.invert(values), np.clip(volume, *ends), rtol=1e-5, atol=rounding)
    again = normaliser.apply(normaliser.invert(values))
    np.testing.assert_allclose(again, values, atol=2 * rounding / normaliser.scale)


@settings(max_examples=100, deadline=None)
@given(card=normalisers(), values=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20))
def test_what_a_network_makes_up_is_held_to_the_bounds_and_keeps_its_order(card, values):
    normaliser = intensity.unfitted(card) if card.name == "window" else intensity.fit(card, head())
    array = np.sort(np.float32(values))
    restored = normaliser.invert(array)
    low, high = normaliser.bounds
    assert np.float32(low) <= restored.min() <= restored.max() <= np.float32(high)
    assert np.all(np.diff(restored) >= 0)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-3, 1e4), st.sampled_from([MEDIAN, PERCENTILE]))
def test_the_unit_of_an_mri_does_not_matter(scale, card):
    volume = head(3)
    reference = intensity.fit(card, volume).apply(volume)
    np.testing.assert_allclose(
        intensity.fit(card, volume * np.float32(scale)).apply(volume * np.float32(scale)), reference, atol=2e-4
    )


def test_landmarks_go_where_the_documentation_says():
    volume = head()
    tissue = volume[intensity.foreground(volume)]
    values = intensity.fit(MEDIAN, np.float32(volume)).apply(np.float32([0, np.median(tissue), 2 * np.median(tissue)]))
    np.testing.assert_allclose(values, [-1, 0, 1], atol=1e-5)
    top = np.percentile(tissue, 99.5)
    np.testing.assert_allclose(intensity.fit(PERCENTILE, volume).apply(np.float32([0, top])), [-1, 1], atol=1e-5)


def test_ct_is_windowed_and_restored_in_hounsfield_units():
    normaliser = intensity.fit(WINDOW, head())
    hounsfield = np.float32([-1024, -1000, 0, 40, 1500, 3071])
    np.testing.assert_allclose(normaliser.invert(normaliser.apply(hounsfield)), hounsfield, atol=1e-3)
    np.testing.assert_array_equal(normaliser.apply(np.float32([-2000, 9000])), [-1, 1])
    np.testing.assert_allclose(normaliser.invert(np.float32([-3, 3])), [-1024, 3071])


def test_skull_stripped_and_whole_head_share_the_foreground_rule():
    volume = head()
    stripped = np.where(volume > 40, volume, 0)
    whole, bare = (np.median(array[intensity.foreground(array)]) for array in (volume, stripped))
    assert abs(whole - bare) < 0.02 * whole


def test_a_synthetic_mri_has_its_unit_at_1000():
    assert intensity.unfitted(PERCENTILE).invert(np.float32([-1, 1])).tolist() == [0, 1000]
    assert intensity.unfitted(PERCENTILE).invert(np.float32([-1.2])).tolist() == [0]


def test_bad_input():
    with pytest.raises(InputError, match="same value everywhere"):
        intensity.fit(MEDIAN, np.full((4, 4, 4), 3.0, np.float32))
    with pytest.raises(InputError, match="not brighter than 0"):
        intensity.fit(MEDIAN, -head())
    with pytest.raises(PackageError, match='no parameter "speed"'):
        intensity.fit(NormaliserCard(name="foreground_median", parameters={"speed": 1}), head())
    with pytest.raises(PackageError, match='gives no "low"'):
        intensity.fit(NormaliserCard(name="window"), head())
    with pytest.raises(PackageError, match="window is empty"):
        intensity.unfitted(NormaliserCard(name="window", parameters={"low": 5, "high": 5}))
