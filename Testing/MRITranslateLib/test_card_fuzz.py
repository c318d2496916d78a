"""Whatever a `model.json` holds, it is used or refused by one printable line, in bounded time and memory."""

import json
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MRITranslateLib import catalog
from MRITranslateLib.card import parse_card
from MRITranslateLib.errors import PackageError
from MRITranslateLib.package import Package
from Testing.benchmarks import memory

from .mutations import DEPTHS, damaged_json

KINDS = ("t1_to_t2", "brain_mri", "chest_xray", "brain_tumour")
"""A built-in package of each task."""
MOST_BYTES = 64 << 20


def card(name: str) -> dict[str, Any]:
    """A built-in card with few subjects: damage shall meet the other fields as well."""
    found = json.loads((catalog.builtin_folder() / name / "model.json").read_text(encoding="utf-8"))
    for part in (found["training"], *found["scores"], *found.get("calibration", [])):
        for key in ("subjects", "validation_subjects"):
            if key in part:
                part[key] = part[key][:2]
    return found


CARDS = {name: card(name) for name in KINDS}
fuzz = settings(
    max_examples=300,
    deadline=timedelta(seconds=20),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)


def one_line(error: Exception) -> None:
    message = str(error)
    assert message.isprintable(), message[:300]
    assert 10 < len(message) <= 1000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of built-in packages, as a folder of the user's."""
    folder = tmp_path_factory.mktemp("fuzzed")
    for name in KINDS[:2]:
        shutil.copytree(catalog.builtin_folder() / name, folder / name)
        Package(folder / name)  # loads what every package needs, before memory is looked at
    return folder


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(data=st.data())
def test_a_damaged_card_is_parsed_or_refused(data: st.DataObject, kind: str) -> None:
    text = data.draw(damaged_json(CARDS[kind])).decode("utf-8", "replace")
    memory.reset_peak()
    before = memory.resident_bytes()
    try:
        parse_card(text, kind)
    except PackageError as error:
        one_line(error)
    assert memory.peak_bytes() - before < MOST_BYTES


@pytest.mark.parametrize("kind", KINDS[:2])
@fuzz
@given(data=st.data())
def test_a_package_with_a_damaged_card_opens_or_is_refused(data: st.DataObject, kind: str, models: Path) -> None:
    (models / kind / "model.json").write_bytes(data.draw(damaged_json(CARDS[kind])))
    memory.reset_peak()
    before = memory.resident_bytes()
    for use in (Package, catalog.card_text):
        try:
            use(models / kind)
        except PackageError as error:
            one_line(error)
    assert memory.peak_bytes() - before < MOST_BYTES


@fuzz
@given(data=st.data())
def test_a_damaged_card_never_hides_the_others(
    data: st.DataObject, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRITRANSLATE_MODELS", str(models))
    for kind in KINDS[:2]:
        (models / kind / "model.json").write_bytes(data.draw(damaged_json(CARDS[kind], most=2)))
    listed = catalog.list_models()
    own = [model for model in listed if not model.built_in]
    assert [model.folder.name for model in own] == sorted(KINDS[:2])
    for model in own:
        assert model.broken is not None  # at best a built-in one has its name
        one_line(PackageError(model.broken))
    assert len(listed) - len(own) >= len(KINDS)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("key", ["limits", "scores", "classes", "grid", "title"])
def test_any_depth_of_nesting_is_refused(key: str, depth: int, models: Path) -> None:
    text = json.dumps({**CARDS["t1_to_t2"], key: "HERE"}).replace('"HERE"', "[" * depth + "]" * depth)
    (models / "t1_to_t2" / "model.json").write_text(text, encoding="utf-8")
    with pytest.raises(PackageError) as refused:
        parse_card(text, "deep")
    one_line(refused.value)
    try:
        assert catalog.card_text(models / "t1_to_t2")
    except PackageError as error:
        one_line(error)


@pytest.mark.parametrize(
    "text",
    [
        "{" + ", ".join(f'"k{number}": 0' for number in range(80_000)) + ', "k79999": 1}',
        '{"name": ' + "9" * 900_000 + "}",
        '{"training": {"subjects": [' + ", ".join(['"s"'] * 200_000) + "]}}",
        '{"limits": [' + ", ".join("0" for _ in range(300_000)) + "]}",
        '{"' + "\\n" * 400_000 + '": 1}',
    ],
    ids=["a key twice among many", "a long number", "many subjects", "many wrong entries", "a long key"],
)
def test_a_card_of_a_megabyte_is_refused_soon(text: str) -> None:
    assert len(text) < 1 << 20
    started = time.process_time()
    with pytest.raises(PackageError) as refused:
        parse_card(text, "large")
    one_line(refused.value)
    assert time.process_time() - started < 10.0  # the slowest takes 1 s
