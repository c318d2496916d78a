"""The DCGAN recipe for real, on slices of digital heads: it leaves noise behind, resumes bit for bit, and exports what
it validated."""

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from MRITranslateLib.card import GenerationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.generate import generate
from MRITranslateLib.package import load_package
from Testing.MRITranslateLib.packages import tiny_package
from Training import dcgan
from Training.config.dcgan import DCGANConfig
from Training.config.load import load_config
from Training.drawing import draw
from Training.quality import held_back_quality

TINY = """
package:
  name: tiny_heads
  title: Tiny heads from noise
  target: T1
  intended_use: Tests of the software.
  data: Digital heads.
  licence: {{weights: Apache-2.0, data: Apache-2.0}}
pictures:
  {{phantoms: 4, phantom_slices: 14, phantom_contrast: t1, size: 32, validation: 0.25, test: 0.25, cache: {cache}}}
network: {{name: dcgan_generator, parameters: {{latent: 8, width: 8}}}}
discriminator: {{name: dcgan_discriminator, parameters: {{width: 8, norm: none, spectral: true}}}}
quality: {{count: 40}}
epochs: 3
steps_per_epoch: 4
batch_size: 8
warm_up_steps: 0
learning_rate: 0.005
ema: 0.9
validate_every: 1
precision: 32-true
accelerator: cpu
threads: 1
output: {output}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def configure(tmp_path, cache):
    """Makes a configuration that trains in seconds; the heads are simulated once for all tests."""

    def make(*overrides: str) -> DCGANConfig:
        file = tmp_path / "tiny.yaml"
        file.write_text(TINY.format(cache=cache, output=tmp_path / "run"), encoding="utf-8")
        return load_config(DCGANConfig, file, list(overrides))

    return make


def figures(run: dcgan.Run, name: str) -> list[float]:
    with (run.session.folder.path / "log.csv").open(newline="") as stream:
        return [float(row["value"]) for row in csv.DictReader(stream) if row["figure"] == name]


def test_pictures_leave_noise_behind_and_the_export_makes_the_validated_ones(configure):
    run = dcgan.setup(configure("--epochs", "3", "--steps_per_epoch", "20", "--quality.choose_by", "fid"))
    untrained = draw(dcgan.exportable_generator(run.session, 1), 40, 1)
    before = run.quality.measure(untrained)
    made = {}

    def remember(stage, done, total, scores):
        if stage == "Validated":
            made[done] = draw(dcgan.exportable_generator(run.session, 1), 40, 1), scores["fid"]

    dcgan.fit(run, remember)

    losses = figures(run, "discriminator")
    assert losses[0] < np.log(2)  # what a judge without a clue loses: the noise of the first epoch is easily told
    _, (best, fid) = min(made.items(), key=lambda item: item[1][1])
    after = run.quality.measure(best)
    assert after["fid"] == pytest.approx(fid)
    assert after["fid"] < 0.5 * before["fid"]
    assert after["kid"] < 0.3 * before["kid"]
    assert after["diversity"] > 0.4 * after["real_diversity"]  # not one picture for all noise
    edge, middle = best[:, :3].mean(), best[:, 10:22, 10:22].mean()
    assert edge < middle - 0.3  # air around, head inside

    (folder,) = dcgan.export(run)
    package = load_package(folder)
    card = package.card
    assert isinstance(card, GenerationCard)
    assert card.network.parameters["size"] == card.picture.size == 32
    assert card.training.steps == 60
    # Bit for bit what the trainer saw when it chose these weights.
    assert np.array_equal(generate(package, count=40, seed=1, device="cpu").pictures, best)
    judge = package.discriminator()
    assert judge(torch.from_numpy(best[:3])[:, None]).shape == (3, 1)
    score = card.scores[0]
    assert score.subjects == run.data.split()["test"]
    assert not set(score.subjects) & set(card.training.subjects + card.training.validation_subjects)
    assert "random convolutional network" in score.protocol
    assert score.metrics.keys() >= {"fid", "fid_floor", "kid", "kid_sd", "kid_floor", "diversity", "nearest_train"}
    # What the card says was measured of the pictures that everybody gets for the next seed.
    held_back = held_back_quality(run.config.quality, run.data.pictures, run.data.parts, "test")
    measured = held_back.measure(generate(package, count=40, seed=2, device="cpu").pictures)
    assert score.metrics == {key: round(value, 6) for key, value in measured.items()}
    assert (run.session.folder.path / "neighbours.png").is_file()
    assert not list(folder.rglob("*.png"))  # training pictures do not leave the run's folder


def test_the_exported_discriminator_is_the_trained_one_to_float16(configure):
    run = dcgan.setup(configure("--epochs", "1"))
    dcgan.fit(run)
    (folder,) = dcgan.export(run)
    pictures = torch.rand(4, 1, 32, 32) * 2 - 1
    with torch.inference_mode():
        stored = load_package(folder).discriminator()(pictures)
        assert stored.equal(run.session.exportable("discriminator")(pictures))
        torch.testing.assert_close(stored, run.discriminator.eval()(pictures), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["--loss.r1", "1", "--loss.real_label", "0.9", "--network.parameters.up", "transposed"],
        ["--discriminator.parameters", "{width: 8, norm: batch}", "--diffaugment.cutout", "0"],
    ],
)
def test_a_killed_run_resumes_bit_for_bit(configure, tmp_path, changes):
    whole = dcgan.setup(configure("--output", str(tmp_path / "whole"), *changes))
    dcgan.fit(whole)
    killed = dcgan.setup(configure("--output", str(tmp_path / "killed"), *changes))
    dcgan.fit(killed, stop=lambda: killed.session.step == 6)  # the last checkpoint is of step 4
    resumed = dcgan.setup(configure("--output", str(tmp_path / "killed"), *changes), resume=True)
    assert resumed.session.step == 4
    dcgan.fit(resumed)
    for one, other in ((whole.generator, resumed.generator), (whole.discriminator, resumed.discriminator)):
        for key, value in one.state_dict().items():
            assert value.equal(other.state_dict()[key]), key
    for name in ("weights", "discriminator"):
        first, second = (load_file(tmp_path / run / f"best-{name}.safetensors") for run in ("whole", "killed"))
        assert all(first[key].equal(second[key]) for key in first)


def test_a_lazy_penalty_comes_every_kth_step_k_times_as_heavy(configure, tmp_path, monkeypatch):
    """A penalty that is 1 everywhere has no gradient: both runs train alike and their losses differ by it alone."""
    monkeypatch.setattr(dcgan, "gradient_penalty", lambda *_: torch.tensor(1.0))
    losses: dict[str, list[float]] = {}
    for name, r1 in (("without", "0"), ("with", "5")):
        output = ("--output", str(tmp_path / name))
        run = dcgan.setup(configure("--epochs", "2", "--loss.r1", r1, "--loss.r1_every", "4", *output))
        update, losses[name] = run.session.update, []

        def remember(network, loss, name=name, update=update):
            losses[name] += [float(loss.detach())] if network == "discriminator" else []
            update(network, loss)

        monkeypatch.setattr(run.session, "update", remember)
        dcgan.fit(run)
    differences = np.subtract(losses["with"], losses["without"])
    np.testing.assert_allclose(differences, [0.5 * 5 * 4, 0, 0, 0] * 2, atol=1e-5)
    assert figures(run, "r1") == [1, 1]  # the mean over all steps is that of a penalty at every step


def test_the_statistics_of_the_averaged_generator_are_those_of_its_own_activations(configure):
    run = dcgan.setup(configure("--epochs", "2", "--ema", "0.99"))
    dcgan.fit(run)
    settled = dcgan.exportable_generator(run.session, 1)
    noise = torch.randn(2000, 8, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        activations = settled.project(noise).unflatten(1, (-1, 4, 4))
    layer = settled.start[0]
    torch.testing.assert_close(layer.running_mean, activations.mean((0, 2, 3)), rtol=0.1, atol=0.05)
    torch.testing.assert_close(layer.running_var, activations.var((0, 2, 3)), rtol=0.15, atol=0.02)
    assert all(
        value.half().float().equal(value) for value in settled.state_dict().values() if value.is_floating_point()
    )
    assert not any(module.training for module in settled.modules())


def test_the_samples_are_functions_of_their_index(configure):
    run = dcgan.setup(configure())
    first, second = run.samples[5], run.samples[5]
    assert all(one.equal(other) for one, other in zip(first, second, strict=True))
    assert not run.samples[5][1].equal(run.samples[6][1])
    picture, noise, choices = first
    assert picture.shape == (1, 32, 32)
    assert noise.shape == (8,)
    assert 0 <= choices.min() <= choices.max() < 1


def test_fine_tuning_starts_from_a_package(configure, tmp_path):
    networks = {
        "network": {"name": "dcgan_generator", "parameters": {"latent": 8, "size": 32, "width": 8}},
        "discriminator": {
            "name": "dcgan_discriminator",
            "parameters": {"size": 32, "width": 8, "norm": "none", "spectral": True},
        },
    }
    package = tiny_package(tmp_path / "package", task="generation", picture={"size": 32}, **networks)
    run = dcgan.setup(configure("--init", str(package)))
    for network, stored in (
        (run.generator, load_package(package).generator()),
        (run.discriminator, load_package(package).discriminator()),
    ):
        for key, value in stored.state_dict().items():
            assert network.state_dict()[key].equal(value)
    with pytest.raises(InputError, match="differ from this configuration"):
        dcgan.setup(configure("--init", str(package), "--network.parameters.width", "4"))


@pytest.mark.parametrize(("choose_by", "better"), [("kid", -0.5), ("fid", -2.0), ("last", float("inf"))])
def test_the_weights_are_chosen_by_a_figure_or_are_the_last(configure, choose_by, better):
    quality = configure("--quality.choose_by", choose_by).quality
    assert quality.better({"kid": 0.5, "fid": 2.0}) == better
    assert quality.better({}) == float("inf")


def test_without_pictures_held_back_the_last_weights_are_exported_without_scores(configure):
    run = dcgan.setup(configure("--pictures.validation", "0", "--pictures.test", "0", "--epochs", "1"))
    dcgan.fit(run)
    (folder,) = dcgan.export(run)
    assert load_package(folder).card.scores == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--network.parameters.size", "64"], r"network\.parameters\.size must be pictures\.size"),
        (["--network.name", "pix2pix_unet"], "no parameter"),
        (["--discriminator", "{name: patchgan, parameters: {}}"], "no parameter"),
        (["--pictures.size", "48"], "power of 2"),
        (["--quality.count", "8", "--pictures.validation", "0.5"], "at least half of the validation pictures"),
        (["--pictures.phantoms", "0"], "no pictures"),
        (["--quality.feature_package", "t1_to_t2"], "no classifier"),
    ],
)
def test_runs_that_cannot_work_are_refused_before_training(configure, arguments, says):
    with pytest.raises(InputError, match=says):
        dcgan.setup(configure(*arguments))
