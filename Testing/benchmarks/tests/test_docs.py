"""From a benchmark's report to its table in docs/benchmarks.md, and nothing but that table."""

import json
from pathlib import Path
from typing import Any

import pytest

from MRITranslateLib.errors import InputError
from Testing.benchmarks import docs, everything
from Testing.benchmarks.report import begin, command, publish

PAGE = """# Benchmarks

Before.

<!-- benchmark:one -->
old one
<!-- /benchmark -->

Between.

<!-- benchmark:two -->
<!-- /benchmark -->

After.
"""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a benchmark with one row writes."""
    monkeypatch.setattr("sys.argv", ["benchmarks", "one", "--repeats", "2", "--json", "figures.json"])
    made = begin("one", "cpu") | {"ratio": 1.25, "met": True}
    rows = [["this | that", "0.25"], ["other", "0.20"]]
    assert publish(made, "Two things", ["", "median s"], rows, "1.25 times (bar 2)", tmp_path / "new" / "one.json") == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.json"]
    return docs.read(tmp_path / "new" / "one.json")


def test_a_report_says_what_when_where_and_how(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert report["command"] == "python -m Testing.benchmarks one --repeats 2"
    assert report["verdict"] == "1.25 times (bar 2): met."
    assert {"processor", "cores", "memory_gib", "mritranslate", "torch", "numpy", "SimpleITK"} <= set(report["machine"])
    text = docs.rendered(report)
    for fact in (report["date"], report["command"], report["machine"]["torch"], "MRITranslate ", "Two things:"):
        assert fact in text
    assert "| | median s |\n|---|---|\n| this \\| that | 0.25 |\n| other | 0.20 |\n" in text


def test_a_missed_bar_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert publish(begin("one", "cpu") | {"met": False}, "Two things", [""], [], "3 times (bar 2)", None) == 1
    assert "3 times (bar 2): MISSED." in capsys.readouterr().out


def test_only_its_own_block_is_replaced(report: dict[str, Any]) -> None:
    text = docs.replaced(PAGE, report)
    head, _, rest = text.partition("<!-- benchmark:one -->")
    block, _, tail = rest.partition("<!-- /benchmark -->")
    assert head == PAGE.partition("<!-- benchmark:one -->")[0]
    assert block == "\n\n" + docs.rendered(report) + "\n"
    assert tail == PAGE.partition("old one\n<!-- /benchmark -->")[2]
    assert docs.replaced(text, report) == text


def test_an_accelerator_has_a_block_of_its_own(report: dict[str, Any]) -> None:
    fast = report | {"device": "cuda", "machine": report["machine"] | {"gpu": "Some GPU"}, "verdict": "9 times: met."}
    both = docs.replaced(docs.replaced(PAGE, report), fast)
    assert both.count("<!-- benchmark:one -->") == both.count("<!-- benchmark:one accelerator -->") == 1
    assert both.index("1.25 times (bar 2): met.") < both.index("Some GPU") < both.index("9 times: met.")
    assert both.index("9 times: met.") < both.index("Between.")
    again = docs.replaced(both, report | {"verdict": "1.5 times: met."})
    assert "9 times: met." in again
    assert "1.25 times" not in again
    faster = docs.replaced(again, fast | {"verdict": "10 times: met."})
    assert "9 times" not in faster
    assert "1.5 times: met." in faster
    assert faster.count("<!-- /benchmark -->") == 3


def test_a_page_without_place_or_end_is_refused(report: dict[str, Any]) -> None:
    with pytest.raises(InputError, match='no place for "three"'):
        docs.replaced(PAGE, report | {"benchmark": "three"})
    with pytest.raises(InputError, match="has no end"):
        docs.replaced(PAGE.replace("old one\n<!-- /benchmark -->", ""), report)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": {}, "table": {}}', "\udcff"])
def test_what_is_no_report_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="no report of a benchmark"):
        docs.read(file)


def test_the_page_has_a_place_for_every_benchmark(report: dict[str, Any]) -> None:
    text = docs.DOCUMENT.read_text(encoding="utf-8")
    for name in everything.BENCHMARKS:
        assert docs.rendered(report) in docs.replaced(text, report | {"benchmark": name})


def test_a_command_is_told_without_its_json() -> None:
    told = command(["one", "--json=a.json", "--size", "1", "2", "3", "--json", "b c.json", "--model", "my model"])
    assert told == "python -m Testing.benchmarks one --size 1 2 3 --model 'my model'"


def test_reports_go_into_a_page_in_one_step(report: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    docs.write_reports(page, [report, report | {"benchmark": "two"}])
    assert page.read_text(encoding="utf-8").count(docs.rendered(report)) == 2
    with pytest.raises(InputError):
        docs.write_reports(page, [report | {"verdict": "new"}, report | {"benchmark": "three"}])
    assert "new" not in page.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "new" / "one.json").read_text(encoding="utf-8")) == report
