"""The worker's protocol and its exchange of arrays, without a worker."""

import ast
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.errors import InputError
from MRITranslateLib.service import messages, volumes
from MRITranslateLib.service.images import receive_image, send_image
from MRITranslateLib.service.kinds import ProtocolError
from MRITranslateLib.service.messages import LineBuffer, Request

from .service_cases import BAD_LINES, VOLUME, changed, head

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "MRITranslateLib" / "service"


def test_schema_file_is_the_protocol() -> None:
    """`python -m MRITranslateLib.service.messages > MRITranslateLib/service/protocol.schema.json` writes it anew."""
    assert (SERVICE / "protocol.schema.json").read_text(encoding="ascii") == messages.schema_text()


def test_schema_describes_every_method_and_event() -> None:
    definitions = messages.schema()["$defs"]
    assert set(definitions["requests"]) == set(messages.METHODS)
    assert {"ready", "progress", "error"} <= set(definitions["events"])
    assert {f"result of {method}" for method in messages.METHODS} <= set(definitions["events"])


@pytest.mark.parametrize("name", ["messages.py", "methods.py", "kinds.py", "volumes.py"])
def test_what_slicer_imports_needs_no_more_than_numpy(name: str) -> None:
    """Python 3.9's grammar, and nothing beyond the standard library, numpy, errors and each other."""
    tree = ast.parse((SERVICE / name).read_text(encoding="utf-8"), feature_version=(3, 9))
    allowed = {*sys.stdlib_module_names, "errors", "kinds", "messages", "methods"} | (
        {"numpy"} if name == "volumes.py" else set()
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] in allowed


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("translate", {"image": VOLUME, "model": "t1_to_t2", "device": "auto", "mask": None}),
        ("explain", {"image": VOLUME, "model": "m", "target": {"kind": "region", "mask": VOLUME}}),
        ("explain", {"image": VOLUME, "model": "m", "target": {"kind": "voxel", "index": [1, 2, 3]}, "layer": None}),
        ("explain", {"image": VOLUME, "model": "m", "target": {"kind": "realism"}, "method": "hirescam"}),
        ("explain", {"image": VOLUME, "model": "m", "target": {"kind": "error", "reference": VOLUME}}),
        ("explain", {"image": VOLUME, "model": "m", "target": {"kind": "slice", "axis": 2, "index": 7}}),
        ("explain", {"image": VOLUME, "model": "m", "target": {"kind": "class", "name": "nodule"}, "check": True}),
        ("explain", {"image": VOLUME, "model": "m", "target": {"kind": "match", "report": "No finding.", "seed": 3}}),
        (
            "explain",
            {
                "image": VOLUME,
                "model": "m",
                "target": {"kind": "realism", "reference": VOLUME},
                "layer": "model.1, model.4",
                "levels": {"thresholds": [0.25, 0.5], "min_ml": 0.1},
                "segments": {"labels": VOLUME, "names": {"1": "ventricles"}},
            },
        ),
        ("translate", {"image": VOLUME, "model": "m", "uncertainty": "dropout", "cycle": "auto"}),
        ("translate", {"image": VOLUME, "model": "m", "ensemble": ["a", "b"], "cycle": None}),
        ("check", {"image": VOLUME, "model": "m"}),
        ("evaluate", {"reference": VOLUME, "prediction": VOLUME, "modality": "CT", "protocol": "synthrad2025"}),
        ("compare", {"reference": VOLUME, "prediction": VOLUME, "modality": "MR", "mask": None}),
        (
            "report",
            {
                "reference": VOLUME,
                "prediction": VOLUME,
                "shift": {"parts": [VOLUME, VOLUME, VOLUME], "error_mm": 0.0},
                "path": "report.html",
                "names": {"reference": "a", "prediction": "b"},
            },
        ),
        ("phantom", {"seed": 1, "shape": [8, 9, 10], "lesions": 2}),
        ("devices", {}),
        ("cancel", {"id": "r1"}),
        ("shutdown", {}),
    ],
)
def test_requests_survive_the_wire(method: str, params: dict[str, Any]) -> None:
    request = Request("r1", method, params)
    line = request.line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert messages.parse_request(line) == request


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_requests_get_one_sentence(line: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        messages.parse_request(line)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_bad_request_keeps_its_id() -> None:
    with pytest.raises(ProtocolError) as caught:
        messages.parse_request(changed(method="train"))
    assert caught.value.id == "r7"


def test_events_are_checked_too() -> None:
    event = messages.parse_event(messages.progress("r1", 0.31, "Translating slices", 31, 100, 4.2))
    assert (event.event, event.id, event.fields["done"]) == ("progress", "r1", 31)
    with pytest.raises(ProtocolError):
        messages.parse_event(b'{"protocol": 1, "event": "progress", "id": "r1"}')
    with pytest.raises(ProtocolError):
        messages.parse_event(b'{"protocol": 1, "event": "gossip", "id": "r1"}')
    with pytest.raises(ProtocolError):
        messages.result("r1", "translate", {"image": VOLUME})
    with pytest.raises(ProtocolError):
        messages.error("r1", "sad", "A sentence.")


def test_lines_arrive_in_pieces_and_in_heaps() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b'{"a"') == []
    assert buffer.feed(b': 1}\n\n{"b": 2}\n{"c"') == [b'{"a": 1}', b'{"b": 2}']
    assert buffer.feed(b": 3}\n") == [b'{"c": 3}']


def test_a_line_without_end_takes_bounded_memory() -> None:
    buffer = LineBuffer()
    for _ in range(40):
        assert buffer.feed(b"x" * 100_000) == []
    (line,) = buffer.feed(b"\n")
    assert len(line) == messages.MAX_LINE + 1
    assert buffer.feed(b"{}\n") == [b"{}"]


# ---------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", "float16", "int64", "bool", ">i2"]
)
def test_images_survive_the_folder(tmp_path: Path, dtype: str) -> None:
    array = (np.arange(24).reshape(2, 3, 4) % 2 if dtype == "bool" else np.arange(24).reshape(2, 3, 4)).astype(dtype)
    image = head(2, 3, 4)
    volume = volumes.write_array(tmp_path, array, image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    back = receive_image(tmp_path, volume)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), array.astype(float))
    assert back.GetSpacing() == image.GetSpacing()
    assert back.GetOrigin() == image.GetOrigin()
    assert back.GetDirection() == image.GetDirection()


def test_bad_arrays_are_refused(tmp_path: Path) -> None:
    good = send_image(tmp_path, head())

    def refused(sentence: str, **changes: Any) -> None:
        with pytest.raises(InputError, match=sentence):
            receive_image(tmp_path, {**good, **changes})

    def saved(name: str, array: np.ndarray, **options: Any) -> str:
        np.save(tmp_path / name, array, **options)
        return name

    refused("has no file", array="missing.npy")
    refused("3-D", array=saved("flat.npy", np.zeros((3, 4))))
    refused("3-D", array=saved("empty.npy", np.zeros((0, 3, 4))))
    refused("real numbers", array=saved("complex.npy", np.zeros((2, 3, 4), complex)))
    refused("real numbers", array=saved("text.npy", np.full((2, 3, 4), "a")))
    refused("beyond 32 bits", array=saved("long.npy", np.full((2, 3, 4), 2**40)))
    refused("not a complete", array=saved("object.npy", np.full((2, 3, 4), None), allow_pickle=True))
    (tmp_path / "cut.npy").write_bytes((tmp_path / good["array"]).read_bytes()[:-50])
    refused("not a complete", array="cut.npy")
    (tmp_path / "text_file.npy").write_text("hello")
    refused("not a complete", array="text_file.npy")
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    (tmp_path / "many.npz").rename(tmp_path / "many.npy")
    refused("not a complete", array="many.npy")
    refused("not orthonormal", direction=[1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])


@pytest.mark.skipif(os.name == "nt", reason="links as POSIX has them")
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.npy"
    inside.mkdir()
    np.save(outside, np.zeros((2, 3, 4)))
    (inside / "link.npy").symlink_to(outside)
    with pytest.raises(InputError, match="has no file"):
        volumes.read_array(inside, {**VOLUME, "array": "link.npy"})
