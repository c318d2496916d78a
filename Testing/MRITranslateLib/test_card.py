"""Model cards: what validates, and that every error names the field."""

import json
from typing import get_args

import pytest

from MRITranslateLib.card import ModalityName, parse_card
from MRITranslateLib.errors import PackageError
from MRITranslateLib.modality import MODALITIES

from .packages import CARD


def test_a_card_survives_its_own_json():
    card = parse_card(json.dumps(CARD), "tiny")
    assert parse_card(card.model_dump_json(), "tiny") == card


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
        ({"grid": {"context": 2}}, "context must be odd"),
        ({"grid": {"spacing_mm": [0, 1]}}, "spacing_mm"),
        ({"grid": {"spacing_mm": [1, "wide"]}}, "spacing_mm"),
        ({"intensity": {"source": {"name": "eval"}, "target": {"name": "window"}}}, "intensity.source"),
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
