"""The worker as a real process: its life, its manners, its work."""

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.errors import Cancelled, InputError, OutOfMemory
from MRITranslateLib.service import messages, volumes
from MRITranslateLib.service.client import WorkerClient, WorkerError
from MRITranslateLib.service.jobs import failure
from MRITranslateLib.service.kinds import ProtocolError
from MRITranslateLib.service.messages import Request

from .packages import tiny_package
from .service_cases import BAD_LINES, VOLUME, head

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerClient]:
    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
        yield client


# ---------------------------------------------------------------------------------------------- the process


def test_a_folder_with_other_files_is_neither_used_nor_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years")
    np.save(tmp_path / "measured.npy", np.zeros(3))
    with pytest.raises(InputError, match="holds other files"):
        volumes.prepare_folder(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-m", "MRITranslateLib.service", "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["measured.npy", "thesis.txt"]


class Raw:
    """A worker driven by hand, line by line."""

    def __init__(self, folder: Path, code: str | None = None) -> None:
        program = ["-m", "MRITranslateLib.service"] if code is None else ["-c", code]
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, *program, "--folder", str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.ready = self.event()

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        self.process.wait()

    def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.rstrip(b"\n") + b"\n")
        self.process.stdin.flush()

    def event(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return messages.parse_event(self.process.stdout.readline()).fields

    def end_of(self, id: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The result or error of a request, and the events before it."""
        before = []
        while (event := self.event())["event"] not in ("result", "error") or event["id"] != id:
            before.append(event)
        return event, before


def test_ready_at_once_and_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys, threading\n"
        "from MRITranslateLib.service import worker\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(loaded), file=sys.stderr)\n"
        "from MRITranslateLib.service.__main__ import main\n"
        "sys.exit(main())"
    )
    started = time.monotonic()
    with Raw(tmp_path / "new", code) as raw:
        seconds = time.monotonic() - started
        assert raw.ready["event"] == "ready"
        assert raw.ready["pid"] == raw.process.pid
        assert raw.ready["versions"]["mritranslate"]
        _, errors = raw.process.communicate()  # closes its input
        loaded = set(ast.literal_eval(errors.decode().splitlines()[0]))
    assert "numpy" in loaded
    assert not loaded & {"torch", "monai", "SimpleITK", "pydantic", "typer", "rich", "scipy"}
    assert seconds < 5.0  # about 0.3 s on an idle machine


def test_malformed_lines_do_no_harm(tmp_path: Path) -> None:
    with Raw(tmp_path / "new") as raw:
        for name, line in BAD_LINES.items():
            raw.send(line)
            event = raw.event()
            assert (event["event"], event["kind"]) == ("error", "input"), name
        missing = Request("r8", "translate", {"image": VOLUME, "model": "t1_to_t2"})
        raw.send(missing.line())
        event, _ = raw.end_of("r8")
        assert event["kind"] == "input"
        assert "has no file" in event["message"]
        raw.send(Request("r9", "cancel", {"id": "r8"}).line())
        assert raw.end_of("r9")[0]["result"] == {"cancelled": False}
        raw.send(Request("r10", "shutdown", {}).line())
        assert raw.end_of("r10")[0]["result"] == {}
        assert raw.process.wait(10) == 0
    assert not raw.folder.exists()


@pytest.mark.parametrize("how", ["end of file", pytest.param("SIGTERM", marks=posix)])
def test_the_folder_goes_with_the_worker(tmp_path: Path, how: str) -> None:
    with Raw(tmp_path / "new") as raw:
        volumes.write_array(raw.folder, np.zeros((2, 3, 4)), (1, 1, 1), (0, 0, 0), np.eye(3).ravel())
        if how == "SIGTERM":
            raw.process.terminate()
        else:
            assert raw.process.stdin is not None
            raw.process.stdin.close()
        code = raw.process.wait(10)
    assert code == (0 if how == "end of file" else 128 + signal.SIGTERM)
    assert not raw.folder.exists()


@posix
def test_the_folder_goes_when_the_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from MRITranslateLib.service.client import WorkerClient\n"
        "client = WorkerClient()\n"
        "client.start()\n"
        "print(client.pid, client.folder, flush=True)\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert parent.stdout is not None
    _, folder = parent.stdout.readline().split()
    assert Path(folder).is_dir()
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 10.0
    while Path(folder).exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(folder).exists()


NOISY = """
import os, sys
from MRITranslateLib.service import jobs

def evaluate(self, params, progress, cancel):
    print("noise from Python")
    os.write(1, b"noise from C\\n")
    os.system("echo noise from a child")
    assert sys.stdin.read() == ""  # a library must not swallow requests
    raise TypeError("secret")

jobs.Jobs._evaluate = evaluate
from MRITranslateLib.service.__main__ import main
sys.exit(main())
"""


def test_noise_goes_to_standard_error_and_faults_get_a_sentence(tmp_path: Path) -> None:
    with Raw(tmp_path / "new", NOISY) as raw:
        raw.send(Request("r1", "evaluate", {"reference": VOLUME, "prediction": VOLUME}).line())
        event, before = raw.end_of("r1")
        assert {item["event"] for item in before} == {"progress"}
        assert event["kind"] == "internal"
        assert "TypeError" in event["message"]
        assert "secret" not in event["message"]
        raw.send(Request("r2", "shutdown", {}).line())
        raw.end_of("r2")
        _, errors = raw.process.communicate()
    for source in (b"Python", b"C", b"a child"):
        assert b"noise from " + source in errors
    assert b"Traceback" in errors


# ---------------------------------------------------------------------------------------------- the work


def test_translation_equals_the_one_in_process(worker: WorkerClient, package: Path) -> None:
    from MRITranslateLib.package import load_package
    from MRITranslateLib.translate import translate

    image = head()
    reports = []
    result = worker.request(
        "translate", {"image": worker.put(image), "model": str(package), "device": "cpu"}, reports.append
    )
    made = worker.take(result["image"])
    expected = translate(image, load_package(package), device="cpu").image
    np.testing.assert_allclose(sitk.GetArrayFromImage(made), sitk.GetArrayFromImage(expected), rtol=1e-4, atol=1e-4)
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(made, name)() == getattr(image, name)()
    assert result["modality"] == "T2"
    assert result["provenance"]["model"] == "tiny"
    fractions = [report.fields["fraction"] for report in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.5
    assert not (worker.folder / result["image"]["array"]).exists()  # taken


def test_explanation_and_scores(worker: WorkerClient, package: Path) -> None:
    image = worker.put(head())
    target = {"kind": "voxel", "index": [24, 20, 3]}
    params = {"image": image, "model": str(package), "target": target, "device": "cpu", "method": "gradcam"}
    result = worker.request("explain", params)
    heatmap = sitk.GetArrayFromImage(worker.take(result["heatmap"]))
    assert heatmap.max() == pytest.approx(1.0)
    assert len(result["level_names"]) == 5
    assert worker.take(result["levels"]).GetPixelID() == sitk.sitkUInt8
    scores = worker.request("evaluate", {"reference": image, "prediction": image, "modality": "MR", "input": image})
    assert scores["scores"]["ssim"] == pytest.approx(1.0)
    assert scores["scores"]["psnr"] is None  # infinite
    assert scores["facts"]["protocol"] == "plain"


def test_explanation_of_a_plane_with_figures_shares_and_check(worker: WorkerClient, package: Path) -> None:
    image = head()
    halves = np.ones((6, 40, 48), np.uint8)
    halves[:, :, 24:] = 2
    labels = sitk.GetImageFromArray(halves)
    labels.CopyInformation(image)
    params = {
        "image": worker.put(image),
        "model": str(package),
        "target": {"kind": "slice", "axis": 2, "index": 3},
        "levels": {"thresholds": [0.2, 0.6]},
        "segments": {"labels": worker.put(labels), "names": {"1": "this side", "2": "that side"}},
        "check": True,
    }
    result = worker.request("explain", params)
    heat = sitk.GetArrayFromImage(worker.take(result["heatmap"]))
    found = sitk.GetArrayFromImage(worker.take(result["levels"]))
    assert list(np.flatnonzero(heat.max(axis=(1, 2)) > 0)) == [3]
    assert result["level_names"] == ["little or none", "heat from 0.2", "heat from 0.6"]
    values = sitk.GetArrayFromImage(image)
    for row in result["table"]:
        inside = found == row["label"]
        assert row["ml"] == pytest.approx(0.03 * inside.sum())  # 2 x 2.5 x 6 mm
        assert row["mean_heat"] == pytest.approx(heat[inside].mean(), abs=1e-5)
        assert row["mean_intensity"] == pytest.approx(values[inside].mean(), rel=1e-4)
    this = heat[:, :, :24].sum() / heat.sum()
    assert result["shares"]["this side"] == pytest.approx(this, abs=1e-4)
    assert "of the evidence lies in" in result["share_sentence"]
    assert result["beside"] is None
    checked = result["faithfulness"]
    assert checked["sentence"].endswith(".")
    for curves in (checked["deletion"], checked["insertion"]):
        assert {len(curve) for curve in curves.values()} == {len(curves["fractions"])}


def test_targets_that_do_not_exist_are_refused(worker: WorkerClient, package: Path) -> None:
    image = worker.put(head())
    other = worker.put(head(5))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"kind": "slice", "axis": 0, "index": 48}, "no plane of voxels"),
        ({"kind": "slice", "axis": 2, "index": 3, "mask": other}, "does not lie on the input's grid"),
        ({"kind": "class", "name": "nodule"}, "model for translation"),
    ]
    for target, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            worker.request("explain", {"image": image, "model": str(package), "target": target})


def test_uncertainty_and_the_way_back(worker: WorkerClient, package: Path, tmp_path: Path) -> None:
    back = tiny_package(tmp_path / "back", name="back", source="T2", target="T1")
    params = {"image": worker.put(head()), "model": str(package), "uncertainty": "auto", "cycle": str(back)}
    result = worker.request("translate", params)
    for key in ("uncertainty", "cycle"):
        array = sitk.GetArrayFromImage(worker.take(result[key]))
        assert array.min() >= 0
        assert array.max() > 0
    with pytest.raises(InputError, match="way back"):
        worker.request("translate", {**params, "cycle": "auto"})
    again = worker.request("translate", {"image": params["image"], "model": str(package)})
    assert again["uncertainty"] is None
    assert again["cycle"] is None


def test_phantom_and_devices(worker: WorkerClient) -> None:
    made = worker.request("phantom", {"seed": 2, "shape": [12, 24, 20], "lesions": 1})
    assert worker.take(made["ct"]).GetSize() == (20, 24, 12)
    devices = worker.request("devices")["devices"]
    assert devices[0]["name"] == "cpu"
    assert "cores" in devices[0]["title"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "t1_to_teapot"}, "t1_to_teapot"),
        ({"device": "abacus"}, "abacus"),
        ({"image": {"spacing": [1.0, 1.0, -1.0]}}, "greater than 0"),
    ],
)
def test_bad_work_is_refused_and_the_worker_lives(
    worker: WorkerClient, package: Path, change: dict[str, Any], sentence: str
) -> None:
    image = worker.put(head())
    worker.start()
    pid = worker.pid
    params = {"image": {**image, **change.pop("image", {})}, "model": str(package), **change}
    with pytest.raises(InputError, match=sentence) as caught:
        worker.request("translate", params)
    assert "\n" not in str(caught.value)
    assert worker.pid == pid


def test_constant_and_not_finite_inputs_are_refused(worker: WorkerClient, package: Path) -> None:
    for value in (7.0, np.nan, np.inf):
        image = sitk.GetImageFromArray(np.full((4, 8, 8), value, np.float32))
        if not np.isfinite(value):
            image[1, 1, 1] = 1.0
        with pytest.raises(InputError):
            worker.request("translate", {"image": worker.put(image), "model": str(package)})


def test_reports_come_at_least_four_times_a_second_and_cancel_works(worker: WorkerClient, package: Path) -> None:
    """A volume of many slices, cancelled after the network has begun."""
    image = worker.put(head(120))
    worker.start()
    pid, times, asked = worker.pid, [], threading.Event()

    def progress(event: messages.Event) -> None:
        times.append(time.monotonic())
        if event.fields["done"] >= 4:
            asked.set()

    with pytest.raises(Cancelled):
        worker.request("translate", {"image": image, "model": str(package), "device": "cpu"}, progress, asked.is_set)
    assert asked.is_set()
    assert (len(times) - 1) / (times[-1] - times[0]) >= 4.0
    assert worker.pid == pid  # it stopped by itself and stays warm
    assert worker.request("devices")["devices"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("Give another file."), "input"),
        (OutOfMemory("Crop the volume."), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), "memory"),
        (Cancelled(), "cancelled"),
        (ProtocolError("The result lacks a field."), "internal"),  # a fault of ours, not of the request
        (RuntimeError("no such operator"), "internal"),
        (KeyError("patient name"), "internal"),
    ],
)
def test_every_failure_is_one_sentence_of_its_kind(error: Exception, kind: str) -> None:
    found, sentence = failure(error)
    assert found == kind
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "patient name" not in sentence


def test_a_waiting_request_can_be_cancelled(tmp_path: Path) -> None:
    with Raw(tmp_path / "new") as raw:
        raw.send(Request("r1", "phantom", {"shape": [64, 128, 128]}).line())  # takes a while
        raw.send(Request("r2", "devices", {}).line())
        raw.send(Request("r2", "devices", {}).line())
        event, _ = raw.end_of("r2")
        assert event["kind"] == "input"
        assert "in use" in event["message"]
        raw.send(Request("r3", "cancel", {"id": "r2"}).line())
        assert raw.end_of("r3")[0]["result"] == {"cancelled": True}
        assert raw.end_of("r2")[0]["kind"] == "cancelled"


@posix
def test_a_killed_worker_is_reported_and_replaced() -> None:
    killed: list[int] = []

    def kill(event: messages.Event) -> None:
        assert client.pid is not None
        killed.append(client.pid)
        os.kill(client.pid, signal.SIGKILL)

    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as client:
        waiting = client.put(head())
        with pytest.raises(WorkerError, match="SIGKILL") as caught:
            client.request("phantom", {"shape": [64, 128, 128]}, kill)
        assert "\n" not in str(caught.value)
        # What was put before the crash can be used after it.
        scores = client.request("evaluate", {"reference": waiting, "prediction": waiting})["scores"]
        assert scores["mae"] == 0.0
        assert client.pid not in killed


STUBBORN = """
import subprocess, sys, time
from MRITranslateLib.service import jobs

def devices(self, params, progress, cancel):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    progress(0.0, f"child {child.pid}", 0, 1)
    time.sleep(600)

jobs.Jobs._devices = devices
"""


@posix
def test_a_worker_that_does_not_obey_is_killed_with_its_children(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(STUBBORN)
    children = []

    def progress(event: messages.Event) -> None:
        if event.fields["stage"].startswith("child"):
            children.append(int(event.fields["stage"].split()[1]))

    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    with WorkerClient(grace_s=0.2, environment=environment) as client:
        with pytest.raises(Cancelled):
            client.request("devices", {}, progress, lambda: bool(children))
        until = time.monotonic() + 5.0
        while _alive(children[0]) and time.monotonic() < until:
            time.sleep(0.02)
        assert not _alive(children[0])
        assert client.pid is None


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_client_that_was_closed_starts_again() -> None:
    client = WorkerClient()
    client.start()
    first, folder = client.pid, client.folder
    client.close()
    assert not folder.exists()
    client.start()
    assert client.pid != first
    client.close()
