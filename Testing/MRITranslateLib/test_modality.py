"""Modalities: the codes that go into the scene and into DICOM."""

import pytest

from MRITranslateLib.errors import InputError
from MRITranslateLib.modality import MODALITIES, modality


def test_names_in_any_case():
    assert modality("flair") is MODALITIES["FLAIR"]
    with pytest.raises(InputError, match="use one of T1, T2, FLAIR"):
        modality("SWI")


def test_ct_is_in_hounsfield_units_and_mri_has_none():
    ct = modality("CT")
    assert (ct.quantity_code, ct.units_code, ct.background, ct.window) == ("112031", "[hnsf'U]", -1024.0, (100.0, 50.0))
    assert ct.value_range == (-1024.0, 3071.0)
    for name in ("T1", "T2", "FLAIR", "PD"):
        assert (modality(name).quantity_code, modality(name).units_code, modality(name).background) == (
            "110852",
            "1",
            0.0,
        )
