"""Configurations: every shipped one loads, and every mistake is named with its nearest right key."""

from pathlib import Path

import pytest

import Training
from MRITranslateLib import networks
from MRITranslateLib.errors import InputError
from Training.config import describe_keys, load_config
from Training.export import draft_card

CONFIGS = sorted((Path(Training.__file__).parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_shipped_configurations_make_a_card_and_networks(file):
    config = load_config(file, [])
    card = draft_card(config)
    assert card.name == file.stem
    generator = networks.build(config.network.name, config.network.parameters)
    assert config.network.parameters["in_channels"] == config.grid.context
    assert config.discriminator.parameters["in_channels"] == config.grid.context + 1
    assert sum(p.numel() for p in generator.parameters()) * 2 < 16 * 2**20


def test_the_command_line_overrides_the_file(config_file):
    config = load_config(config_file, ["--loss.l1", "3.5", "--epochs=7", "--data.train", "[x, y]", "--batch-size", "4"])
    assert (config.loss.l1, config.epochs, config.data.train, config.batch_size) == (3.5, 7, ["x", "y"], 4)


def test_digital_heads_join_the_training_subjects(config_file):
    config = load_config(config_file, ["--data.phantoms", "2"])
    assert config.data.training_subjects == ["ms_a", "ms_b", "phantom-1000", "phantom-1001"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epoch", "3"], 'no key "epoch"; did you mean "epochs"'),
        (["--loss.l3", "3"], 'no key "loss.l3"; did you mean "l'),
        (["--loss.zzz", "3"], "valid keys are l1, l2"),
        (["--epochs", "many"], "wrong at epochs"),
        (["--epochs", "0"], "wrong at epochs"),
        (["--epochs.more", "1"], "epochs is a single value"),
        (["--learning_rate", "-1"], "wrong at learning_rate"),
        (["--package.source", "T9"], "wrong at package.source"),
        (["--epochs"], "--epochs needs a value"),
        (["epochs"], '"epochs" stands alone'),
    ],
)
def test_mistakes_on_the_command_line(config_file, arguments, says):
    with pytest.raises(InputError) as error:
        load_config(config_file, arguments)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_mistakes_in_the_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_config(tmp_path / "none.yaml", [])
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,")
    with pytest.raises(InputError, match="not valid YAML"):
        load_config(broken, [])
    broken.write_text("- a\n- b\n")
    with pytest.raises(InputError, match="keys and values"):
        load_config(broken, [])


def test_every_key_is_documented():
    rows = describe_keys()
    assert len(rows) > 40
    assert [
        key
        for key, _, meaning in rows
        if not meaning and not key.startswith(("grid", "intensity", "network", "discriminator", "package.licence"))
    ] == []
