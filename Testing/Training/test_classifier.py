"""The classifier recipe for real on small pictures: it learns, resumes bit for bit, exports what it validated."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from MRITranslateLib.cam import ActivationMaps
from MRITranslateLib.card import ClassificationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package
from Training.classifier import export, exportable_classifier, fit, predict, setup
from Training.config.classifier import ClassifierConfig
from Training.config.load import load_config
from Training.perceptual import PerceptualLoss, load_feature_network


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """Discs and crosses at random places, six pictures a person; a table says that some are large."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :48]
    table = []
    for number in range(72):
        kind = ("disc", "cross")[number % 2]
        down, across = (rows - rng.uniform(16, 32), columns - rng.uniform(16, 32))
        large = rng.random() < 0.5
        size = 12 if large else 7
        if kind == "disc":
            shape = down**2 + across**2 < size**2
        else:
            shape = (np.minimum(abs(down), abs(across)) < 2.5) & (np.maximum(abs(down), abs(across)) < size)
        picture = shape * rng.uniform(80, 200) + rng.normal(30, 8, shape.shape)
        (root / kind).mkdir(exist_ok=True)
        file = f"{kind}/p{number // 6}_{number}.png"
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(root / file)
        findings = [kind] + ["large"] * large
        table.append([file, " + ".join(findings) if number % 9 else "", f"p{number // 6}"])
    with (root / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["file", "finding", "person"], *table])
    return root


@pytest.fixture
def config_file(tmp_path, shapes) -> Path:
    file = tmp_path / "shapes.yaml"
    file.write_text(
        f"""
package:
  name: shapes
  title: Discs and crosses
  source: T1
  intended_use: Tests of the software.
  data: Drawn shapes.
  licence: {{weights: Apache-2.0, data: Apache-2.0}}
pictures: {{root: {shapes}, size: 32, group_pattern: '/(p\\d+)_', validation: 0.25, test: 0.25}}
augment: {{flip: 0.5, rotate_degrees: 5, scale: 0.05, shift: 0.05, gamma: 0.2, brightness: 0.1, noise: 0.01}}
network: {{name: resnet_classifier, parameters: {{channels: [8, 16, 16]}}}}
epochs: 3
steps_per_epoch: 4
batch_size: 6
learning_rate: 0.004
warm_up_steps: 2
validate_every: 1
ema: 0.9
bootstrap: 50
precision: 32-true
accelerator: cpu
output: {tmp_path / "run"}
""",
        encoding="utf-8",
    )
    return file


def test_it_learns_and_the_export_answers_as_the_trainer_did(config_file, tmp_path):
    config = load_config(
        ClassifierConfig, config_file, ["--epochs", "20", "--batch_size", "12", "--validate_every", "10"]
    )
    run = setup(config)
    losses, stages = [], set()

    def report(stage, done, total, figures):
        stages.add(stage)
        if stage == "Training":
            losses.append(figures["loss"])

    fit(run, report)
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    assert {"Training", "Validated"} <= stages
    where = run.labelled["validation"]
    logits = predict(exportable_classifier(run), run.data.pictures[where])
    assert (logits.argmax(1) == run.data.labels[where].argmax(1)).mean() > 0.75

    (folder,) = export(run, report)
    package = load_package(folder)
    card = package.card
    assert isinstance(card, ClassificationCard)
    assert card.classes == ["cross", "disc"]
    assert not card.multi_label
    best = exportable_classifier(run)
    best.load_state_dict(run.session.folder.load_best()["weights"])
    np.testing.assert_array_equal(
        predict(package.classifier(), run.data.pictures[where]), predict(best, run.data.pictures[where])
    )
    (score,) = card.scores
    assert score.metrics["accuracy"] > 0.7
    assert score.metrics["accuracy, low"] <= score.metrics["accuracy"] <= score.metrics["accuracy, high"]
    counts = [value for name, value in score.metrics.items() if " taken for " in name]
    assert sum(counts) == len(run.labelled["test"]) == len(score.subjects)
    held_back = set(score.subjects) | set(card.training.validation_subjects)
    assert not held_back & set(card.training.subjects)
    assert card.training.steps == 80

    names = {file.name for file in run.session.folder.path.iterdir()}
    assert names >= {"config.yaml", "split.yaml", "log.csv", "samples", "checkpoint.ckpt"}
    assert "balanced accuracy" in (run.session.folder.path / "log.csv").read_text(encoding="utf-8")

    # What the classifier is for: it can be explained, and its features compare pictures.
    picture = torch.from_numpy(run.data.pictures[where[:1]].astype(np.float32))[:, None]
    assert ActivationMaps(package.classifier(), None, "gradcam", (1, 32, 32))(picture, [lambda y: y[0]]).values.any()
    loss = PerceptualLoss(load_feature_network(folder))
    assert loss(picture, picture) == 0
    assert loss(picture.flip(3), picture) > 0

    # Fine-tuning takes the weights, and leaves out the last layer where the classes are others.
    init = ["--init", str(folder), "--epochs", "1"]
    same = setup(load_config(ClassifierConfig, config_file, [*init, "--output", str(tmp_path / "same")]))
    for key, value in same.network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, package.classifier().state_dict()[key], rtol=0, atol=0)
    table = ["--pictures.index", str(config.pictures.root / "index.csv"), "--pictures.labels", "[person]"]
    one_each = ["--pictures.validation", "0", "--pictures.test", "0", "--output", str(tmp_path / "other")]
    other = setup(load_config(ClassifierConfig, config_file, [*init, *table, *one_each]))
    assert other.network.head.weight.shape == (12, 16)
    torch.testing.assert_close(
        other.network.stem[0].weight.data, package.classifier().state_dict()["stem.0.weight"], rtol=0, atol=0
    )
    fit(other)
    (folder,) = export(other)
    assert load_package(folder).card.scores == []
    assert load_package(folder).card.training.steps == 84


@pytest.mark.parametrize("balance", ["sampling", "weights"])
def test_several_findings_of_a_picture(config_file, shapes, balance):
    config = load_config(
        ClassifierConfig,
        config_file,
        [
            *("--pictures.index", str(shapes / "index.csv"), "--pictures.labels", "[finding]"),
            *("--pictures.separator", "+", "--pictures.group", "person", "--loss.balance", balance),
            *("--network.parameters", "{channels: [8, 16], norm: group}", "--epochs", "16", "--validate_every", "16"),
        ],
    )
    run = setup(config)
    assert run.card.classes == ["cross", "disc", "large"]
    assert run.card.multi_label
    unknown = np.isnan(run.data.labels).all(axis=1)
    assert unknown.sum() == 8
    assert not unknown[np.concatenate(list(run.labelled.values()))].any()
    first = []
    fit(run, lambda stage, done, total, now: first.append(now.get("mean auroc")) if stage == "Validated" else None)
    assert first[-1] > 0.7
    (folder,) = export(run)
    card = load_package(folder).card
    metrics = card.scores[0].metrics
    assert metrics["large found"] + metrics["large missed"] + metrics["large seen in vain"] <= len(run.labelled["test"])
    assert {"auroc disc", "auroc disc, low", "auroc disc, high"} <= set(metrics)


def test_a_stopped_run_resumes_bit_for_bit(config_file, tmp_path):
    whole = setup(load_config(ClassifierConfig, config_file, ["--output", str(tmp_path / "whole")]))
    fit(whole)
    stopped = setup(load_config(ClassifierConfig, config_file, ["--output", str(tmp_path / "stopped")]))
    fit(stopped, stop=lambda: stopped.session.step == 6)  # the last checkpoint is of step 4
    resumed = setup(load_config(ClassifierConfig, config_file, ["--output", str(tmp_path / "stopped")]), resume=True)
    assert resumed.session.step == 4
    fit(resumed)
    assert resumed.session.step == whole.session.step == 12
    for key, value in whole.network.state_dict().items():
        assert value.equal(resumed.network.state_dict()[key]), key
    name = "best-weights.safetensors"
    first, second = load_file(tmp_path / "whole" / name), load_file(tmp_path / "stopped" / name)
    assert all(first[key].equal(second[key]) for key in first)


def test_digital_heads_with_and_without_lesions_can_be_told_apart(config_file):
    """FLAIR, where lesions are bright: the training pictures are learnt."""
    config = load_config(
        ClassifierConfig,
        config_file,
        [
            *("--pictures", "{phantoms: 8, phantom_slices: 3, size: 64, validation: 0, test: 0, split_seed: 2}"),
            *("--augment", "{rotate_degrees: 0, scale: 0, shift: 0, gamma: 0, brightness: 0, noise: 0}"),
            *("--epochs", "10", "--batch_size", "8", "--validate_every", "10"),
        ],
    )
    run = setup(config)
    assert run.card.classes == ["lesions", "no lesions"]
    fit(run)
    where = run.labelled["train"]
    right = predict(exportable_classifier(run), run.data.pictures[where]).argmax(1) == run.data.labels[where].argmax(1)
    assert right.mean() > 0.75


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pictures.least_count", "99"], "0 class.es., too few"),
        (
            ["--pictures.size", "16", "--network.name", "densenet121", "--network.parameters", "{}"],
            "too small for this",
        ),
        (["--network.parameters", "{in_channels: 3}"], "wants more channels"),
        (["--network.parameters", "{classes: 5}"], "must be 2, as in the data"),
        (["--network.name", "patchgan", "--network.parameters", "{}"], 'no parameter "classes"'),
        (["--network.name", "resnet_classifer"], 'did you mean "resnet_classifier"'),
        (["--init", "t1_to_ct"], "choose a classification model"),
        (["--freeze", "[steem]"], '"steem" fits no layer'),
        (["--package.name", "Bad Name"], "wrong at package.name"),
    ],
)
def test_mistakes(config_file, arguments, says):
    with pytest.raises(InputError, match=says) as error:
        setup(load_config(ClassifierConfig, config_file, arguments))
    assert "\n" not in str(error.value)


def test_a_class_without_training_pictures_is_named(config_file, shapes, tmp_path):
    table = tmp_path / "given.csv"
    with table.open("w", newline="") as stream:
        rows = [[file.relative_to(shapes).as_posix(), file.parent.name] for file in sorted(shapes.rglob("*.png"))]
        parts = ["train" if kind == "disc" else "test" for _, kind in rows]
        csv.writer(stream).writerows(
            [["file", "class", "part"], *([*row, p] for row, p in zip(rows, parts, strict=True))]
        )
    config = load_config(
        ClassifierConfig,
        config_file,
        ["--pictures.index", str(table), "--pictures.split", "part", "--pictures.group", "file"],
    )
    with pytest.raises(InputError, match='No training picture shows "cross"'):
        setup(config)
