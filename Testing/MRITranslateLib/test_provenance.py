"""A file of a synthetic volume says what it is, whichever program opens it."""

from pathlib import Path

import pytest
import SimpleITK as sitk

from MRITranslateLib.package import load_package
from MRITranslateLib.phantom import phantom
from MRITranslateLib.translate import translate
from MRITranslateLib.volume import read_volume, write_volume

from .packages import tiny_package


def written(file: Path) -> dict[str, str]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_files_of_synthetic_volumes_are_marked(ending: str, tmp_path: Path) -> None:
    package = load_package(tiny_package(tmp_path / "tiny"))
    result = translate(phantom(seed=1, shape=(6, 32, 32)).t1, package, "cpu", uncertainty=True)
    for name, image in (("synthetic", result.image), ("deviation", result.uncertainty)):
        assert image is not None
        file = write_volume(image, tmp_path / f"{name}{ending}")
        found = written(file)
        note = found["descrip" if ".nii" in ending else "ITK_FileNotes"]
        assert note.startswith("SYNTHETIC, not for diagnosis: T2 by tiny")
        assert len(note) <= 79
        if ".nii" not in ending:
            assert found["MRITranslate.weights_sha256"] == package.weights_sha256
            assert "not for diagnosis" in found["MRITranslate.notice"]
        assert list(read_volume(file).GetMetaDataKeys()) == []  # an input brings nothing along


def test_a_long_name_is_cut_and_the_notice_stays(tmp_path: Path) -> None:
    from MRITranslateLib.provenance import marked

    facts = {"target": "FLAIR", "model": "m" * 100, "version": "1.0.0"}
    file = write_volume(marked(sitk.Image(4, 4, 4, sitk.sitkFloat32) + 1, facts), tmp_path / "long.nii.gz")
    assert written(file)["descrip"].startswith("SYNTHETIC, not for diagnosis: FLAIR by mmm")
