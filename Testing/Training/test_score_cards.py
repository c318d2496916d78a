"""The scores on cards, measured again: of the built-in translators for real, and of a tiny one that is falsified."""

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import rewrite_card
from Testing.MRITranslateLib.packages import tiny_package
from Training.data.index import is_phantom
from Training.recompute import FOLDS, Scans, check_card, leaks, weights_of
from Training.score_cards import main, write_tables

DATA = Path(__file__).parents[3] / "shared" / "data" / "brain_t1_t2_flair"
TRANSLATORS = [model.name for model in mt.list_models() if model.built_in and model.task == "translation"]
MARKS = "before\n<!-- scores:begin -->\nold\n<!-- scores:end -->\nafter\n"

command = Typer()
command.command()(main)


def score_cards(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def shipped(name):
    """A built-in translator, and the entries of its card whose weights should be at hand."""
    package = mt.load_package(name)
    entries = [
        score for score in package.card.scores if score.weights or "without these subjects" not in score.protocol
    ]
    if not entries:
        pytest.skip(f"the weights that the scores of {name} were measured on were never kept")
    missing = [score.weights for score in entries if score.weights and not (FOLDS / score.weights).is_dir()]
    if missing:
        pytest.skip(f"the weights {', '.join(missing)} are not in Training/folds")
    return package, entries


@pytest.mark.parametrize("name", TRANSLATORS)
def test_no_score_of_a_built_in_translator_is_of_a_subject_that_was_trained_on(name):
    package, entries = shipped(name)
    assert [leak for score in entries for leak in leaks(weights_of(package, score), score)] == []


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_built_in_translator_scores_what_its_card_says(name):
    """Of one entry: the first of those with the fewest subjects."""
    package, entries = shipped(name)
    stated = min(entries, key=lambda score: len(score.subjects))
    if not DATA.is_dir() and not all(map(is_phantom, stated.subjects)):
        pytest.skip("the real scans are not beside the repository")
    (check,) = check_card(package, Scans(DATA if DATA.is_dir() else None), only=[stated], compare=False)
    assert check.differences == []
    assert len(check.cases) == len(stated.subjects)


@pytest.fixture
def tiny(cross_validated):
    return mt.load_package(cross_validated / "all" / "export")


def test_the_scores_of_a_cross_validation_are_found_again(cross_validated, subjects, tiny, tmp_path):
    file = tmp_path / "scores.json"
    rivals = ["--against", cross_validated / "fold-1" / "export", "--against", cross_validated / "fold-2" / "export"]
    where = ["--data", subjects, "--folds", cross_validated / "folds", "--package", tiny.folder]
    ended = score_cards(*where, *rivals, "--json", file)
    assert ended.exit_code == 0, ended.output
    assert "The card says the same." in ended.output
    (found,) = json.loads(file.read_text(encoding="utf-8"))
    assert [(entry["family"], entry["weights"], list(entry["subjects"])) for entry in found["scores"]] == [
        ("gl", "tiny_fold_1", ["gl_c"]),
        ("ms", "tiny_fold_1", ["ms_a"]),
        ("ms", "tiny_fold_2", ["ms_b"]),
    ]
    alone, *others = (next(iter(entry["subjects"].values())) for entry in found["scores"])
    assert alone["yardsticks"].keys() == {"constant", "oracle map", "tiny"}  # nobody to fit a regression on
    for one in others:
        assert one["yardsticks"].keys() == {"constant", "oracle map", "3 x 3 regression", "tiny"}
        assert one["yardsticks"]["tiny"]["psnr_affine"] == pytest.approx(one["measured"]["psnr_affine"], abs=1e-3)
        assert one["yardsticks"]["oracle map"]["psnr"] == pytest.approx(one["measured"]["psnr_oracle"], abs=1e-3)
    rows = [line.split() for line in ended.output.splitlines() if line.startswith(("ms ", "gl ", "mean "))]
    assert [row[:2] for row in rows] == [["gl", "gl_c"], ["ms", "ms_a"], ["ms", "ms_b"], ["mean", "of"]]


@pytest.mark.parametrize(("figure", "by", "caught"), [("psnr", 0.2, True), ("psnr", 0.03, False), ("ssim", 0.05, True)])
def test_a_falsified_figure_is_caught(cross_validated, subjects, tiny, figure, by, caught):
    stated = tiny.card.scores[0]
    wrong = stated.model_copy(update={"metrics": stated.metrics | {figure: stated.metrics[figure] + by}})
    (check,) = check_card(tiny, Scans(subjects), cross_validated / "folds", [wrong], compare=False)
    assert [sentence.split()[0] for sentence in check.differences] == ([figure] if caught else [])


def test_a_falsified_card_gives_exit_code_1(cross_validated, subjects, tiny, tmp_path):
    """Scores of seen subjects that pretend to be of the package's own weights, and a figure that nobody measures."""
    first, *rest = tiny.card.scores
    metrics = first.metrics | {"beauty": 1.0}
    scores = [first.model_copy(update={"weights": "", "metrics": metrics}), *rest]
    card = tiny.card.model_copy(update={"scores": scores, "name": "boast"})
    folder = rewrite_card(_copy(tiny.folder, tmp_path / "boast"), card, "# Boast\n")
    ended = score_cards("--data", subjects, "--folds", cross_validated / "folds", "--package", folder)
    assert ended.exit_code == 1
    assert "the weights of boast have seen gl_c" in ended.output
    assert "beauty is 1 on the card, and cannot be measured" in ended.output
    assert "gl_c !" in ended.output
    assert "ms_b !" not in ended.output


def _copy(source: Path, target: Path) -> Path:
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_weights_that_are_not_at_hand_or_are_others(cross_validated, subjects, tiny, tmp_path):
    checks = check_card(tiny, Scans(subjects), tmp_path)
    assert [check.cases for check in checks] == [[], [], []]
    assert all("are not in" in check.differences[0] for check in checks)
    other = tiny_package(tmp_path / "tiny_fold_1", name="other")
    with pytest.raises(InputError, match="holds another model, other from T1 to T2"):
        weights_of(tiny, tiny.card.scores[0], other.parent)


def test_the_images_are_asked_for(cross_validated, tiny, monkeypatch):
    monkeypatch.delenv("MRITRANSLATE_DATA", raising=False)
    ended = score_cards("--folds", cross_validated / "folds", "--package", tiny.folder)
    assert isinstance(ended.exception, InputError)
    assert str(ended.exception) == (
        'The images of "gl_c" are needed; give their folder with --data, or in MRITRANSLATE_DATA.'
    )


def test_digital_heads_are_made(tiny):
    """Without any folder; the others on the card are what the regression is fitted on."""
    stated = tiny.card.scores[0].model_copy(
        update={"family": "phantom", "subjects": ["phantom-1", "phantom-2"], "weights": "", "metrics": {}}
    )
    tiny.card = tiny.card.model_copy(update={"scores": [stated]})
    (check,) = check_card(tiny, Scans(phantom_shape=(6, 48, 48)))
    assert check.differences == []
    assert [case.subject for case in check.cases] == ["phantom-1", "phantom-2"]
    assert all("3 x 3 regression" in case.yardsticks for case in check.cases)


def test_tables_go_between_the_marks(cross_validated, subjects, tiny, tmp_path):
    document = tmp_path / "models.md"
    document.write_text(MARKS, encoding="utf-8")
    picture = tmp_path / "images" / "models" / "tiny.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"")
    checks = check_card(tiny, Scans(subjects), cross_validated / "folds", compare=False)
    for _ in range(2):  # the second time gives the same
        write_tables(document, [tiny], {"tiny": checks})
    text = document.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- scores:begin -->\n\n### `tiny`: Tiny T1 to T2\n\n| family | subject | PSNR |")
    assert text.endswith("](images/models/tiny.png)\n\n<!-- scores:end -->\nafter\n")
    assert "old" not in text
    assert "| gl | gl_c |" in text
    others = ("### `a_model`: First\n\n| x |\n", "### `z_model`: Last\n\n| y |\n\n![z](z.png)\n")
    document.write_text(MARKS.replace("old", "\n".join(others)), encoding="utf-8")
    write_tables(document, [tiny], {"tiny": checks})
    first, last = document.read_text(encoding="utf-8").split(
        text[len("before\n<!-- scores:begin -->\n\n") : -len("\n<!-- scores:end -->\nafter\n")]
    )
    assert first == f"before\n<!-- scores:begin -->\n\n{others[0]}\n"
    assert last == f"\n{others[1]}\n<!-- scores:end -->\nafter\n"
    document.write_text("no marks", encoding="utf-8")
    with pytest.raises(InputError, match="lacks the marks"):
        write_tables(document, [tiny], {"tiny": checks})
