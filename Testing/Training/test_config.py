"""Configurations: every shipped one loads, and every mistake is named with its nearest right key."""

from pathlib import Path

import pytest

import Training
from MRITranslateLib import networks
from MRITranslateLib.errors import InputError
from Training.config.load import describe_keys, load_config
from Training.config.pix2pix import Pix2PixConfig
from Training.recipes import RECIPES

CONFIGS = sorted((Path(Training.__file__).parent / "configs").glob("*.yaml"))
BUILT_IN = sorted((CONFIGS[0].parent / "built_in").glob("*.yaml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_shipped_configuration_is_of_one_recipe_and_fits_a_package(file):
    """The first line of a file names its recipe. A package of the module's own may hold 16 MiB; larger networks are for
    GPUs, and their configuration says so."""
    text = file.read_text(encoding="utf-8")
    config = load_config(RECIPES[_command(file)[0]].config, file)
    for part in ("network", "discriminator"):
        network = getattr(config, part, None)
        if network is not None:
            built = networks.build(network.name, network.parameters)
            assert sum(p.numel() for p in built.parameters()) * 2 < 16 * 2**20 or "for a GPU" in text


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_shipped_configuration_fits_anybody_s_subjects(file):
    """Names of people stand in the files of the built-in models alone."""
    data = load_config(RECIPES[_command(file)[0]].config, file).model_dump().get("data", {})
    named = [data.get(key) for key in ("leave_out", "train", "validation", "test")]
    assert all(name.startswith("phantom-") for names in named if isinstance(names, list) for name in names)
    assert not data.get("folds")


@pytest.mark.parametrize("file", BUILT_IN, ids=lambda file: file.stem)
def test_what_a_built_in_model_changes_stands_in_a_file_of_its_own(file):
    command, first = _command(file)
    root = Path(Training.__file__).parents[1]
    config = load_config(RECIPES[command].config, [root / first, file])
    plain = load_config(RECIPES[command].config, root / first)
    assert first == f"Training/configs/{file.name}"
    assert config.network == plain.network
    assert "tmpl_mni152_2mm" in config.data.leave_out
    assert config.package.licence.weights == "CC BY 4.0"
    assert plain.package.name == f"own_{config.package.name}"
    assert "say here" in plain.package.data.lower()


def _command(file: Path) -> tuple[str, str]:
    """Recipe and first configuration of the command that a file's first line names."""
    words = file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# mritranslate-train ").split()
    return words[0], words[-1]


def test_a_second_file_changes_what_the_first_says_key_by_key(config_file, tmp_path):
    second = tmp_path / "second.yaml"
    second.write_text("epochs: 9\nloss: {l2: 2.5}\ndata: {train: [ms_b]}\n", encoding="utf-8")
    first = load_config(Pix2PixConfig, config_file)
    both = load_config(Pix2PixConfig, [config_file, second], ["--loss.l1", "4"])
    assert (both.epochs, both.loss.l1, both.loss.l2, both.data.train) == (9, 4.0, 2.5, ["ms_b"])
    assert both.package == first.package
    with pytest.raises(InputError, match=r'"none.yaml" does not exist'):
        load_config(Pix2PixConfig, [config_file, Path("none.yaml")])


def test_the_shipped_pair_of_generator_and_classifier_can_share_a_split():
    dcgan, tumour = (
        load_config(RECIPES[recipe].config, CONFIGS[0].parent / file).pictures
        for recipe, file in (("dcgan", "brain_mri_dcgan.yaml"), ("classifier", "brain_tumour.yaml"))
    )
    for name in ("labels", "group", "validation", "test", "split_seed"):
        assert getattr(dcgan, name) == getattr(tumour, name)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_has_its_example_and_its_parts(recipe):
    assert (Path(Training.__file__).parent / "configs" / recipe.example).is_file()
    module = recipe.load()
    assert all(callable(getattr(module, part)) for part in ("setup", "fit", "export"))


def test_the_command_line_overrides_the_file(config_file):
    config = load_config(
        Pix2PixConfig, config_file, ["--loss.l1", "3.5", "--epochs=7", "--data.train", "[x, y]", "--batch-size", "4"]
    )
    assert (config.loss.l1, config.epochs, config.data.train, config.batch_size) == (3.5, 7, ["x", "y"], 4)


def test_digital_heads_join_the_training_subjects(config_file):
    config = load_config(Pix2PixConfig, config_file, ["--data.phantoms", "2"])
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
        load_config(Pix2PixConfig, config_file, arguments)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_mistakes_in_the_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_config(Pix2PixConfig, tmp_path / "none.yaml", [])
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,")
    with pytest.raises(InputError, match="not valid YAML"):
        load_config(Pix2PixConfig, broken, [])
    broken.write_text("- a\n- b\n")
    with pytest.raises(InputError, match="keys and values"):
        load_config(Pix2PixConfig, broken, [])


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_key_is_documented(recipe):
    cards = ("grid.", "intensity.", "network.", "discriminator.", "licence.")  # documented with the model card
    rows = [row for row in describe_keys(recipe.config) if not any(card in row[0] for card in cards)]
    assert len(rows) > 20
    assert [key for key, _, meaning in rows if not meaning] == []
