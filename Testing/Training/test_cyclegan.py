"""The CycleGAN recipe for real, on tiny volumes: both ways learn, a run resumes bit for bit, both packages load."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import MRITranslateLib as mt
from MRITranslateLib.card import GridCard
from MRITranslateLib.errors import InputError
from Training.config.cyclegan import CycleGANConfig, GeometryConfig
from Training.config.load import load_config
from Training.cyclegan import _inner, _middle, _slide, export, fit, setup
from Training.data.pairs import PreparedVolume
from Training.data.unpaired import RandomUnpaired
from Training.imagepool import ImagePool
from Training.validation import translate_prepared

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config_file(tmp_path, subjects) -> Path:
    """Networks of a few thousand weights on 4 mm pixels."""
    file = tmp_path / "tiny.yaml"
    file.write_text(
        f"""
package:
  name: tiny_t1_to_t2
  title: Tiny T1 to T2
  source: T1
  target: T2
  intended_use: Tests of the software.
  data: Digital heads.
  licence: {{weights: Apache-2.0, data: Apache-2.0}}
reverse: {{name: tiny_t2_to_t1, title: Tiny T2 to T1, intended_use: Tests of the way back.}}
data:
  root: {subjects}
  train: [ms_a, ms_b]
  test: [gl_c]
grid: {{spacing_mm: [4.0, 4.0], size_multiple: 8}}
intensity:
  source: {{name: foreground_median, parameters: {{clip_high: 1}}}}
  target: {{name: foreground_percentile, parameters: {{clip_high: 1}}}}
network:
  name: residual_unet
  parameters: {{channels: [8, 16], blocks: 1}}
discriminator: {{name: patchgan, parameters: {{in_channels: 1, width: 4, layers: 1}}}}
pool: 3
epochs: 3
steps_per_epoch: 4
batch_size: 2
crop: 32
warm_up_steps: 2
validate_every: 1
precision: 32-true
accelerator: cpu
output: {tmp_path / "run"}
""",
        encoding="utf-8",
    )
    return file


def load(file: Path, *arguments: str) -> CycleGANConfig:
    return load_config(CycleGANConfig, file, arguments)


def test_the_cycle_closes_and_both_packages_answer_as_the_validated_networks(config_file):
    run = setup(load(config_file, "--epochs", "30", "--learning_rate", "0.003", "--validate_every", "30"))
    losses: list[float] = []

    def report(stage, done, total, figures):
        losses.extend([figures["cycle"]] if stage == "Training" else [])

    fit(run, report)
    assert np.mean(losses[-3:]) < 0.6 * losses[0]

    folders = export(run)
    assert [folder.name for folder in folders] == ["export", "export-reverse"]
    there, back = (mt.load_package(folder) for folder in folders)
    assert (there.card.name, there.card.inverse) == ("tiny_t1_to_t2", "tiny_t2_to_t1")
    assert (back.card.name, back.card.inverse) == ("tiny_t2_to_t1", "tiny_t1_to_t2")
    assert (back.card.source, back.card.target) == ("T2", "T1")
    assert back.card.intended_use == "Tests of the way back."
    assert back.card.intensity.source == there.card.intensity.target
    assert back.card.domain.quantiles != there.card.domain.quantiles
    for package in (there, back):
        assert package.card.training.steps == 120
        assert package.card.training.subjects == ["ms_a", "ms_b"]
        assert package.card.scores[0].metrics["psnr"] > 5
        assert package.card.judged_channels == 1

    validated = run.session.exportable("generators")
    for way, package, volume in (("there", there, run.data.sources[0]), ("back", back, run.data.targets[0])):
        expected = translate_prepared(validated[way], volume.array, package.card, CPU)
        np.testing.assert_array_equal(
            translate_prepared(package.generator(), volume.array, package.card, CPU), expected
        )
        state = run.session.exportable("discriminators")[way].state_dict()
        assert all(value.equal(state[key]) for key, value in package.discriminator().state_dict().items())


def test_the_panel_s_explanation_of_realism_takes_the_package(config_file, subjects):
    run = setup(load(config_file, "--epochs", "1"))
    fit(run)
    package = mt.load_package(export(run)[1])
    image = sitk.ReadImage(str(subjects / "ms_a" / "t2.nii.gz"))
    answer = mt.explain(image, package, mt.Realism(), layer="layers.0", device="cpu")
    assert answer.heatmap.GetSize() == image.GetSize()


def test_a_killed_run_resumes_bit_for_bit(config_file, tmp_path):
    whole = setup(load(config_file, "--output", str(tmp_path / "whole")))
    fit(whole)

    killed = setup(load(config_file, "--output", str(tmp_path / "killed")))
    fit(killed, stop=lambda: killed.session.step == 6)  # the last checkpoint is of step 4
    resumed = setup(load(config_file, "--output", str(tmp_path / "killed")), resume=True)
    assert resumed.session.step == 4
    fit(resumed)

    assert resumed.session.step == whole.session.step == 12
    for one, other in ((whole.generators, resumed.generators), (whole.discriminators, resumed.discriminators)):
        for key, value in one.state_dict().items():
            assert value.equal(other.state_dict()[key]), key
    for way, pool in whole.pools.items():
        assert pool.state_dict()["images"].equal(resumed.pools[way].state_dict()["images"])
    best = [run.session.folder.load_best() for run in (whole, resumed)]
    assert set(best[0]) == {"weights", "discriminator", "reverse-weights", "reverse-discriminator"}
    assert all(value.equal(best[1][name][key]) for name, state in best[0].items() for key, value in state.items())


def test_a_run_starts_from_the_packages_of_another(config_file, tmp_path):
    first = setup(load(config_file, "--epochs", "1"))
    fit(first)
    there, back = export(first)
    options = ["--init", str(there), "--reverse.init", str(back), "--output", str(tmp_path / "second")]
    second = setup(load(config_file, *options))
    for way, folder in (("there", there), ("back", back)):
        package = mt.load_package(folder)
        _same_weights(second.generators[way], package.generator())
        _same_weights(second.discriminators[way], package.discriminator())


def test_a_run_starts_from_a_network_of_pairs_but_not_from_its_judge(config_file):
    """Who was shown input and output side by side cannot judge an image alone."""
    paired = mt.load_package("t1_to_ct")
    assert paired.has_discriminator
    network = paired.card.network.model_dump_json()
    starts = ["--init", "t1_to_ct", "--reverse.init", "t1_to_ct"]
    run = setup(load(config_file, "--network", network, "--grid.size_multiple", "32", *starts))
    for way in ("there", "back"):
        _same_weights(run.generators[way], paired.generator())
        assert run.discriminators[way].in_channels == 1


def _same_weights(network: torch.nn.Module, other: torch.nn.Module) -> None:
    state = network.state_dict()
    assert all(value.equal(state[key]) for key, value in other.state_dict().items())


def test_pairs_choose_the_best_where_there_are_any(config_file):
    run = setup(load(config_file, "--data.validation", "[gl_c]", "--data.test", "[]", "--epochs", "1"))
    scores = {}
    fit(run, lambda stage, done, total, figures: scores.update(figures) if stage == "Validated" else None)
    for way in ("T1 to T2", "T2 to T1"):
        assert {f"{way} {name}" for name in ("psnr", "ssim", "mae")} <= set(scores)
    assert run.session.best == pytest.approx((scores["T1 to T2 psnr"] + scores["T2 to T1 psnr"]) / 2)
    assert (run.session.folder.path / "samples" / "epoch-0001.png").is_file()


def test_without_pairs_the_cycle_and_the_intensities_choose(config_file, subjects, tmp_path):
    """One person's T1 and another person's T2."""
    root = tmp_path / "apart"
    for subject, name in (("ms_a", "t1"), ("ms_b", "t2"), ("gl_c", "t1")):
        (root / subject).mkdir(parents=True)
        shutil.copy(subjects / subject / f"{name}.nii.gz", root / subject)
    options = ["--data.root", str(root), "--data.train", "null", "--data.validation", "[gl_c]", "--data.test", "[]"]
    run = setup(load(config_file, *options, "--epochs", "1"))
    assert [volume.subject for volume in run.data.sources] == ["ms_a"]
    assert [volume.subject for volume in run.data.targets] == ["ms_b"]
    assert [volume.subject for volume in run.data.looked_at["there"]] == ["gl_c"]
    assert [volume.subject for volume in run.data.looked_at["back"]] == ["ms_b"]  # nobody else has a T2
    scores = {}
    fit(run, lambda stage, done, total, figures: scores.update(figures) if stage == "Validated" else None)
    assert set(scores) == {
        f"{way} {name}" for way in ("T1 to T2", "T2 to T1") for name in ("cycle error", "intensity distance")
    }
    assert run.session.best == pytest.approx(-sum(scores.values()))
    assert all(mt.load_package(folder).card.scores == [] for folder in export(run))


def test_equal_names_need_not_be_pairs(config_file):
    run = setup(load(config_file, "--paired", "false", "--data.validation", "[gl_c]", "--data.test", "[]"))
    assert run.data.pairs == []
    assert [volume.subject for volume in run.data.looked_at["back"]] == ["gl_c"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--grid.context", "3", "--network.parameters.in_channels", "3"],
        [
            "--grid",
            "{dimensions: 3, spacing_mm: [4, 4], slice_spacing_mm: 20, patch: [8, 16, 16], size_multiple: 4}",
            "--network.parameters.dimensions",
            "3",
            "--discriminator.parameters.dimensions",
            "3",
        ],
    ],
    ids=["neighbouring slices", "volumes"],
)
def test_neighbouring_slices_and_volumes(arguments, config_file, subjects):
    run = setup(load(config_file, *arguments, "--epochs", "1", "--steps_per_epoch", "2"))
    fit(run)
    there, _ = (mt.load_package(folder) for folder in export(run))
    image = sitk.ReadImage(str(subjects / "ms_a" / "t1.nii.gz"))
    assert mt.translate(image, there, device="cpu").image.GetSize() == image.GetSize()


def test_a_window_of_slices_goes_there_and_back():
    """With weights that add neighbouring slices, the sums tell which slices took part."""
    network = torch.nn.Conv2d(3, 1, 1, bias=False)
    torch.nn.init.ones_(network.weight)
    slices = torch.arange(1.0, 6).view(1, 5, 1, 1).expand(2, 5, 4, 4)
    with torch.no_grad():
        once = _slide(network, 3, slices)
        assert once[:, :, 0, 0].tolist() == [[6, 9, 12]] * 2
        assert _slide(network, 3, once)[:, :, 0, 0].tolist() == [[27]] * 2
    assert _middle(slices)[0, :, 0, 0].tolist() == [3]
    assert _inner(slices)[0, :, 0, 0].tolist() == [2, 3, 4]
    single = torch.zeros(2, 1, 4, 4)
    assert _inner(single).shape == _middle(single).shape == single.shape


def test_unpaired_samples_are_functions_of_seed_and_index():
    rng = np.random.default_rng(1)

    def volume(subject: str, low: float) -> PreparedVolume:
        array = rng.uniform(low, low + 0.5, (5, 20, 24)).astype(np.float16)
        return PreparedVolume(subject, array, np.arange(5), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))

    sources, targets = [volume("a", -0.5), volume("b", -0.5)], [volume("c", 0.2)]
    augment = GeometryConfig.model_validate({"rotate_degrees": 0, "scale": 0, "elastic_mm": 0})

    def samples(context: int, seed: int = 3) -> RandomUnpaired:
        return RandomUnpaired(sources, targets, GridCard(context=context), 16, augment, 0.3, seed, 40)

    source, target = samples(1)[7]
    assert source.shape == target.shape == (1, 16, 16)
    assert -0.5 <= source.min() <= source.max() <= 0 < target.min()
    assert all(one.equal(other) for one, other in zip(samples(1)[7], (source, target), strict=True))
    assert not samples(1, seed=4)[7][0].equal(source)
    assert len({samples(1)[index][0].sum().item() for index in range(40)}) > 30
    assert samples(3)[7][0].shape == (5, 16, 16)


def test_the_image_pool_remembers():
    torch.manual_seed(1)
    pool = ImagePool(4)
    first = torch.arange(3.0).view(3, 1, 1, 1)
    assert pool(first).equal(first)
    seen = [int(value) for number in range(3, 200) for value in pool(torch.full((1, 1, 1, 1), float(number))).flatten()]
    old = sum(value < number for number, value in enumerate(seen, 3))
    assert 70 < old < 130  # every second image is an old one
    assert len(pool.state_dict()["images"]) == 4

    again, more = ImagePool(4), torch.arange(500.0, 506).view(6, 1, 1, 1)
    again.load_state_dict({"images": pool.state_dict()["images"].clone()})
    random = torch.get_rng_state()
    expected = pool(more)
    assert not expected.equal(more)
    torch.set_rng_state(random)
    assert again(more).equal(expected)
    assert ImagePool(0)(first).equal(first)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--reverse.name", "tiny_t1_to_t2"], "the same"),
        (["--discriminator.parameters.in_channels", "2"], "in_channels 1"),
        (["--crop", "30"], "multiple of grid.size_multiple"),
        (["--data.target_file", "pd.nii.gz"], "No training subject has a target image"),
        (["--data.train", "[nobody]"], "nobody"),
        (["--network.parameters.in_channels", "3"], "grid.context 1 needs in_channels 1"),
        (["--crop", "8", "--discriminator.parameters.layers", "3"], "too small for the discriminator"),
        (["--loss.adversarial", "0"], "loss.adversarial"),
        (["--loss.cycles", "1"], 'did you mean "cycle"'),
    ],
)
def test_runs_that_cannot_work_are_refused_before_training(arguments, says, config_file):
    with pytest.raises(InputError, match=says):
        setup(load(config_file, *arguments))


def test_a_damaged_image_is_named(config_file, subjects, tmp_path):
    root = tmp_path / "damaged"
    shutil.copytree(subjects, root)
    file = root / "ms_b" / "t2.nii.gz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match="ms_b"):
        setup(load(config_file, "--data.root", str(root)))
