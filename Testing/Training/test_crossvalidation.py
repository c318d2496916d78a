"""Cross-validation for real, on tiny volumes: whom each run sees, what the last card quotes, what is resumed."""

import pytest
from typer.testing import CliRunner

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from Training.cli import app
from Training.config.load import load_config
from Training.config.pix2pix import Pix2PixConfig
from Training.crossvalidation import plan
from Training.data.index import read_index

FOLDS = ["--data.train", "[ms_a, ms_b, gl_c]", "--data.test", "[]", "--data.folds", "[[ms_a, gl_c], [ms_b]]"]
SHORT = ["--epochs", "2", "--steps_per_epoch", "2"]


def train(config_file, *arguments):
    return CliRunner().invoke(app, ["pix2pix", "--config", str(config_file), *FOLDS, *SHORT, *arguments])


def test_every_fold_is_scored_by_weights_that_never_saw_it(config_file, tmp_path):
    heads = ["--data.phantoms", "1", "--data.phantom_shape", "[4, 32, 32]"]
    ended = train(config_file, "--cross-validate", *heads)
    assert ended.exit_code == 0, ended.output + str(ended.exception)
    one, two, final = (mt.load_package(tmp_path / "run" / name / "export") for name in ("fold-1", "fold-2", "all"))
    assert (one.card.name, two.card.name, final.card.name) == ("tiny_fold_1", "tiny_fold_2", "tiny")
    assert one.card.training.subjects == ["ms_b", "phantom-1000"]
    assert two.card.training.subjects == ["ms_a", "gl_c", "phantom-1000"]
    assert final.card.training.subjects == ["ms_a", "ms_b", "gl_c", "phantom-1000"]

    found = [(score.family, score.subjects, score.weights) for score in final.card.scores]
    assert found == [
        ("gl", ["gl_c"], "tiny_fold_1"),
        ("ms", ["ms_a"], "tiny_fold_1"),
        ("ms", ["ms_b"], "tiny_fold_2"),
    ]
    assert "(on ms_b, 1 digital heads)" in final.card.scores[0].protocol
    assert [score.metrics for score in final.card.scores[:2]] == [score.metrics for score in one.card.scores]
    assert 0 < final.card.scores[0].metrics["through_plane"] < 10
    (doubt,) = final.card.calibration
    # Four are needed to measure scale and coverage on different ones, so digital heads fill up.
    assert (sorted(doubt.subjects), doubt.weights) == (["gl_c", "ms_a", "phantom-101", "phantom-102"], "tiny_fold_1")
    assert doubt.data == ("2 digital heads that the weights had never seen; 2 people that the weights had never seen.")
    assert doubt.coverage_95 is not None

    shipped = mt.load_package(tmp_path / "run" / "folds" / "tiny_fold_1")
    assert not shipped.has_discriminator
    assert shipped.card.scores == one.card.scores
    for key, value in one.generator().state_dict().items():
        assert value.equal(shipped.generator().state_dict()[key])


def test_what_was_finished_is_kept_and_the_rest_goes_on(config_file, tmp_path):
    assert train(config_file, "--cross-validate").exit_code == 0
    folder = tmp_path / "run"
    before = (folder / "fold-1" / "export" / "model.json").read_bytes()
    card = mt.load_package(folder / "all" / "export").card
    for file in (folder / "all" / "export").iterdir():
        file.unlink()
    (folder / "all" / "export").rmdir()

    refused = train(config_file, "--cross-validate")
    assert isinstance(refused.exception, InputError)
    assert "already holds a run" in str(refused.exception)
    again = train(config_file, "--cross-validate", "--resume")
    assert again.exit_code == 0, again.output
    assert again.output.count("finished before") == 2
    assert (folder / "fold-1" / "export" / "model.json").read_bytes() == before
    assert mt.load_package(folder / "all" / "export").card.files == card.files

    other = train(config_file, "--cross-validate", "--resume", "--data.folds", "[[ms_a, ms_b], [gl_c]]")
    assert "holds a run with other folds" in str(other.exception)


def test_without_the_flag_everybody_is_trained_on(config_file):
    index = read_index(load_config(Pix2PixConfig, config_file, FOLDS).data)
    assert (index.train, index.test) == (("ms_a", "ms_b", "gl_c"), ())


def test_a_subject_of_a_fold_need_not_be_listed(config_file):
    runs = plan(load_config(Pix2PixConfig, config_file, [*FOLDS, "--data.train", "null"]))
    assert [read_index(run.data).train for run in runs] == [("ms_b",), ("gl_c", "ms_a"), ("gl_c", "ms_a", "ms_b")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data.test", "[ms_b]"], "leave out split, test"),
        (["--data.test_share", "0.3"], "leave out split, test"),
        (["--data.folds", "[[ms_a, ms_b, gl_c]]"], "at least two lists"),
        (["--data.folds", "[[ms_a], []]"], "at least one subject"),
        (["--data.folds", "[[ms_a], [ms_a, gl_c]]"], 'name "ms_a" twice'),
        (["--data.validation", "[ms_b]"], 'ms_b" is in validation and in a fold'),
        (["--data.folds", "[[ms_a], [gl_d]]", "--data.train", "null"], "gl_d.*did you mean gl_c"),
        (["--data.folds", "[[ms_a], [gl_d]]"], 'gl_d", who is not in train'),
        (["--data.folds", "[]"], "needs data.folds"),
        (["--data.folds", "[[ms_a, ms_b], [gl_c]]", "--data.train", "[ms_a, ms_b, gl_c]", "--crop", "30"], "crop"),
        (["--package.held_out", "somewhere"], "finds package.held_out itself"),
        (["--devices", "2"], "in one process"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_training(config_file, tmp_path, arguments, says):
    with pytest.raises(InputError, match=says):
        plan(load_config(Pix2PixConfig, config_file, [*FOLDS, *arguments]))
    assert not (tmp_path / "run").exists()


def test_weights_that_have_seen_a_fold_are_no_beginning(config_file, tmp_path):
    assert train(config_file).exit_code == 0
    refused = train(config_file, "--cross-validate", "--init", str(tmp_path / "run" / "export"), "--output", "x")
    assert 'the package to start from, "tiny", was trained on this subject' in str(refused.exception)


def test_the_flag_is_for_recipes_of_pairs(config_file):
    other = CliRunner().invoke(app, ["classifier", "--config", str(config_file), "--cross-validate"])
    assert "for pix2pix and attention-unet only" in str(other.exception)
    assert "--cross-validate" not in CliRunner().invoke(app, ["dcgan", "--help"]).output
    both = train(config_file, "--cross-validate", "--export-only")
    assert "leave out --export-only" in str(both.exception)
