"""The report recipe for real, on drawn radiographs: it learns, resumes bit for bit, exports what it validated."""

import numpy as np
import pytest
import torch
import yaml

from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package
from MRITranslateLib.radiograph import radiograph
from MRITranslateLib.text import load_text_encoder
from Testing.MRITranslateLib.checkpoints import tiny_bert
from Testing.MRITranslateLib.packages import tiny_package
from Testing.Training.xrays import write_xrays
from Training.config.load import load_config
from Training.config.report_gan import ReportGANConfig
from Training.drawing import draw
from Training.radiograph import build_networks
from Training.report_gan import export, fit, setup, validate


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return write_xrays(tmp_path_factory.mktemp("xrays"), 40)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def config_file(tmp_path, drawn):
    """A run of seconds: 32 pixels, networks of some thousand weights, a language model of a few steps."""
    still = {"flip": 0, "rotate_degrees": 0, "scale": 0, "shift": 0, "gamma": 0, "brightness": 0, "noise": 0}
    values = {
        "package": {
            "name": "drawn_xray",
            "title": "Drawn X-rays",
            "intended_use": "Tests of the software.",
            "data": "Drawings.",
            "licence": {"weights": "Apache-2.0", "data": "Apache-2.0"},
        },
        "data": {"root": str(drawn), "reports": "reports.csv", "licence": "licence"},
        "size": 32,
        "text": {
            "language": {
                "vocabulary": 100, "width": 16, "layers": 1, "heads": 2, "steps": 5, "batch_size": 4, "tokens": 16,
            }
        },
        "network": {"name": "report_generator", "parameters": {"latent": 4, "width": 4, "text_width": 8}},
        "discriminator": {"name": "report_discriminator", "parameters": {"width": 4, "text_width": 8}},
        "augment": still,
        "quality": {"count": 12},
        "epochs": 3,
        "steps_per_epoch": 4,
        "batch_size": 4,
        "warm_up_steps": 2,
        "validate_every": 1,
        "precision": "32-true",
        "accelerator": "cpu",
        "output": str(tmp_path / "run"),
    }  # fmt: skip
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def load(config_file, *overrides):
    return load_config(ReportGANConfig, config_file, list(overrides))


def test_the_generator_learns_and_the_export_draws_what_was_validated(config_file):
    seen: set[str] = set()
    run = setup(
        load(
            config_file,
            *("--epochs", "4", "--steps_per_epoch", "40", "--learning_rate", "0.002", "--loss.l1", "5"),
            *("--batch_size", "8", "--ema", "0.9", "--text.language.steps", "40"),
            *("--validate_every", "4", "--sample_epochs", "[]"),
        ),
        report=lambda stage, *_: seen.add(stage),
    )
    before = validate(run).scores["l1"]
    fit(run, lambda stage, *_: seen.add(stage))
    found = validate(run)
    assert found.scores["l1"] < 0.7 * before
    assert {"fid", "fid_floor", "kid", "match", "generated match"} <= found.scores.keys()
    assert seen >= {"Reading pictures", "Learning the reports' language", "Encoding reports", "Training", "Validated"}

    (folder,) = export(run)
    package = load_package(folder)
    card = package.card
    assert (card.task, card.target, card.picture.size, card.training.steps) == ("radiograph", "CXR", 32, 160)
    assert "CC BY-NC-SA 4.0" in card.licence.data
    assert card.text.encoder == "package"
    assert "fid_floor" in card.scores[0].metrics
    assert set(card.scores[0].subjects) == set(run.data.split()["test"])

    # The engine's way: the package's own encoder, the report's text, a seed.
    validation = run.data.parts["validation"]
    encoder = load_text_encoder(package.text_folder())
    features = encoder.encode(run.data.texts("validation")).values
    assert np.array_equal(features, run.features[validation])
    validated = draw(run.session.exportable("generator"), 12, 1, run.features[validation])
    for number, text in enumerate(run.data.texts("validation")):
        made = radiograph(text, package, seed=1, count=12, device="cpu").pictures
        assert np.array_equal(made[number], validated[number])
    for name, network in (("weights", package.generator()), ("discriminator", package.discriminator())):
        best = run.session.folder.load_best()[name]
        assert all(value.equal(best[key]) for key, value in network.state_dict().items() if value.is_floating_point())

    # Fine-tuning takes the package's weights and its encoder.
    tuned = setup(load(config_file, "--init", str(folder), "--output", str(folder.parent / "tuned")))
    assert tuned.card.text.source == card.text.source
    assert tuned.generator.state_dict()["head.1.weight"].equal(package.generator().state_dict()["head.1.weight"])

    # And so does a run at twice the size, as far as there are such layers.
    parameters = "{latent: 4, width: 2, widest: 16, text_width: 8}", "{width: 2, widest: 16, text_width: 8}"
    options = ["--size", "64", "--network.parameters", parameters[0], "--discriminator.parameters", parameters[1]]
    grown = setup(load(config_file, *options, "--init", str(folder), "--output", str(folder.parent / "grown")))
    for name in ("blocks.0.skip.weight", "text.whitening"):
        assert grown.generator.state_dict()[name].equal(package.generator().state_dict()[name])
    options[3] = parameters[0].replace("width: 2", "width: 4", 1)
    with pytest.raises(InputError, match="differ from this configuration"):
        setup(load(config_file, *options, "--init", str(folder), "--output", str(folder.parent / "wrong")))


def test_a_killed_run_resumes_bit_for_bit_and_keeps_its_language_model(config_file, tmp_path):
    whole = setup(load(config_file, "--output", str(tmp_path / "whole")))
    fit(whole)

    killed = setup(load(config_file, "--output", str(tmp_path / "killed")))
    fit(killed, stop=lambda: killed.session.step == 6)  # the last checkpoint is of step 4
    stamp = (tmp_path / "killed" / "text" / "model.safetensors").stat().st_mtime_ns
    resumed = setup(load(config_file, "--output", str(tmp_path / "killed")), resume=True)
    assert resumed.session.step == 4
    assert (tmp_path / "killed" / "text" / "model.safetensors").stat().st_mtime_ns == stamp
    fit(resumed)

    assert resumed.session.step == whole.session.step == 12
    for one, other in ((whole.generator, resumed.generator), (whole.discriminator, resumed.discriminator)):
        for key, value in one.state_dict().items():
            assert value.equal(other.state_dict()[key]), key
    first, second = whole.session.folder.load_best(), resumed.session.folder.load_best()
    assert all(first[name][key].equal(second[name][key]) for name in first for key in first[name])


def test_a_named_encoder_is_packed_only_if_it_is_small_and_whole(config_file, bert, tmp_path):
    run = setup(load(config_file, "--text.encoder", str(bert), "--epochs", "1"))
    assert run.card.text.encoder == "package"
    assert not (tmp_path / "run" / "text").exists()
    (bert / "tokenizer_config.json").rename(tmp_path / "away.json")
    try:
        run = setup(load(config_file, "--text.encoder", str(bert), "--epochs", "1", "--output", str(tmp_path / "two")))
        fit(run)
        (folder,) = export(run)
    finally:
        (tmp_path / "away.json").rename(bert / "tokenizer_config.json")
    card = load_package(folder).card
    assert card.text.encoder == "external"
    assert card.text.sha256 == load_text_encoder(bert).weights_sha256
    assert str(bert.parent) not in card.text.source
    assert not (folder / "text").exists()


def test_the_text_reaches_the_picture_and_the_match(config_file):
    run = setup(load(config_file))
    picture, text, other, noise, _ = (part[None] for part in run.samples[0])
    run.generator.eval()
    assert not torch.allclose(run.generator(noise, text), run.generator(noise, other))
    verdicts = [run.discriminator.eval()(picture, features) for features in (text, other)]
    assert verdicts[0][0, 0] == verdicts[1][0, 0]
    assert verdicts[0][0, 1] != verdicts[1][0, 1]


def test_every_loss_takes_part(config_file, tmp_path):
    classifier = tiny_package(tmp_path / "classes", task="classification")
    perceptual = ("--loss.perceptual", "1", "--loss.perceptual_package", str(classifier))
    feature = ("--quality.feature_package", str(classifier))
    run = setup(load(config_file, *perceptual, *feature, "--loss.r1", "1", "--epochs", "1", "--steps_per_epoch", "2"))
    fit(run)
    assert "1 perceptual" in run.card.training.loss
    log = (run.session.folder.path / "log.csv").read_text(encoding="utf-8")
    for name in ("l1", "perceptual", "generator match", "discriminator match", "kid", "share of waiting"):
        assert name in log
    assert (run.session.folder.path / "samples" / "epoch-0001.png").is_file()


def test_a_lazy_penalty_comes_every_kth_step_k_times_as_heavy(config_file, tmp_path, monkeypatch):
    """A penalty that is 1 everywhere has no gradient: both runs train alike and their losses differ by it alone."""
    monkeypatch.setattr("Training.report_gan.gradient_penalty", lambda *_: torch.tensor(1.0))
    losses: dict[str, list[float]] = {}
    for name, r1 in (("without", "0"), ("with", "5")):
        lazy = ("--loss.r1", r1, "--loss.r1_every", "3", "--steps_per_epoch", "6", "--epochs", "1")
        run = setup(load(config_file, *lazy, "--output", str(tmp_path / name)))
        update, losses[name] = run.session.update, []

        def remember(network, loss, name=name, update=update):
            losses[name] += [float(loss.detach())] if network == "discriminator" else []
            update(network, loss)

        monkeypatch.setattr(run.session, "update", remember)
        fit(run)
    differences = np.subtract(losses["with"], losses["without"])
    np.testing.assert_allclose(differences, [0.5 * 5 * 3, 0, 0] * 2, atol=1e-5)
    assert ",loss,r1,1\n" in (tmp_path / "with" / "log.csv").read_text(encoding="utf-8").replace("\r", "")


def test_the_widest_maps_are_a_multiple_of_the_width(config_file):
    parts = ("--size", "128", "--network.parameters.widest", "2", "--discriminator.parameters.widest", "16")
    generator, discriminator = build_networks(load(config_file, *parts), 8)
    maps = []
    for network in (generator, discriminator):
        for block in network.blocks:
            block.register_forward_hook(lambda module, given, answer: maps.append(tuple(answer.shape[1:])))
    discriminator(generator(torch.zeros(1, 4), torch.zeros(1, 8)), torch.zeros(1, 8))
    assert maps[:5] == [(8, 8, 8), (8, 16, 16), (8, 32, 32), (8, 64, 64), (4, 128, 128)]
    assert maps[5:] == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]
    with pytest.raises(InputError, match="widest must be at least 1"):
        build_networks(load(config_file, "--network.parameters.widest", "0"), 8)


def test_a_run_that_was_trained_without_it_is_exported_with_its_consistency(config_file, tmp_path):
    run = setup(load(config_file, "--epochs", "1"))
    fit(run)
    (folder,) = export(run)
    (before,) = load_package(folder).card.scores
    weights = load_package(folder).weights_sha256

    classes = {"classes": ["cardiomegaly", "left opacity", "right opacity"]}
    asked = ("--consistency.package", str(tiny_package(tmp_path / "classes", task="classification", **classes)))
    again = setup(load(config_file, "--epochs", "1", *asked, "--consistency.pictures", "2"), resume=True)
    assert export(again) == [folder]
    package = load_package(folder)
    kept, score = package.card.scores
    assert kept == before
    assert package.weights_sha256 == weights
    assert score.family == "finding asked for, finding seen"
    assert score.subjects == again.data.split()["test"]
    assert 0 <= score.metrics["consistency auroc cardiomegaly"] <= 1
    assert "2 pictures of seed 2" in score.protocol
    assert "consistency" in (run.session.folder.path / "config.yaml").read_text(encoding="utf-8")
    assert (run.session.folder.path / "neighbours.png").is_file()
    assert not list(folder.rglob("*.png"))  # training pictures do not leave the run's folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--size", "48"], "power of 2"),
        (["--network.name", "dcgan_generator"], "report_generator and report_discriminator|no parameter"),
        (["--network.parameters.size", "64"], "leave it out"),
        (["--loss.adversarial", "0", "--loss.match", "0"], "learns nothing"),
        (["--loss.perceptual", "1"], "loss.perceptual_package"),
        (["--text.encoder", "nowhere"], "There is no text encoder"),
        (["--data.reports", "nothing.csv"], r"nothing\.csv"),
        (["--data.validation", "0.05"], "too few"),
        (["--consistency.package", "t1_to_t2"], "no classifier of chest X-rays"),
    ],
)
def test_runs_that_cannot_work_are_refused_before_training(config_file, arguments, says):
    with pytest.raises(InputError, match=says):
        setup(load(config_file, *arguments))


def test_a_misspelt_key_is_refused_with_the_nearest(config_file):
    with pytest.raises(InputError, match='did you mean "vocabulary"'):
        load(config_file, "--text.language.vocabularly", "9")
