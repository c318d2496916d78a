"""What exported packages say of their maps of doubt, measured on validation subjects."""

import json
import subprocess
import sys

import pytest

import MRITranslateLib as mt
from MRITranslateLib.calibration import calibrate
from Training.calibration import describe, measure_calibration
from Training.config.data import DataConfig
from Training.config.load import load_config
from Training.config.pix2pix import Pix2PixConfig
from Training.data.index import read_index
from Training.pix2pix import export, fit, setup

from ..MRITranslateLib.packages import any_card, tiny_package

GRID = {"plane": "axial", "spacing_mm": [4.0, 4.0], "context": 1, "size_multiple": 16}
UNET = {"name": "pix2pix_unet", "parameters": {"channels": [4, 4, 4], "head": 4, "norm": "none", "dropout": 0.3}}


@pytest.fixture
def index(subjects):
    data = {"root": subjects, "train": [], "validation": ["ms_a", "gl_c"]}
    return read_index(DataConfig.model_validate(data), trains=False)


def test_every_map_that_a_package_can_give_is_measured(index, tmp_path):
    there = mt.load_package(tiny_package(tmp_path / "tiny", network=UNET, grid=GRID))
    back = mt.load_package(tiny_package(tmp_path / "back", name="back", source="T2", target="T1", grid=GRID))
    found = {entry.method: entry for entry in measure_calibration(index, there, index.validation, back)}
    assert list(found) == ["augmentation", "dropout", "cycle"]
    for method, entry in found.items():
        assert entry.subjects == ["ms_a", "gl_c"]
        assert entry.usual > 0
        assert (entry.scale is None) == (entry.coverage_95 is None) == (method == "cycle")
    assert measure_calibration(index, there, []) == []
    plain = mt.load_package(tiny_package(tmp_path / "plain", grid=GRID))
    assert [entry.method for entry in measure_calibration(index, plain, index.validation)] == ["augmentation"]


def test_of_many_subjects_an_even_choice_is_measured(index, tmp_path, monkeypatch):
    monkeypatch.setattr("Training.calibration._MOST_SUBJECTS", 2)
    package = mt.load_package(tiny_package(tmp_path / "plain", grid=GRID))
    (entry,) = measure_calibration(index, package, ["ms_a", "ms_b", "gl_c", "phantom-3"])
    assert entry.subjects == ["ms_a", "gl_c"]


def test_the_card_tells_who_was_seen_in_training():
    training = any_card().training.model_copy(
        update={"subjects": ["p1", "p2", "phantom-9"], "validation_subjects": ["p3"]}
    )
    card = any_card().model_copy(update={"training": training})
    assert describe(card, ["phantom-1", "phantom-2"]) == "2 digital heads that the weights had never seen."
    assert describe(card, ["p1", "p2", "p3", "phantom-1"]) == (
        "1 digital head that the weights had never seen; "
        "1 person that no weights were trained on, but by whom the best were chosen; "
        "2 people that the weights were trained on: new ones will have larger errors."
    )


def test_an_export_is_calibrated_on_its_validation_subjects(config_file, index):
    settings = ["--data.train", "[ms_a]", "--data.validation", "[ms_b]", "--epochs", "1"]
    run = setup(load_config(Pix2PixConfig, config_file, settings))
    fit(run)
    package = mt.load_package(export(run)[0])
    (entry,) = package.card.calibration
    assert (entry.method, entry.subjects, entry.coverage_95) == ("augmentation", ["ms_b"], None)
    assert entry.data == "1 person that no weights were trained on, but by whom the best were chosen."
    assert "Maps of doubt" in (package.folder / "README.md").read_text(encoding="utf-8")
    image = mt.read_volume(index.scans["ms_b"][0].source)
    truth = mt.read_volume(index.scans["ms_b"][0].target)
    assert calibrate(package, [("ms_b", image, truth)], "augmentation", entry.data) == entry


def test_the_command_measures_a_package_that_is_there(subjects, tmp_path):
    folder = tiny_package(tmp_path / "tiny", grid=GRID)
    before = (folder / "weights.safetensors").read_bytes()
    command = [sys.executable, "-m", "Training.calibration", folder, "--data.root", subjects]
    command += ["--data.train", "[]", "--data.validation", "[ms_a, phantom-3]", "--data.phantom_shape", "[4, 32, 32]"]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    (entry,) = mt.load_package(folder).card.calibration
    assert json.loads(ended.stdout) == json.loads(entry.model_dump_json())
    assert entry.subjects == ["ms_a", "phantom-3"]
    assert (folder / "weights.safetensors").read_bytes() == before
