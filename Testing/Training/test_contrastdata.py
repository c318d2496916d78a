"""Scans of known contrast: found by their names, made by phantoms, and changed as scanners would change them."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MRITranslateLib.contrast import NAMES
from MRITranslateLib.phantom import phantom
from MRITranslateLib.volume import write_volume
from Testing.MRITranslateLib.dicoms import write_slice
from Training.contrastdata import NONE, Scan, phantom_scans, real_scans, varied


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes, a DICOM series and pictures of several people, as a folder of data sets holds them."""
    folder = tmp_path_factory.mktemp("scans")
    head = phantom(seed=1, shape=(8, 32, 32), spacing=(0.75, 0.75, 6.0))
    for place in (
        "set/ms_a/t1",
        "set/ms_a/flair_smooth8mm",
        "set/ms_a/labels",
        "tmpl_x/t2",
        "tmpl_y/t2",
        "set/b/ct_cormack",
    ):
        kind = Path(place).name.split("_")[0]
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        write_volume(getattr(head, kind), folder / f"{place}.nii.gz")
    (folder / "dicom" / "head_PD_1").mkdir(parents=True)
    for number in range(4):
        array = np.arange(600, dtype=np.int16).reshape(20, 30) + number
        write_slice(folder / "dicom" / "head_PD_1" / f"{number}.dcm", array, (3.0 * number, 0.0, 0.0))
    for place, count in (
        ("set/gl_c/T1", 8),
        ("brain_tumour_jpg/glioma", 4),
        ("xray_reports/images", 4),
        ("set/gl_c/photos", 4),
    ):
        (folder / place).mkdir(parents=True)
        for number in range(count):
            name = f"person{number // 4}_z{number}.png" if place.endswith("T1") else f"{number}.png"
            Image.fromarray(np.add.outer(np.arange(40), np.arange(40)).astype(np.uint8) + number).save(
                folder / place / name
            )
    return folder


def test_scans_say_their_contrast_and_their_person(collection: Path) -> None:
    scans = list(real_scans(collection))
    volumes = {scan.name: (scan.contrast, scan.person) for scan in scans if scan.kind == "volume"}
    assert volumes == {
        "set/ms_a/t1": ("T1", "ms_a"),
        "set/ms_a/flair_smooth8mm": ("FLAIR", "ms_a"),
        "tmpl_x/t2": ("T2", "templates"),  # once, though it lies in two folders
        "dicom/head_PD_1": ("PD", "head_PD_1"),
    }
    pictures = sorted((scan.contrast, scan.person) for scan in scans if scan.kind == "picture")
    assert pictures == [("T1", "brain_tumour_jpg"), ("T1", "person0"), ("T1", "person1")]
    assert [scan.contrast for scan in scans if scan.kind == "other"] == [NONE]


def test_fine_volumes_are_made_coarser(collection: Path) -> None:
    scan = next(scan for scan in real_scans(collection) if scan.name == "set/ms_a/t1")
    assert scan.image.GetSize() == (16, 16, 8)
    np.testing.assert_allclose(scan.image.GetSpacing(), (1.5, 1.5, 6.0), rtol=1e-5)


def test_digital_heads_come_in_all_contrasts_with_and_without_a_skull() -> None:
    found = {}
    for seed in (3, 4):
        scans = phantom_scans(seed)
        assert [scan.contrast for scan in scans] == list(NAMES)
        assert {scan.person for scan in scans} == {f"phantom {seed}"}
        stripped = "without skull" in scans[0].name
        t1 = sitk.GetArrayViewFromImage(scans[NAMES.index("T1")].image)
        found[stripped] = float((t1 > 0.1 * t1.max()).mean())
    assert set(found) == {True, False}
    assert found[True] < found[False]


@pytest.mark.parametrize("contrast", ["T1", "CT"])
def test_a_scan_is_changed_in_every_way_and_stays_an_image(contrast: str) -> None:
    head = phantom(seed=2, shape=(24, 40, 40), spacing=(4.0, 4.0, 4.0))
    scan = Scan(getattr(head, contrast.lower()), contrast, "p", "phantom", "head")
    kinds = set()
    for seed in range(40):
        image = varied(scan, np.random.default_rng(seed))
        again = varied(scan, np.random.default_rng(seed))
        array = sitk.GetArrayFromImage(image)
        assert np.isfinite(array).all()
        assert array.max() > array.min()
        np.testing.assert_array_equal(sitk.GetArrayFromImage(again), array)
        if contrast == "T1":
            assert array.min() >= 0
        size, spacing = image.GetSize(), image.GetSpacing()
        kinds.add("picture" if 1 in size else "thick" if max(spacing) > 4.6 else "part" if min(size) < 24 else "whole")
        if contrast == "CT":
            kinds.add("from 0" if array.min() == 0 else "in HU")
    assert kinds >= {"picture", "part", "whole"} | ({"from 0", "in HU"} if contrast == "CT" else set())
