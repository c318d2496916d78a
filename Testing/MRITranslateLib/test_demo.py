"""The demonstration of the engine, on a small patient and with small models."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib import demo
from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import phantom

from .packages import tiny_package

CT_INTENSITY = {
    "source": {"name": "foreground_median"},
    "target": {"name": "window", "parameters": {"low": -1024, "high": 3071}},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_package(folder / "small_t2", name="small_t2")
    tiny_package(folder / "small_ct", name="small_ct", target="CT", intensity=CT_INTENSITY, discriminator=None)
    return folder


def test_run_writes_volumes_scores_and_figure(models: Path, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    names = (str(models / "small_t2"), str(models / "small_ct"))
    summary = demo.run(tmp_path, shape=(24, 64, 64), models=names, progress=lambda *news: told.append(news))
    assert {file.name for file in summary.files} == {
        "t1.nii.gz",
        *(f"t2_{kind}.nii.gz" for kind in ("synthetic", "truth", "heatmap_ventricles", "heatmap_realism")),
        *(f"ct_{kind}.nii.gz" for kind in ("synthetic", "truth", "heatmap_ventricles")),
        "figure.png",
    }
    assert all(file.stat().st_size > 0 for file in summary.files)
    assert set(summary.scores) == {"small_t2", "small_ct"}
    assert all(np.isfinite(value) for scores in summary.scores.values() for value in scores.values())
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0.0 <= fractions[0] < fractions[-1] <= 1.0


def test_ventricles_are_fluid_on_both_sides_of_the_midline() -> None:
    head = phantom(seed=demo.SEED, shape=(48, 96, 96))
    mask = sitk.GetArrayFromImage(demo.ventricles(head.labels)) > 0
    names = {head.label_names[int(label)] for label in np.unique(sitk.GetArrayFromImage(head.labels)[mask])}
    assert names == {"cerebrospinal fluid"}
    columns = np.nonzero(mask)[2]
    left, right = np.count_nonzero(columns > 48), np.count_nonzero(columns < 48)
    assert min(left, right) > 0.3 * max(left, right)
    millilitres = mask.sum() * np.prod(head.labels.GetSpacing()) / 1000
    assert 3 < millilitres < 80


def test_a_model_that_starts_elsewhere_is_refused(tmp_path: Path) -> None:
    tiny_package(tmp_path / "from_t2", name="from_t2", source="T2", target="T1")
    with pytest.raises(InputError, match="starts from T2"):
        demo.run(tmp_path / "out", models=(str(tmp_path / "from_t2"),))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another"):
        demo.output_folder(tmp_path / "file" / "out")
