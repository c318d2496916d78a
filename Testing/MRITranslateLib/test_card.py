"""Model cards: what validates, and that every error names the field."""

import json
from typing import get_args

import pytest

from MRITranslateLib.card import ModalityName, parse_card
from MRITranslateLib.errors import PackageError
from MRITranslateLib.modality import MODALITIES

from .packages import CARD, CARDS, card


@pytest.mark.parametrize("task", CARDS)
def test_a_card_survives_its_own_json(task):
    parsed = parse_card(json.dumps(CARDS[task]), "tiny")
    assert parsed.task == task
    again = parse_card(parsed.model_dump_json(), "tiny")
    assert again == parsed
    assert type(again) is type(parsed)


def test_cards_know_every_modality():
    assert set(get_args(ModalityName)) == set(MODALITIES)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "../evil"}, "name"),
        ({"version": "1"}, "version"),
        ({"source": "T9"}, "source"),
        ({"surprise": 1}, "surprise"),
        ({"schema_version": 2}, "schema_version"),
        ({"task": "segmentation"}, "wrong at task: it is none of translation, generation"),
        ({"task": None}, "wrong at task"),
        ({"task": {"a": 1}}, "wrong at task"),
        ({"inverse": "../evil"}, "inverse"),
        ({"picture": {"size": 64}}, "picture"),
        ({"grid": {"context": 2}}, "context must be odd"),
        ({"grid": {"spacing_mm": [0, 1]}}, "spacing_mm"),
        ({"grid": {"spacing_mm": [1, "wide"]}}, "spacing_mm"),
        ({"intensity": {"source": {"name": "eval"}, "target": {"name": "window"}}}, "intensity.source"),
        (
            {"scores": [{"family": "a", "subjects": [], "protocol": "b", "metrics": {}, "weights": "../evil"}]},
            "scores.0.weights",
        ),
        ({"files": {"weights.safetensors": {"sha256": "12", "bytes": 4}}}, "files.weights"),
        ({"network": {"name": "resnet9", "parameters": {"width": {"_target_": "os.system"}}}}, "network.parameters"),
    ],
)
def test_errors_name_the_field(change, says):
    with pytest.raises(PackageError, match=r"model\.json of") as error:
        parse_card(json.dumps({**CARD, **change}), "tiny")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"name": NaN}', '{"name": "a", "name": "b"}', "null", "[" * 100_000])
def test_text_that_is_no_card(text):
    with pytest.raises(PackageError, match=r"model\.json"):
        parse_card(text, "broken")


VOLUMES = {"dimensions": 3, "slice_spacing_mm": 1.5, "patch": [16, 32, 48], "size_multiple": 16}


def test_a_grid_of_volumes():
    grid = card(grid=VOLUMES).grid
    assert (grid.dimensions, grid.slice_spacing_mm, grid.patch, grid.context) == (3, 1.5, (16, 32, 48), 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"slice_spacing_mm": None}, "give slice_spacing_mm and patch"),
        ({"patch": None}, "give slice_spacing_mm and patch"),
        ({"context": 3}, "context must be 1 with dimensions 3"),
        ({"patch": [16, 32, 40]}, "multiples of size_multiple, 16"),
        ({"patch": [1024, 1024, 512]}, "at most 16,777,216 voxels"),
        ({"patch": [16, 32]}, "patch"),
        ({"patch": [0, 16, 16]}, "patch"),
        ({"slice_spacing_mm": 0}, "slice_spacing_mm"),
        ({"dimensions": 2}, "are for volumes"),
        ({"dimensions": 4}, "dimensions"),
    ],
)
def test_a_grid_of_volumes_that_makes_no_sense(changes, says):
    with pytest.raises(PackageError, match=says):
        card(grid=VOLUMES | changes)
