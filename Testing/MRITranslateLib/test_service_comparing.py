"""What the worker gives of a comparison, a report and a DICOM series is what the engine gives."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

import MRITranslateLib as mt
from MRITranslateLib.compare import compare
from MRITranslateLib.errors import InputError
from MRITranslateLib.service.client import WorkerClient

from .service_cases import head


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerClient]:
    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
        yield client


@pytest.fixture(scope="module")
def pair() -> tuple[sitk.Image, sitk.Image]:
    reference = head()
    return reference, reference * 0.9 + 10.0


def shift(worker: WorkerClient, image: sitk.Image, mm: float) -> dict[str, Any]:
    """The same displacement along x everywhere around an image, as the panel samples a transform."""
    lattice = sitk.Image((4, 4, 4), sitk.sitkFloat64)
    lattice.SetSpacing((120.0, 120.0, 60.0))
    lattice.SetOrigin([float(value) - 60.0 for value in image.GetOrigin()])
    return {"parts": [worker.put(lattice + value) for value in (mm, 0.0, 0.0)], "error_mm": 0.25}


def test_a_comparison_equals_the_one_in_process(worker: WorkerClient, pair: tuple[sitk.Image, sitk.Image]) -> None:
    params = {name: worker.put(image) for name, image in zip(("reference", "prediction"), pair, strict=True)}
    stages: list[str] = []
    answer = worker.request("compare", params, progress=lambda event: stages.append(event.fields["stage"]))
    made = compare(*pair)
    assert answer["scores"] == pytest.approx(made.scores.as_json()["scores"], nan_ok=True)
    assert answer["facts"] == made.scores.facts
    assert answer["voxels"] == made.voxels.tolist()
    assert answer["resampled"] is None
    difference = sitk.GetArrayFromImage(worker.take(answer["difference"]))
    np.testing.assert_allclose(difference, sitk.GetArrayFromImage(made.difference), rtol=1e-6)
    for picture in answer["pictures"].values():
        assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert stages


def test_a_shifted_prediction_is_brought_back(worker: WorkerClient, pair: tuple[sitk.Image, sitk.Image]) -> None:
    reference, _ = pair
    moved = sitk.Image(reference)
    moved.SetOrigin([value + step for value, step in zip(moved.GetOrigin(), (4.0, 0.0, 0.0), strict=True)])
    images = {"reference": worker.put(reference), "prediction": worker.put(moved)}
    params = {**images, "shift": shift(worker, reference, 4.0), "modality": "MR"}
    answer = worker.request("compare", params)
    assert answer["scores"]["mae"] == pytest.approx(0, abs=1e-6)
    assert any("within 0.25 mm" in warning for warning in answer["warnings"])
    worker.take(answer["difference"])
    worker.take(answer["resampled"])


def test_a_report_is_written_or_its_place_refused_before_the_work(
    worker: WorkerClient, pair: tuple[sitk.Image, sitk.Image], tmp_path: Path
) -> None:
    params = {name: worker.put(image) for name, image in zip(("reference", "prediction"), pair, strict=True)}
    names = {"reference": "The truth", "prediction": "A guess <b>"}
    answer = worker.request("report", {**params, "path": str(tmp_path / "report.html"), "names": names})
    text = Path(answer["path"]).read_text(encoding="utf-8")
    assert "The truth" in text
    assert "A guess &lt;b&gt;" in text
    with pytest.raises(InputError):
        worker.request("report", {**params, "path": str(tmp_path / "none" / "report.html"), "names": names})


def test_a_series_is_exported(worker: WorkerClient, tmp_path: Path) -> None:
    facts = {
        "modality": "T2",
        "model": "tiny",
        "version": "1.0.0",
        "weights": "0" * 64,
        "placed": True,
        "phantom": True,
        "same_frame": False,
        "window": [0.0, 500.0],
    }
    image = worker.put(head())
    answer = worker.request("export_dicom", {"image": image, "folder": str(tmp_path), "source": [], "facts": facts})
    files = [Path(answer["folder"]) / name for name in answer["files"]]
    assert len(files) == 6
    assert answer["from_source"] is False
    first = pydicom.dcmread(files[0])
    assert first.Modality == "MR"
    assert f"MRITranslate {mt.__version__}" in str(first)


def test_devices_and_installed_models(worker: WorkerClient) -> None:
    devices = worker.request("devices")["devices"]
    assert devices[0]["name"] == "cpu"
    assert devices[0]["free_bytes"] is None or devices[0]["free_bytes"] > 1 << 20
    found = worker.request("verify", {"model": "brain_tumour"})["models"]
    assert [(model["name"], model["ok"]) for model in found] == [("brain_tumour", True)]
