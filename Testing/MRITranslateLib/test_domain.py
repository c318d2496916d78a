"""The domain guard: what passes, what is said, what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.contrast import looks_like_ct
from MRITranslateLib.domain import check, check_domain, foreground_quantiles
from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import phantom

from .packages import any_card, card

DOMAIN = {"field_of_view_mm": [[180, 260], [180, 260], [120, 200]], "spacing_mm": [[0.7, 2.5], [0.7, 2.5], [1, 6]]}


@pytest.fixture(scope="module")
def head():
    return phantom(seed=3, shape=(32, 96, 96))


def test_a_head_within_the_domain_passes_without_a_word(head):
    assert check_domain(head.t1, card(domain=DOMAIN)) == []


def test_ct_and_mri_are_told_apart(head):
    assert looks_like_ct(head.ct)
    for image in (head.t1, head.t2, head.flair, head.pd, head.t1 - 50, sitk.Cast(head.t1, sitk.sitkInt16)):
        assert not looks_like_ct(image)
    with pytest.raises(InputError, match="looks like a CT"):
        check_domain(head.ct, card(domain=DOMAIN))
    with pytest.raises(InputError, match="does not look like a CT"):
        check_domain(head.t1, card(domain=DOMAIN, source="CT"))


def test_the_patients_axes_are_compared_however_the_scan_is_stored(head):
    sagittal = sitk.DICOMOrient(head.t1, "PIR")
    assert check_domain(sagittal, card(domain=DOMAIN)) == []


def test_a_partial_field_of_view_is_said(head):
    (warning,) = check_domain(head.t1[:, :, 10:20], card(domain=DOMAIN))
    assert warning.startswith("The field of view is")
    assert "head-foot" in warning


@pytest.mark.parametrize("factor", [0.01, 100])
def test_absurd_sizes_are_refused(head, factor):
    image = sitk.Image(head.t1)
    image.SetSpacing([value * factor for value in image.GetSpacing()])
    with pytest.raises(InputError, match="correct the voxel spacing"):
        check_domain(image, card(domain=DOMAIN))


def test_quantiles_rise():
    values = foreground_quantiles(np.random.default_rng(0).gamma(2, 1, (4, 32, 32)).astype(np.float32))
    assert list(values) == ["p10", "p50", "p90", "p99"]
    assert list(values.values()) == sorted(values.values())


def test_another_contrast_is_said_but_not_refused(head):
    report = check(head.t2, SimpleNamespace(card=card(domain=DOMAIN)))
    assert report.outcome == "warn"
    assert report.contrast.name == "T2"
    assert report.reasons[0].startswith("This looks like a T2-weighted MRI (")
    assert "tiny needs T1" in report.reasons[0]
    assert check_domain(head.t2, card(domain=DOMAIN))[0] == report.reasons[0]


def test_the_right_contrast_is_ok_and_a_ct_is_refused(head):
    package = SimpleNamespace(card=card(domain=DOMAIN))
    assert check(head.t1, package).reasons == []
    assert check(head.t1, package).outcome == "ok"
    refused = check(head.ct, package)
    assert refused.outcome == "refuse"
    assert "looks like a CT" in refused.reasons[0]
    assert check(head.t1, SimpleNamespace(card=card(domain=DOMAIN, source="CT"))).outcome == "refuse"


def test_models_without_a_scan_as_input_take_anything(head):
    for task in ("generation", "radiograph", "classification"):  # the classifier is one of chest X-rays
        assert check(head.t2, SimpleNamespace(card=any_card(task))).outcome == "ok"
    picky = check(head.t2, SimpleNamespace(card=any_card("classification", source="T1")))
    assert picky.outcome == "warn"


@pytest.mark.parametrize(
    ("low", "high", "spacing", "text"), [(1, 1, 2.6, "trained on 1 mm"), (1, 4, 9.0, "trained on 1 to 4 mm")]
)
def test_one_spacing_of_the_training_is_no_range(head, low, high, spacing, text):
    domain = {**DOMAIN, "spacing_mm": [[low, high]] * 3}
    image = sitk.Image(head.t1)
    image.SetSpacing((spacing,) * 3)
    assert any(text in warning for warning in check_domain(image, card(domain=domain)))
