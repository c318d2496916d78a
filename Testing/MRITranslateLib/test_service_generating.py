"""Pictures from noise and X-rays from reports through the worker, as a real process."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from MRITranslateLib.service.client import WorkerClient

from .packages import language_model, tiny_package


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerClient]:
    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
        yield client


def test_pictures_from_noise_and_x_rays_with_their_words(worker: WorkerClient, tmp_path: Path) -> None:
    noise = tiny_package(tmp_path / "noise", task="generation")
    xray = tiny_package(tmp_path / "x", task="radiograph", extra_files=language_model(tmp_path / "bert"))
    findings = tiny_package(tmp_path / "findings", task="classification")
    made = worker.request("generate", {"model": str(noise), "count": 3, "seed": 2, "truncation": 1.0, "device": "cpu"})
    expected = mt.generate(mt.load_package(noise), 3, 2, 1.0, device="cpu")
    received = worker.take(made["image"])
    np.testing.assert_allclose(sitk.GetArrayFromImage(received), sitk.GetArrayFromImage(expected.image), atol=1e-3)
    assert made["modality"] == "T1"
    assert made["realism"] == pytest.approx(expected.realism, abs=1e-4)
    assert made["provenance"]["seed"] == "2"
    text = "Opacity in the left lower lobe."
    shown = worker.request("radiograph", {"model": str(xray), "report": text, "device": "cpu"})
    assert shown["image"]["spacing"] == [1.0, 1.0, 1.0]
    assert len(shown["match"]) == len(shown["realism"]) == 1
    asked = {"model": str(xray), "report": text, "device": "cpu"}
    for more in ({}, {"image": shown["image"]}, {"classifier": str(findings), "class": "nodule"}):
        words = worker.request("words", asked | more)
        assert "".join(part["text"] for part in words["parts"]) == text
        assert "background-color" in words["html"]
    heat = worker.request(
        "explain", {"image": shown["image"], "model": str(xray), "target": {"kind": "match", "report": text}}
    )
    assert heat["beside"]["title"] == "synthetic Chest X-ray"
    for method, params in (
        ("generate", {"model": str(noise), "count": 20_000}),
        ("radiograph", {"model": str(xray), "report": " "}),
        ("words", asked | {"classifier": str(findings), "class": "tumour"}),
    ):
        with pytest.raises(InputError):
            worker.request(method, params)
