"""`mritranslate` in process, and a few times as a real process."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib import __version__

from ..dicoms import write_slice
from ..packages import tiny_package
from .cases import SHAPE, Files, Run, anatomy, refused, write

ROOT = Path(__file__).parents[3]


# ---------------------------------------------------------------------------------------------- what works


def test_translate(run: Run, files: Files, results: Path) -> None:
    output = results / "t2.nii.gz"
    ended = run("translate", files.t1, "--model", files.package, "-o", output, "--device", "cpu", "--json")
    assert ended.code == 0, ended.err
    facts = ended.json
    assert facts["output"] == str(output)
    assert facts["modality"] == "T2"
    assert facts["provenance"]["model"] == "tiny"
    image, made = sitk.ReadImage(str(files.t1)), sitk.ReadImage(str(output))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(made, name)() == pytest.approx(getattr(image, name)())
    assert [path.name for path in results.iterdir()] == ["t2.nii.gz"]


def test_translate_a_folder_with_a_dicom_series(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    for number, plane in enumerate(anatomy()):
        axes = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        write_slice(tmp_path / f"{9 - number}.dcm", plane.astype(np.int16), (1.0, 2.0, 6.0 * number), axes=axes)
    output = results / "t2.nii.gz"
    ended = run("translate", tmp_path, "--model", files.package, "-o", output, "--device", "cpu", "--json")
    assert ended.code == 0, ended.err
    made = sitk.ReadImage(str(output))
    assert made.GetSize() == SHAPE[::-1]
    assert made.GetSpacing() == pytest.approx((0.5, 0.75, 6.0))


def test_translate_for_people_within_a_mask(run: Run, files: Files, results: Path) -> None:
    output = results / "t2.mha"
    ended = run("translate", files.t1, "-m", files.package, "-o", output, "--device", "cpu", "--mask", files.mask)
    assert ended.code == 0, ended.err
    assert str(output) in ended.out
    made = sitk.GetArrayFromImage(sitk.ReadImage(str(output)))
    assert not made[sitk.GetArrayFromImage(sitk.ReadImage(str(files.mask))) == 0].any()


@pytest.mark.parametrize("target", [["--voxel", 18, 16, 3], ["--realism"], ["--region", "mask"], ["--error", "t1"]])
def test_explain(run: Run, files: Files, results: Path, target: list[Any]) -> None:
    target = [getattr(files, item, item) if isinstance(item, str) else item for item in target]
    heatmap, levels = results / "heat.nrrd", results / "levels.nrrd"
    ended = run(
        *("explain", files.t1, "-m", files.package, "-o", heatmap, "--levels", levels, "--device", "cpu", "--json"),
        *target,
    )
    assert ended.code == 0, ended.err
    assert len(ended.json["level_names"]) == 5
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(heatmap))).max() == pytest.approx(1.0)
    assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(levels))))) <= set(range(5))


def test_phantom(run: Run, results: Path) -> None:
    folder = results / "head"
    ended = run("phantom", "-o", folder, "--seed", 3, "--shape", 12, 24, 20, "--lesions", 1, "--json")
    assert ended.code == 0, ended.err
    names = {"t1", "t2", "flair", "pd", "ct", "labels", "lesions"}
    assert set(ended.json["files"]) == names
    assert {path.name for path in folder.iterdir()} == {f"{name}.nii.gz" for name in names}
    assert sitk.ReadImage(ended.json["files"]["ct"]).GetSize() == (20, 24, 12)


def test_models(run: Run, files: Files) -> None:
    assert run("models", "add", files.package).code == 0
    listed = run("models", "list", "--json").json
    (mine,) = [entry for entry in listed["models"] if not entry["built_in"]]
    assert (mine["name"], mine["source"], mine["target"], mine["broken"]) == ("tiny", "T1", "T2", None)
    assert "tiny" in run("models", "list").out
    assert "Its weights are random." in run("models", "show", "tiny").out
    assert run("models", "show", "tiny", "--json").json["card"]["name"] == "tiny"
    assert run("models", "verify", "tiny", "--json").json["verified"] is True
    again = run("models", "add", files.package)
    assert again.code == 2
    assert "exists already" in again.err
    assert run("models", "remove", "tiny").code == 0
    assert run("models", "show", "tiny").code == 2


def test_all_models_are_verified(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    assert run("models", "add", files.package).code == 0
    found = run("models", "verify", "--all", "--json")
    assert found.code == 0, found.err
    entries = {entry["model"]: entry["verified"] for entry in found.json["models"]}
    assert entries.keys() == {entry["name"] for entry in run("models", "list", "--json").json["models"]}
    assert all(entries.values())

    weights = tmp_path / "models" / "tiny" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    found = run("models", "verify", "--all")
    assert found.code == 1
    (wrong,) = [line for line in found.out.splitlines() if "broken" in line]
    assert wrong.startswith("tiny broken: ")
    assert len(found.out.splitlines()) == len(entries)
    found = run("models", "verify", "--all", "--json")
    assert found.code == 1
    assert [entry["model"] for entry in found.json["models"] if entry["broken"]] == ["tiny"]

    for arguments in ((), ("tiny", "--all")):
        refused(run("models", "verify", *arguments), results, "either the name of a model, or --all")


def test_models_that_do_not_translate(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    package = tiny_package(tmp_path / "noise", task="generation")
    assert run("models", "verify", package).code == 0
    assert run("models", "add", package).code == 0
    assert "Random numbers to T1, Tiny T1 slices, 1.0.0 (yours)" in run("models", "list").out
    assert "Random numbers to T1-weighted MRI" in run("models", "show", "tiny_noise").out
    words = ("tiny_noise", "its task is generation", "choose a translation model")
    refused(run("translate", files.t1, "-m", "tiny_noise", "-o", results / "out.nii.gz"), results, *words)
    asked = run("explain", files.t1, "-m", "tiny_noise", "--voxel", 1, 1, 1, "-o", results / "out.nii.gz")
    refused(asked, results, "tiny_noise", "Realism")
    asked = run("explain", files.t1, "-m", "tiny_noise", "--realism", "-o", results / "out.nii.gz", "--json")
    assert asked.code == 0, asked.err
    assert "score_beside" in asked.json["provenance"]
    assert run("models", "remove", "tiny_noise").code == 0


@pytest.mark.parametrize("command", ["translate", "explain", "evaluate", "phantom", "demo", "models"])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    ended = run(command, "--help")
    assert ended.code == 0
    assert "\\" not in ended.out  # brackets are no markup
    assert "Usage: mritranslate" in ended.out


# ---------------------------------------------------------------------------------------------- bad input


def four_dimensional(path: Path) -> Path:
    return write(path, np.stack([anatomy(), anatomy()]))


def vectors(path: Path) -> Path:
    return write(path, np.stack([anatomy()] * 3, axis=-1), vector=True)


def labels(path: Path) -> Path:
    return write(path, (anatomy() > 0).astype(np.uint8))


def constant(path: Path) -> Path:
    return write(path, np.full(SHAPE, 7.0, np.float32))


def not_finite(path: Path) -> Path:
    array = anatomy()
    array[1, 2, 3] = np.nan
    return write(path.with_name("bad.nrrd"), array)  # ITK's NIfTI reader turns NaN into 0


def text(path: Path) -> Path:
    path.write_text("no image")
    return path


def damaged(path: Path) -> Path:
    whole = write(path, anatomy()).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: path, "does not exist"),
        (folder, "folder"),
        (text, "cannot be read"),
        (damaged, "again"),
        (four_dimensional, "4-dimensional"),
        (vectors, "3 values per voxel"),
        (labels, "label map"),
        (constant, "everywhere"),
        (not_finite, "NaN"),
    ],
)
@pytest.mark.parametrize("command", ["translate", "explain", "evaluate"])
def test_bad_volumes(
    run: Run, files: Files, results: Path, tmp_path: Path, command: str, make: Callable[[Path], Path], word: str
) -> None:
    bad = make(tmp_path / "bad.nii.gz")
    if command == "evaluate":
        ended = run("evaluate", files.t1, bad, "--json")
    else:
        target = ["--realism"] if command == "explain" else []
        ended = run(
            command, bad, "-m", files.package, "-o", results / "out.nii.gz", "--device", "cpu", "--json", *target
        )
    refused(ended, results, word)


def test_a_ct_is_no_t1(run: Run, files: Files, results: Path) -> None:
    refused(run("translate", files.ct, "-m", files.package, "-o", results / "o.nii.gz"), results, "CT")


def test_bad_regions(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.nii.gz", np.zeros(SHAPE, np.uint8))
    small = write(tmp_path / "small.nii.gz", np.ones((2, 3, 4), np.uint8))
    explain = ("explain", files.t1, "-m", files.package, "-o", results / "h.nii.gz", "--device", "cpu")
    refused(run(*explain, "--region", empty), results, "empty")
    refused(run(*explain, "--region", small), results, "grid")
    refused(run(*explain, "--region", tmp_path / "none.nii.gz"), results, "does not exist")
    refused(run(*explain, "--error", small), results)
    refused(run(*explain, "--voxel", 36, 0, 0), results)
    refused(run(*explain), results, "--region, --voxel, --realism and --error")
    refused(run(*explain, "--realism", "--region", files.mask), results, "exactly one")
    refused(run(*explain, "--realism", "--method", "magic"), results, "magic")
    refused(run(*explain, "--realism", "--layer", "no.such"), results, "no.such")
    translate = ("translate", files.t1, "-m", files.package, "-o", results / "t.nii.gz", "--device", "cpu")
    refused(run(*translate, "--mask", empty), results, "empty")
    refused(run(*translate, "--mask", small), results, "grid")


def test_bad_outputs(run: Run, files: Files, results: Path, tmp_path: Path) -> None:
    translate = ("translate", files.t1, "-m", files.package, "-o")
    before = files.t1.read_bytes()
    refused(run(*translate, tmp_path / "none" / "o.nii.gz"), results, "does not exist")
    refused(run(*translate, results / "o.jpg"), results, "extension")
    refused(run(*translate, files.t1), results, "is an input already")
    assert files.t1.read_bytes() == before
    heat = results / "h.nii.gz"
    refused(
        run("explain", files.t1, "-m", files.package, "--realism", "-o", heat, "--levels", heat),
        results,
        "an output already",
    )
    refused(run("phantom", "-o", files.t1), results, "is a file")


def edited(package: Path, change: Callable[[dict[str, Any]], None]) -> None:
    card = package / "model.json"
    content = json.loads(card.read_text(encoding="utf-8"))
    change(content)
    card.write_text(json.dumps(content))


def wrong_hash(package: Path) -> None:
    weights = package / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def a_pickle(package: Path) -> None:
    (package / "weights.safetensors").write_bytes(pickle.dumps({"weight": [1.0]}, protocol=2))


@pytest.mark.parametrize(
    "spoil",
    [
        wrong_hash,
        a_pickle,
        lambda package: (package / "weights.safetensors").unlink(),
        lambda package: (package / "model.json").unlink(),
        lambda package: (package / "model.json").write_text("{"),
        lambda package: edited(package, lambda card: card["network"].update(name="transformer")),
        lambda package: edited(package, lambda card: card["network"]["parameters"].update(width=8)),
        lambda package: edited(
            package, lambda card: card["files"].update({"../../weights.safetensors": {"sha256": "0" * 64, "bytes": 1}})
        ),
        lambda package: edited(package, lambda card: card.update(colour="blue")),
    ],
    ids=[
        "hash",
        "pickle",
        "no weights",
        "no card",
        "no JSON",
        "unknown network",
        "tensor shape",
        "path",
        "unknown field",
    ],
)
def test_bad_packages(run: Run, files: Files, results: Path, tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    package = Path(shutil.copytree(files.package, tmp_path / "tiny"))
    spoil(package)
    refused(run("translate", files.t1, "-m", package, "-o", results / "o.nii.gz", "--device", "cpu"), results)
    refused(run("models", "verify", package), results)
    refused(run("models", "add", package), results)
    assert not (tmp_path / "models").exists()


def test_unknown_names(run: Run, files: Files, results: Path) -> None:
    output = ("-o", results / "o.nii.gz")
    refused(run("translate", files.t1, "-m", "t1_to_teapot", *output), results, "t1_to_teapot")
    refused(run("translate", files.t1, "-m", files.package, *output, "--device", "abacus"), results, "abacus")
    refused(run("models", "remove", "nothing"), results, "nothing")
    refused(run("evaluate", files.t1, files.t1, "--protocol", "synthrad2023"), results, "scores CT")


@pytest.mark.parametrize(
    "arguments", [["translate"], ["paint"], ["evaluate", "a", "b", "--modality", "PET"], ["--what"]]
)
def test_bad_usage_ends_with_two(run: Run, arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.code == 2
    assert "Error: " in ended.err
    assert "Traceback" not in ended.err


def test_a_fault_of_the_program_ends_with_one(run: Run, monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    def broken(*_: object, **__: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr("MRITranslateLib.volume.read_volume", broken)
    ended = run("evaluate", files.t1, files.t1)
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].startswith("Error: MRITranslate")


# ---------------------------------------------------------------------------------------------- as a process


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "MRITranslateLib.cli", *map(str, arguments)]


def test_version_and_help_do_without_torch() -> None:
    code = (
        "import sys\n"
        "from MRITranslateLib.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'monai', 'SimpleITK', 'pydantic'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
    ended = subprocess.run(command("--version"), cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert ended.stdout == f"mritranslate {__version__}\n"


def test_no_file_as_a_process(files: Files, tmp_path: Path) -> None:
    arguments = command(
        "translate", tmp_path / "none.nii.gz", "-m", files.package, "-o", tmp_path / "o.nii.gz", "--json"
    )
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C while a phantom is made."""
    code = (
        "import signal, sys\n"
        "from importlib import import_module\n"
        "from MRITranslateLib.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a test run in the background hands down "ignore"
        "home = import_module('MRITranslateLib.phantom')\n"
        "make = home.phantom\n"
        "home.phantom = lambda **options: (print('working', flush=True), make(**options))[1]\n"
        "main(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "phantom", "-o", str(tmp_path / "head"), "--shape", "200", "256", "256"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    errors = None
    while errors is None:  # Python drops an interrupt that falls into a destructor: press again
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, errors = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "head").exists()
