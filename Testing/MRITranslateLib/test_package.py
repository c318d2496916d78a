"""Model packages: what is written is read back, and every hostile or broken package gets one sentence, never more."""

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MRITranslateLib import networks
from MRITranslateLib.errors import InputError, PackageError
from MRITranslateLib.package import Package, load_package, write_package
from Testing.MRITranslateLib.packages import CARD, card, random_state, tiny_package

WEIGHTS = "weights.safetensors"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny")


@pytest.fixture
def package_folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "tiny"))


def refused(folder: Path, *words: str) -> str:
    """Assert that a package is refused in one sentence that holds `words`, and give the sentence."""
    with pytest.raises(PackageError) as caught:
        Package(folder).verify()
    message = str(caught.value)
    assert message.endswith((".", "?", "…"))
    assert "\n" not in message
    assert len(message) < 600
    for word in words:
        assert word in message
    return message


def edit_card(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "model.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def put_weights(folder: Path, content: bytes, name: str = WEIGHTS) -> None:
    """Exchange a weights file and make size and hash on the card agree with it, as an attacker would."""
    (folder / name).write_bytes(content)
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_card(folder, lambda data: data["files"].update({name: facts}))


def put_state(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    state = safetensors.torch.load_file(folder / WEIGHTS)
    change(state)
    put_weights(folder, safetensors.torch.save(state))


def with_header(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


# -- what is written is read back


def test_round_trip_is_exact_to_float16(tmp_path: Path) -> None:
    state = random_state("resnet9", CARD["network"]["parameters"])
    judge = random_state("patchgan", CARD["discriminator"]["parameters"], 2)
    folder = write_package(
        tmp_path / "tiny", card(), {"weights": state, "discriminator": judge}, "Apache-2.0", "# Tiny"
    )
    package = load_package(folder)
    network = package.generator()
    assert package.generator() is network  # loaded once
    assert not any(module.training for module in network.modules())
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, state[name].half().float())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert package.weights_sha256 == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert torch.equal(package.discriminator().state_dict()["head.weight"], judge["head.weight"].half().float())
    package.verify()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["model.json", WEIGHTS, "discriminator.safetensors", "README.md", "LICENSE"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]  # no temporary folder is left


@pytest.mark.parametrize("name", ["pix2pix_unet", "attention_unet", "residual_unet", "resnet9"])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_every_network_survives_the_package(name: str, norm: str, tmp_path: Path) -> None:
    small = {"width": 4, "blocks": 1} if name == "resnet9" else {"channels": [4, 8, 8]}
    network = {"name": name, "parameters": {**small, "norm": norm}}
    folder = tiny_package(tmp_path / "tiny", network=network, discriminator=None)
    output = load_package(folder).generator()(torch.randn(2, 1, 32, 48))
    assert output.shape == (2, 1, 32, 48)
    assert torch.isfinite(output).all()


def test_loading_leaves_the_random_stream_alone(package_folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_package(package_folder).generator()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("channels", "judged"), [(1, 1), (4, 4)])
def test_a_discriminator_judges_the_output_alone_or_beside_the_input(
    tmp_path: Path, channels: int, judged: int
) -> None:
    changes: dict[str, Any] = {
        "grid": CARD["grid"] | {"context": 3},
        "network": {"name": "resnet9", "parameters": {"in_channels": 3, "width": 4, "blocks": 2}},
        "discriminator": {"name": "patchgan", "parameters": {"in_channels": channels, "width": 4}},
    }
    package = load_package(tiny_package(tmp_path / "tiny", **changes))
    assert package.card.judged_channels == judged
    assert package.discriminator()(torch.zeros(1, judged, 64, 64)).shape[:2] == (1, 1)


def test_a_package_without_discriminator_says_so(tmp_path: Path) -> None:
    package = load_package(tiny_package(tmp_path / "tiny", discriminator=None))
    assert not package.has_discriminator
    with pytest.raises(PackageError, match="no discriminator"):
        package.discriminator()


def test_writing_replaces_a_package_but_no_other_folder(tmp_path: Path) -> None:
    first = Package(tiny_package(tmp_path / "tiny")).weights_sha256
    second = Package(tiny_package(tmp_path / "tiny", lambda states: states.update(weights=_twice(states["weights"]))))
    assert second.weights_sha256 != first
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").write_text("mine")
    with pytest.raises(InputError, match="not a model package"):
        tiny_package(tmp_path / "holiday")
    assert (tmp_path / "holiday" / "photo.jpg").read_text(encoding="utf-8") == "mine"


def _twice(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: 2 * tensor for name, tensor in state.items()}


def _set(state: dict[str, torch.Tensor], name: str, value: float) -> None:
    state[name] = torch.full_like(state[name], value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: s.update(weights=networks.build("resnet9", CARD["network"]["parameters"]).state_dict()),
            "untrained",
        ),
        (lambda s: s.update(weights={k: torch.full_like(v, 0.1) for k, v in s["weights"].items()}), "all alike"),
        (lambda s: _set(s["weights"], "head.0.bias", float("nan")), "NaN"),
        (lambda s: _set(s["weights"], "head.0.bias", 1e6), "infinite"),  # too large for float16
        (lambda s: s["weights"].pop("head.0.bias"), "lacks"),
        (lambda s: s["weights"].update(extra=torch.ones(2)), "does not have"),
        (lambda s: s.pop("discriminator"), "state dicts"),
    ],
)
def test_writing_refuses_what_loading_would(change: Callable[[Any], Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=words):
        tiny_package(tmp_path / "tiny", lambda states: (change(states), None)[1])
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_writing_refuses_no_training_and_no_licence(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="untrained"):
        tiny_package(tmp_path / "tiny", training={**CARD["training"], "steps": 0})
    states = {"weights": random_state("resnet9", CARD["network"]["parameters"])}
    with pytest.raises(PackageError, match="licence"):
        write_package(tmp_path / "tiny", card(discriminator=None), states, " ", "# Tiny")
    assert list(tmp_path.iterdir()) == []


# -- broken and hostile cards


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(network={"name": "evil_net", "parameters": {}}), "no network"),
        (lambda d: d.update(network={"name": "os.system", "parameters": {}}), "network.name"),
        (lambda d: d["network"]["parameters"].update(width=10**9), "width"),
        (lambda d: d["network"]["parameters"].update(blocks=10**12), "blocks"),
        (lambda d: d["network"]["parameters"].update(width=4096, blocks=9), "more than"),
        (lambda d: d["network"]["parameters"].update(width=-4), "width"),
        (lambda d: d["network"]["parameters"].update(width="4"), "width"),
        (lambda d: d["network"]["parameters"].update(width=True), "width"),
        (lambda d: d["network"]["parameters"].update(_target_="os.system"), "_target_"),
        (lambda d: d["network"]["parameters"].update(in_channels=3), "does not fit the grid"),
        (lambda d: d["grid"].update(context=3), "does not fit the grid"),
        (lambda d: d["discriminator"]["parameters"].update(in_channels=3), "does not fit the grid"),
        (lambda d: d["grid"].update(size_multiple=1, context=2), "context"),
        (lambda d: d.update(network=d["discriminator"]), "does not fit the grid"),
        (lambda d: d.update(discriminator=d["network"]), "does not fit the grid"),
        (lambda d: d.update(discriminator=None), "must state"),
        (lambda d: d.update(run="os.system"), "run"),
        (lambda d: d.update(title=7), "title"),
        (lambda d: d.update(schema_version=2), "schema_version"),
        (lambda d: d.update(source="BRAIN"), "source"),
        (lambda d: d["training"].update(steps=0), "untrained"),
        (lambda d: d["files"].pop(WEIGHTS), "must state"),
        (lambda d: d["files"].pop("discriminator.safetensors"), "must state"),
        (lambda d: d["files"].update({"../evil.safetensors": d["files"][WEIGHTS]}), "only hold"),
        (lambda d: d["files"].update({"/etc/passwd": d["files"][WEIGHTS]}), "only hold"),
        (lambda d: d["files"].update({"sub/weights.safetensors": d["files"][WEIGHTS]}), "only hold"),
        (lambda d: d["files"][WEIGHTS].update(sha256="0" * 64), "SHA-256"),
        (lambda d: d["files"][WEIGHTS].update(sha256="zz"), "sha256"),
        (lambda d: d["files"][WEIGHTS].update(bytes=1), "bytes"),
        (lambda d: d["files"][WEIGHTS].update(bytes=10**30), "bytes"),
    ],
)
def test_a_wrong_card_is_refused(change: Callable[[Any], Any], words: str, package_folder: Path) -> None:
    edit_card(package_folder, change)
    refused(package_folder, words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "JSON"),
        (b"[]", "wrong at"),
        (b"null", "wrong at"),
        (b'{"name": "a", "name": "b"}', "twice"),
        (b'{"version": NaN}', "NaN"),
        (b'{"version": Infinity}', "Infinity"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"[" * 200_000, "JSON"),
        (b'{"schema_version": ' + b"9" * 5000 + b"}", "JSON"),
        (b'{"title": "' + b"a" * (1 << 20) + b'"}', "larger"),
    ],
)
def test_a_wrong_model_json_is_refused(content: bytes, words: str, package_folder: Path) -> None:
    (package_folder / "model.json").write_bytes(content)
    refused(package_folder, words)


def test_numbers_that_overflow_are_refused(package_folder: Path) -> None:
    text = (package_folder / "model.json").read_text(encoding="utf-8").replace("23.456", "1e999")
    (package_folder / "model.json").write_text(text, encoding="utf-8")
    refused(package_folder, "psnr")


def test_a_message_cannot_be_flooded(package_folder: Path) -> None:
    noise = "\n\x1b[2J" * 20_000
    edit_card(package_folder, lambda data: data.update({noise: 1}))
    assert refused(package_folder, "wrong").isprintable()
    edit_card(package_folder, lambda data: (data.pop(noise), data["network"]["parameters"].update({noise: 1})))
    assert refused(package_folder, "wrong").isprintable()
    edit_card(package_folder, lambda data: data["network"].update(parameters={"width": [7] * 100_000}))
    assert refused(package_folder, "width").isprintable()


def assert_usable_or_refused(folder: Path) -> None:
    """Nothing but a PackageError of one printable line may come out."""
    message = ""
    try:
        Package(folder).generator()
    except PackageError as error:
        message = str(error)
    assert "\n" not in message
    assert message.encode("utf-8") is not None


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(data=st.data())
def test_damaged_model_json_gives_only_package_errors(
    data: st.DataObject, package_folder: Path, pristine: Path
) -> None:
    content = bytearray((pristine / "model.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"null", b"{}", b"-1", b"1e400", b'"\\ud800"', b"true", b"[[]]"])
        )
        content[place : place + data.draw(st.integers(0, 12))] = piece
    (package_folder / "model.json").write_bytes(content)
    assert_usable_or_refused(package_folder)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_damaged_weights_give_only_package_errors(data: st.DataObject, package_folder: Path, pristine: Path) -> None:
    content = bytearray((pristine / WEIGHTS).read_bytes())
    header = int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 8 + header))
        content[place : place + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    shutil.copy(pristine / "model.json", package_folder / "model.json")
    put_weights(package_folder, bytes(content))
    assert_usable_or_refused(package_folder)


# -- broken and hostile files


@pytest.mark.parametrize("name", ["model.json", WEIGHTS, "discriminator.safetensors", "README.md", "LICENSE"])
def test_a_missing_file_is_named(name: str, package_folder: Path) -> None:
    (package_folder / name).unlink()
    refused(package_folder, name)


@pytest.mark.parametrize("name", ["model.json", WEIGHTS, "discriminator.safetensors", "LICENSE"])
def test_links_and_special_files_are_refused(name: str, package_folder: Path, pristine: Path) -> None:
    (package_folder / name).unlink()
    (package_folder / name).symlink_to(pristine / name)
    refused(package_folder, name, "link")
    (package_folder / name).unlink()
    (package_folder / name).mkdir()
    refused(package_folder, name, "special file")
    if hasattr(os, "mkfifo"):  # opening a pipe would wait for ever
        (package_folder / name).rmdir()
        os.mkfifo(package_folder / name)
        refused(package_folder, name, "special file")


def test_altered_bytes_are_noticed_by_their_hash(package_folder: Path) -> None:
    content = bytearray((package_folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (package_folder / WEIGHTS).write_bytes(content)
    refused(package_folder, "SHA-256", "get the package again")


def test_half_a_download_is_noticed(package_folder: Path) -> None:
    content = (package_folder / WEIGHTS).read_bytes()
    (package_folder / WEIGHTS).write_bytes(content[: len(content) // 2])
    refused(package_folder, "bytes")
    put_weights(package_folder, content[: len(content) // 2])
    refused(package_folder, "does not have the length")


class Bomb:
    """Unpickling this makes a file: the test that nothing is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def _torch_file(bomb: object, legacy: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(bomb, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle2", "pickle5"])
def test_a_pickle_is_named_and_never_opened(kind: str, package_folder: Path, tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "exploded")
    content = {
        "zip": lambda: _torch_file(bomb, False),
        "legacy": lambda: _torch_file(bomb, True),
        "pickle2": lambda: pickle.dumps(bomb, 2),
        "pickle5": lambda: pickle.dumps(bomb, 5),
    }[kind]()
    put_weights(package_folder, content)
    refused(package_folder, "pickle", "safetensors")
    assert not (tmp_path / "exploded").exists()
    if kind == "zip":
        assert zipfile.is_zipfile(package_folder / WEIGHTS)


def _entry(shape: list[Any], begin: Any, end: Any, kind: Any = "F16") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "bytes"),  # the card cannot even state an empty file
        (b"abc", "not a safetensors file"),
        (b"\x00" * 64, "not a safetensors file"),
        (struct.pack("<Q", 2**63) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 2**40) + b"{}", "not a safetensors file"),
        (with_header(b"not json"), "header"),
        (with_header(b"[1, 2]"), "header"),
        (with_header(b'{"a":1,"a":1}'), "header"),
        (with_header(b"[" * 100_000), "header"),
        (with_header(json.dumps({"a": 5}).encode()), "'a'"),
        (with_header(json.dumps({"a": _entry([1], 0, 2, "I64")}).encode(), b"\0\0"), "I64"),
        (with_header(json.dumps({"a": _entry([1], 0, 2, ["F16"])}).encode(), b"\0\0"), "type"),
        (with_header(json.dumps({"a": _entry([2**40, 2**40], 0, 2)}).encode(), b"\0\0"), "'a'"),
        (with_header(json.dumps({"a": _entry([2**20, 2**11], 0, 2)}).encode(), b"\0\0"), "contradicts"),
        (with_header(json.dumps({"a": _entry([-1], 0, -2)}).encode()), "'a'"),
        (with_header(json.dumps({"a": _entry([1.0], 0, 2)}).encode(), b"\0\0"), "'a'"),
        (with_header(json.dumps({"a": _entry([True], 0, 2)}).encode(), b"\0\0"), "'a'"),
        (with_header(json.dumps({"a": _entry([1], 0, 2), "b": _entry([1], 0, 2)}).encode(), b"\0\0"), "overlap"),
        (with_header(json.dumps({"a": _entry([1], 8, 10)}).encode(), b"\0" * 10), "gaps"),
        (with_header(json.dumps({"a": _entry([1], 0, 2)}).encode(), b"\0" * 10), "length"),
        (with_header(json.dumps({"\n\x1b[31m" * 50: _entry([1], 0, 2)}).encode(), b"\0\0"), "lacks"),
    ],
)
def test_a_wrong_safetensors_file_is_refused(content: bytes, words: str, package_folder: Path) -> None:
    put_weights(package_folder, content)
    refused(package_folder, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("head.0.weight"), "head.0.weight"),
        (lambda s: s.update(more=torch.ones(3, dtype=torch.float16)), "more"),
        (lambda s: s.update({"head.0.weight": s["head.0.weight"][:, :2].contiguous()}), "shape"),
        (lambda s: s.update({"head.0.weight": s["head.0.weight"].flatten()}), "shape"),
        (lambda s: s.update({"head.0.bias": s["head.0.bias"].double()}), "F64"),
        (lambda s: s.update({"head.0.bias": s["head.0.bias"] * float("inf")}), "infinite"),
        (lambda s: s["head.0.bias"].fill_(float("nan")), "NaN"),
        (lambda s: [tensor.fill_(0.5) for tensor in s.values()], "all alike"),
        (
            lambda s: [t.fill_(1.0 if n.endswith("weight") else 0.0) for n, t in s.items() if t.ndim == 1],
            "untrained",
        ),
    ],
)
def test_wrong_tensors_are_refused(change: Callable[[Any], Any], words: str, package_folder: Path) -> None:
    put_state(package_folder, change)
    refused(package_folder, words)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_all_float_types_are_read(kind: torch.dtype, package_folder: Path) -> None:
    put_state(package_folder, lambda state: state.update({name: tensor.to(kind) for name, tensor in state.items()}))
    network = Package(package_folder).generator()
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_a_file_exchanged_after_the_check_is_noticed(package_folder: Path) -> None:
    package = Package(package_folder)
    content = bytearray((package_folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (package_folder / WEIGHTS).write_bytes(content)
    with pytest.raises(PackageError, match="SHA-256"):
        package.generator()


def test_an_absurd_card_is_refused_without_taking_memory(package_folder: Path) -> None:
    """4 GiB of weights on the card, none in the file: refused from shapes alone."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    edit_card(package_folder, lambda data: data["network"]["parameters"].update(width=900, blocks=9))
    refused(package_folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_no_folder_and_no_name(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"no model\.json"):
        load_package(tmp_path)
    with pytest.raises(InputError, match="no model"):
        load_package(str(tmp_path / "missing"))


def test_weights_are_used(package_folder: Path) -> None:
    """The output follows the weights in the file: no fresh network is passed off as the package's."""
    image = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 1, 32, 32), dtype=np.float32))
    first = Package(package_folder).generator()(image)
    put_state(package_folder, lambda state: state.update(_twice(state)))
    assert not torch.allclose(first, Package(package_folder).generator()(image))
