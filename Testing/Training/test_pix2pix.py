"""The pix2pix recipe for real, on tiny volumes: it learns, resumes bit for bit, exports what the engine loads."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from MRITranslateLib.preparation import Preparation
from Testing.MRITranslateLib.packages import tiny_package
from Training.config.load import load_config
from Training.config.pix2pix import Pix2PixConfig
from Training.pix2pix import export, fit, setup
from Training.schedule import learning_rate
from Training.validation import translate_prepared


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_loss_falls_and_the_export_answers_as_the_trainer_did(config_file, subjects, tmp_path):
    config = load_config(
        Pix2PixConfig, config_file, ["--epochs", "40", "--learning_rate", "0.004", "--validate_every", "20"]
    )
    run = setup(config)

    def error() -> float:
        output = translate_prepared(
            run.session.exportable("generator"), run.data.train[0].source, run.card, torch.device("cpu")
        )
        return float(np.abs(output - run.data.train[0].target).mean())

    before, stages = error(), set()
    fit(run, lambda stage, *_: stages.add(stage))
    assert error() < 0.7 * before
    assert stages == {"Training", "Validated"}
    (folder,) = export(run)

    package = mt.load_package(folder)
    assert package.card.training.steps == 160
    assert package.card.scores[0].family == "gl"
    assert package.card.scores[0].metrics["psnr"] > 5
    assert package.card.domain.spacing_mm[2] == (20.0, 20.0)

    # The exported network answers as the validated one did, to the bit; the product as they do, but for the float16 in
    # which a run keeps its volumes.
    image = sitk.ReadImage(str(subjects / "ms_a" / "t1.nii.gz"))
    expected = translate_prepared(
        run.session.exportable("generator"), run.data.train[0].source, run.card, torch.device("cpu")
    )
    again = translate_prepared(package.generator(), run.data.train[0].source, run.card, torch.device("cpu"))
    np.testing.assert_array_equal(again, expected)
    restored = Preparation(image, package.card).restore(expected)
    answer = mt.translate(image, package, device="cpu").image
    difference = np.abs(sitk.GetArrayFromImage(answer) - sitk.GetArrayFromImage(restored))
    assert difference.max() < 0.01 * np.ptp(sitk.GetArrayFromImage(restored))

    # Fine-tuning starts from those weights, and its card quotes the split run.
    tuned = load_config(
        Pix2PixConfig,
        config_file,
        [
            "--init",
            str(folder),
            "--package.held_out",
            str(folder),
            "--package.inverse",
            "back",
            "--output",
            str(tmp_path / "tuned"),
            "--epochs",
            "1",
        ],
    )
    second = setup(tuned)
    for key, value in second.generator.state_dict().items():
        torch.testing.assert_close(value, package.generator().state_dict()[key], rtol=0, atol=0)
    fit(second)
    (folder,) = export(second)
    card = mt.load_package(folder).card
    assert "without these subjects (on ms_a, ms_b)" in card.scores[0].protocol
    assert card.training.steps == 164
    assert card.inverse == "back"


def test_a_killed_run_resumes_bit_for_bit(config_file, tmp_path):
    whole = setup(load_config(Pix2PixConfig, config_file, ["--output", str(tmp_path / "whole")]))
    fit(whole)

    killed = setup(load_config(Pix2PixConfig, config_file, ["--output", str(tmp_path / "killed")]))
    fit(killed, stop=lambda: killed.session.step == 6)  # the last checkpoint is of step 4
    resumed = setup(load_config(Pix2PixConfig, config_file, ["--output", str(tmp_path / "killed")]), resume=True)
    assert resumed.session.step == 4
    fit(resumed)

    assert resumed.session.step == whole.session.step == 12
    for one, other in ((whole.generator, resumed.generator), (whole.discriminator, resumed.discriminator)):
        for key, value in one.state_dict().items():
            assert value.equal(other.state_dict()[key]), key
    for name in ("best-weights.safetensors", "best-discriminator.safetensors"):
        first, second = load_file(tmp_path / "whole" / name), load_file(tmp_path / "killed" / name)
        assert all(first[key].equal(second[key]) for key in first)


def test_the_run_folder_shows_what_happened(config_file, tmp_path):
    run = setup(load_config(Pix2PixConfig, config_file, []))
    fit(run)
    names = {file.name for file in run.session.folder.path.iterdir()}
    assert names >= {"config.yaml", "split.yaml", "log.csv", "samples", "tensorboard", "checkpoint.ckpt"}
    assert len(list((run.session.folder.path / "samples").glob("*.png"))) == 3
    assert "psnr" in (run.session.folder.path / "log.csv").read_text(encoding="utf-8")
    assert load_config(Pix2PixConfig, run.session.folder.path / "config.yaml", []) == run.config
    with pytest.raises(InputError, match="already holds a run"):
        setup(run.config)


@pytest.mark.parametrize("channels", [4, 1], ids=["of pairs", "of images alone"])
def test_a_package_has_the_discriminator_that_was_trained_on_pairs_or_none(config_file, tmp_path, channels):
    """Before the adversary joins, the one that the run's first weights brought, if it judges pairs as this one does."""
    config = load_config(Pix2PixConfig, config_file)
    network, judge = config.network.model_dump(), {"name": "patchgan", "parameters": {"in_channels": channels}}
    judge["parameters"] |= {"width": 4, "layers": 1}
    first = tiny_package(
        tmp_path / "first", network=network, discriminator=judge, grid=config.grid.model_dump(mode="json")
    )
    options = ["--init", str(first), "--loss.adversarial_from_epoch", "1", "--epochs", "1"]
    run = setup(load_config(Pix2PixConfig, config_file, options))
    fit(run)
    (folder,) = export(run)
    assert mt.load_package(folder).has_discriminator == (channels == 4)


def test_a_loss_that_is_not_finite_stops_with_the_checkpoint_intact(config_file):
    run = setup(load_config(Pix2PixConfig, config_file, []))
    fit(run, stop=lambda: run.session.step == 4)
    before = run.session.folder.checkpoint.read_bytes()
    with torch.no_grad():
        next(run.generator.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match=r"loss became nan at step 4; lower learning_rate"):
        fit(run)
    assert run.session.folder.checkpoint.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data.train", "[]"], "nothing to train on"),
        (["--data.test", "[ms_a]"], "ms_a.* is in data.train and data.test"),
        (["--crop", "30"], "multiple of grid.size_multiple"),
        (["--data.train", "[nobody]"], "nobody"),
        (["--network.name", "unet"], "no network"),
    ],
)
def test_runs_that_cannot_work_are_refused_before_training(config_file, arguments, says):
    with pytest.raises(InputError, match=says):
        setup(load_config(Pix2PixConfig, config_file, arguments))


def test_the_learning_rate_warms_up_and_falls(config_file):
    config = load_config(
        Pix2PixConfig, config_file, ["--epochs", "10", "--steps_per_epoch", "10", "--warm_up_steps", "5"]
    )
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2 * config.learning_rate, rel=0.01)
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.02)
    assert rates[-1] < 0.02 * config.learning_rate


def test_the_command_trains_exports_and_says_how_to_go_on(config_file, tmp_path):
    command = [sys.executable, "-m", "Training.cli", "pix2pix", "--config", str(config_file), "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=240)
    assert done.returncode == 0, done.stderr
    assert "mritranslate models add" in done.stderr
    package = mt.load_package(tmp_path / "run" / "export")
    assert not package.has_discriminator  # it joins after the first epoch, so it is untrained and stays out
    wrong = subprocess.run([*command, "--epoch", "2"], capture_output=True, encoding="utf-8", timeout=240)
    assert wrong.returncode == 2
    assert 'did you mean "epochs"' in wrong.stderr
    assert "Traceback" not in wrong.stderr
