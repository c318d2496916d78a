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
