"""Packages that do not translate: generators of pictures, of X-rays from reports, and classifiers, as strictly checked
as translators."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MRITranslateLib import files, networks
from MRITranslateLib.errors import InputError, PackageError
from MRITranslateLib.package import Package, load_package
from MRITranslateLib.phantom import phantom
from MRITranslateLib.text import load_text_encoder
from MRITranslateLib.translate import translate

from .packages import CARD, CARDS, language_model, random_state, tiny_package
from .test_package import assert_usable_or_refused, edit_card, put_state, put_weights, refused

KINDS = [task for task in CARDS if task != "translation"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return language_model(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def pristine(bert: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    return {
        task: tiny_package(folder / task, task=task, extra_files=bert if task == "radiograph" else None)
        for task in KINDS
    }


@pytest.fixture
def copy(pristine: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda task: Path(shutil.copytree(pristine[task], tmp_path / task))


def test_a_generator_makes_the_pictures_on_its_card(pristine: dict[str, Path]) -> None:
    package = load_package(pristine["generation"])
    network, judge = package.generator(), package.discriminator()
    expected = networks.build("dcgan_generator", CARDS["generation"]["network"]["parameters"]).eval()
    state = random_state("dcgan_generator", CARDS["generation"]["network"]["parameters"])
    expected.load_state_dict({key: v.half().float() if v.is_floating_point() else v for key, v in state.items()})
    noise = torch.randn(3, 6)
    pictures = network(noise)
    assert pictures.shape == (3, 1, 16, 16)
    assert torch.equal(pictures, expected(noise))
    assert judge(pictures).shape == (3, 1)
    with pytest.raises(PackageError, match="choose a classification model"):
        package.classifier()
    with pytest.raises(PackageError, match="reads no text"):
        package.text_folder()
    package.verify()


def test_a_classifier_has_a_logit_for_each_class(pristine: dict[str, Path]) -> None:
    package = load_package(pristine["classification"])
    assert package.classifier()(torch.randn(2, 1, 32, 32)).shape == (2, 3)
    with pytest.raises(PackageError, match="choose a model that makes images"):
        package.generator()
    with pytest.raises(PackageError, match="no discriminator"):
        package.discriminator()
    package.verify()


def test_a_radiograph_is_made_of_a_report(pristine: dict[str, Path], tmp_path: Path) -> None:
    catalogued = Path(shutil.copytree(pristine["radiograph"], tmp_path / "copy"))
    package = load_package(catalogued)
    encoder = load_text_encoder(package.text_folder())
    features = torch.from_numpy(encoder.encode(["The lungs are clear.", "Opacity in the left lower lobe."]).values)
    assert encoder.weights_sha256 == package.card.files["text/model.safetensors"].sha256
    pictures = package.generator()(torch.randn(2, 6), features)
    assert pictures.shape == (2, 1, 16, 16)
    assert package.discriminator()(pictures, features).shape == (2, 2)
    package.verify()


def test_a_language_model_that_could_not_be_passed_on(bert: dict[str, Path], tmp_path: Path) -> None:
    text = {**CARDS["radiograph"]["text"], "encoder": "external"}
    package = load_package(tiny_package(tmp_path / "tiny", task="radiograph", text=text))
    with pytest.raises(PackageError, match=r"tiny BERT of random weights.*; give the folder of your own copy"):
        package.text_folder()
    with pytest.raises(PackageError, match="extra files"):
        tiny_package(tmp_path / "tiny", task="radiograph", text=text, extra_files=bert)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files.clear(), "extra files"),
        (lambda files: files.pop("text/model.safetensors"), "extra files"),
        (lambda files: files.update({"text/../../evil": files["text/config.json"]}), "extra files"),
        (lambda files: files.update({"text/evil.py": files["text/config.json"]}), "extra files"),
        (lambda files: files.update({"text/config.json": Path("missing")}), "no file"),
        (lambda files: files.update({"text/config.json": files["text/model.safetensors"].parent}), "no file"),
        (lambda files: files.update({"text/model.safetensors": files["text/config.json"]}), "safetensors"),
    ],
)
def test_a_language_model_has_its_files_and_no_others(
    change: Callable[[Any], Any], words: str, bert: dict[str, Path], tmp_path: Path
) -> None:
    extra = dict(bert)
    change(extra)
    with pytest.raises(InputError, match=words):
        tiny_package(tmp_path / "tiny", task="radiograph", extra_files=extra)
    assert list(tmp_path.iterdir()) == []


def test_a_language_model_that_does_not_fit_is_refused(bert: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="gives 16 features, its card says 32"):
        tiny_package(tmp_path / "tiny", task="radiograph", extra_files=language_model(tmp_path / "narrow", 16))
    config = json.loads(bert["text/config.json"].read_text(encoding="utf-8"))
    for change in ({"vocab_size": 10**12}, {"model_type": "auto"}, {"hidden_size": 64}):
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        extra = {**bert, "text/config.json": tmp_path / "config.json"}
        with pytest.raises(PackageError, match="language model of"):
            tiny_package(tmp_path / "tiny", task="radiograph", extra_files=extra)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "narrow"]


def _huge_tokeniser(folder: Path) -> None:
    """Sparse, so that no disk is filled."""
    with (folder / "text" / "tokenizer.json").open("r+b") as file:
        file.truncate(files.TEXT["text/tokenizer.json"] + 1)
    size = files.TEXT["text/tokenizer.json"] + 1
    edit_card(folder, lambda d: d["files"]["text/tokenizer.json"].update(bytes=size))


def _linked_folder(folder: Path) -> None:
    (folder / "text").rename(folder.parent / "elsewhere")
    (folder / "text").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: shutil.rmtree(f / "text"), 'folder "text" is missing'),
        (lambda f: (f / "text" / "config.json").unlink(), '"config.json" is missing'),
        (lambda f: (f / "text" / "config.json").write_text("{}"), "bytes"),
        (lambda f: put_weights(f, b"\x80\x04" + bytes(90), "text/model.safetensors"), "pickle"),
        (lambda f: put_weights(f, b"\xff" * 90, "text/model.safetensors"), "safetensors"),
        (lambda f: (f / "text" / "modeling.py").write_text("raise SystemExit"), "does not name"),
        (lambda f: (f / "text" / "adapter_config.json").write_text("{}"), "does not name"),
        (_huge_tokeniser, "16 MiB"),
        (_linked_folder, "missing"),
        (
            lambda f: (
                (f / "text" / "config.json").unlink(),
                (f / "text" / "config.json").symlink_to(f / "text" / "tokenizer.json"),
            ),
            "link",
        ),
    ],
)
def test_a_damaged_language_model_is_refused(
    damage: Callable[[Path], Any], words: str, copy: Callable[[str], Path]
) -> None:
    folder = copy("radiograph")
    package = Package(folder)
    damage(folder)
    refused(folder, words)
    with pytest.raises(PackageError):
        package.text_folder()  # looks again, for the files may have been exchanged since


@pytest.mark.parametrize("task", KINDS)
def test_only_translations_translate(task: str, pristine: dict[str, Path]) -> None:
    scan = phantom(shape=(4, 16, 16)).t1
    with pytest.raises(InputError, match=f"its task is {task}; choose a translation model"):
        translate(scan, load_package(pristine[task]))


@pytest.mark.parametrize(
    ("task", "change", "words"),
    [
        ("generation", lambda d: d["picture"].update(size=32), "does not fit the pictures"),
        ("generation", lambda d: d["picture"].update(size=10**6), "picture.size"),
        ("generation", lambda d: d.update(network=CARD["network"]), "does not fit the pictures"),
        ("generation", lambda d: d.update(network=d["discriminator"]), "does not fit the pictures"),
        ("generation", lambda d: d.update(discriminator=d["network"]), "does not fit the pictures"),
        ("generation", lambda d: d.update(discriminator=CARD["discriminator"]), "does not fit the pictures"),
        ("generation", lambda d: d["network"]["parameters"].update(latent=10**9), "latent"),
        ("generation", lambda d: d["network"]["parameters"].update(size=4096, width=4096), "more than"),
        ("generation", lambda d: d.update(target="BRAIN"), "target"),
        ("generation", lambda d: d.update(source="T1"), "source"),
        ("generation", lambda d: d.update(grid=CARD["grid"]), "grid"),
        ("classification", lambda d: d["classes"].append("fracture"), "does not fit the pictures"),
        ("classification", lambda d: d.update(classes=["a", "a", "b"]), "differ"),
        ("classification", lambda d: d.update(classes=["a"], multi_label=False), "single class"),
        ("classification", lambda d: d.update(classes=[]), "classes"),
        ("classification", lambda d: d.update(classes=["a", "b", "c" * 10_000]), "classes"),
        ("classification", lambda d: d.update(discriminator=CARD["discriminator"]), "discriminator"),
        ("classification", lambda d: d["network"]["parameters"].update(in_channels=3), "does not fit the pictures"),
        ("classification", lambda d: d.update(network=CARD["network"]), "does not fit the pictures"),
        ("classification", lambda d: d["picture"].update(size=16.5), "picture.size"),
        ("radiograph", lambda d: d["text"].update(features=16), "does not fit the pictures"),
        ("radiograph", lambda d: d["text"].update(max_tokens=513), "text.max_tokens"),
        ("radiograph", lambda d: d["text"].update(encoder="https://evil"), "text.encoder"),
        ("radiograph", lambda d: d["text"].update(encoder="external"), "only hold"),
        ("radiograph", lambda d: d.update(target="T1"), "target"),
        ("radiograph", lambda d: d.update(network=CARDS["generation"]["network"]), "does not fit the pictures"),
        ("radiograph", lambda d: d.update(discriminator=CARDS["generation"]["discriminator"]), "does not fit"),
        ("radiograph", lambda d: d["files"].pop("text/config.json"), "must state"),
        ("radiograph", lambda d: d["files"]["text/config.json"].update(sha256="0" * 64), "SHA-256"),
    ]
    + [
        (task, change, words)
        for task in KINDS
        for change, words in (
            (lambda d: d.update(task="segmentation"), "wrong at task"),
            (lambda d: d.update(task=["generation"]), "wrong at task"),
            (lambda d: d.pop("task"), "wrong at"),  # then it is a translation's
            (lambda d: d.pop("picture"), "picture"),
            (lambda d: d["training"].update(steps=0), "untrained"),
            (lambda d: d.update(network={"name": "os.system", "parameters": {}}), "network.name"),
            (lambda d: d["files"].pop("weights.safetensors"), "must state"),
            (lambda d: d["files"].update({"../evil": d["files"]["weights.safetensors"]}), "only hold"),
            (lambda d: d["files"].update({"text/setup.py": d["files"]["weights.safetensors"]}), "only hold"),
            (lambda d: d["files"]["weights.safetensors"].update(sha256="0" * 64), "SHA-256"),
        )
    ],
)
def test_a_wrong_card_is_refused(
    task: str, change: Callable[[Any], Any], words: str, copy: Callable[[str], Path]
) -> None:
    folder = copy(task)
    edit_card(folder, change)
    refused(folder, words)


@pytest.mark.parametrize("task", KINDS)
def test_foreign_weights_are_refused(task: str, copy: Callable[[str], Path]) -> None:
    folder = copy(task)
    pickled = folder / "weights.safetensors"
    put_state(folder, lambda state: state.update(extra=torch.ones(3)))
    refused(folder, "extra", "does not have")
    put_state(folder, lambda state: (state.pop("extra"), state.pop(next(iter(state)))))
    refused(folder, "lacks")
    torch.save({"a": torch.ones(2)}, pickled)
    edit_card(folder, lambda d: d["files"]["weights.safetensors"].update(bytes=pickled.stat().st_size))
    refused(folder, "pickle")


@pytest.mark.parametrize("task", KINDS)
def test_untrained_or_broken_weights_are_not_written(task: str, bert: dict[str, Path], tmp_path: Path) -> None:
    fresh = CARDS[task]["network"]
    built = networks.build(fresh["name"], fresh["parameters"]).state_dict()
    extra = bert if task == "radiograph" else {}
    if task != "radiograph":  # its layers start at random, so only its card tells that it was trained
        with pytest.raises(PackageError, match="untrained"):
            tiny_package(tmp_path / "tiny", lambda states: states.update(weights=built), task)
    with pytest.raises(PackageError, match="NaN"):
        tiny_package(tmp_path / "tiny", lambda s: next(iter(s["weights"].values())).fill_(float("nan")), task, extra)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", KINDS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_damaged_cards_give_only_package_errors(
    task: str, data: st.DataObject, pristine: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / task
    if not folder.exists():
        shutil.copytree(pristine[task], folder)
    content = bytearray((pristine[task] / "model.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"null", b"{}", b"-1", b"1e400", b"9999999", b"true", b"[[]]"])
        )
        content[place : place + data.draw(st.integers(0, 12))] = piece
    (folder / "model.json").write_bytes(content)
    assert_usable_or_refused(folder)


def test_a_package_that_holds_more_than_it_says_is_only_what_it_says(copy: Callable[[str], Path]) -> None:
    """A language model beside a generator is never looked at: its card does not call for one."""
    folder = copy("generation")
    (folder / "text").mkdir()
    (folder / "text" / "config.json").write_text(json.dumps({"auto_map": "evil.py"}))
    assert Package(folder).card.task == "generation"
