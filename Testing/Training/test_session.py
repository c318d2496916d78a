"""The frame of every run: schedules, averages, kills, several processes, full disks, frozen layers."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import Dataset

from MRITranslateLib.errors import InputError
from MRITranslateLib.networks.pix2pix import Pix2PixUNet
from Training.config.run import RunConfig
from Training.finetune import freeze
from Training.machine import computes_bfloat16
from Training.schedule import learning_rate
from Training.session import Session, Validation

COMMAND = [sys.executable, "-m", "Training.cli", "pix2pix", "--loss.adversarial_from_epoch", "0"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


class Line(Dataset):
    """Points of a line, item i a function of i alone."""

    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.rand(3, generator=torch.Generator().manual_seed(index))
        return x, x.sum()[None] * 2 + 1


def session(folder: Path, resume: bool = False, **changes) -> tuple[Session, nn.Module]:
    values = {"epochs": 6, "steps_per_epoch": 5, "validate_every": 2, "sample_epochs": [], "learning_rate": 0.05}
    values |= {"precision": "32-true", "accelerator": "cpu", "threads": 1, "warm_up_steps": 0, "output": folder}
    made = Session(RunConfig(**(values | changes)), resume)
    network = nn.Linear(3, 1)
    made.add("line", network, averaged=True)
    made.restore()
    return made, network


def fit(made: Session, network: nn.Module, scores=None, stop=lambda: False) -> None:
    for x, y in made.batches(Line()):
        loss = (network(x) - y).square().mean()
        made.update("line", loss)
        if made.end_step({"loss": loss}):
            better = float("inf") if scores is None else scores.pop(0)
            made.end_period(lambda: Validation({"score": better}, better, {"weights": network.state_dict()}))  # noqa: B023
        if stop():
            return


def test_learning_rates_warm_up_and_fall_by_their_schedule():
    config = RunConfig(epochs=10, steps_per_epoch=10, warm_up_steps=5, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2, rel=0.01)
    assert max(rates) == pytest.approx(1, rel=0.02)
    assert rates[-1] < 0.02
    linear = [learning_rate(config.model_copy(update={"schedule": "linear"}), step) for step in range(100)]
    assert linear[10:51] == [1.0] * 41
    assert linear[75] == pytest.approx(0.5)
    constant = [learning_rate(config.model_copy(update={"schedule": "constant"}), step) for step in range(100)]
    assert constant[5:] == [1.0] * 95


def test_the_exportable_network_is_what_float16_holds_of_the_average(tmp_path):
    made, network = session(tmp_path / "run")
    fit(made, network)
    given = made.exportable("line").state_dict()
    average = made._averaged["line"].module.state_dict()
    for key, value in given.items():
        assert value.equal(average[key].half().float())
        assert not value.equal(network.state_dict()[key])


def test_a_run_ends_when_the_score_no_longer_rises(tmp_path):
    made, network = session(tmp_path / "run", epochs=20, validate_every=1, early_stop=3)
    fit(made, network, scores=[1.0, 3.0, 2.0, 2.5, 2.9, 9.0, 9.0])
    assert made.epoch == 5
    assert made.best == 3.0
    best = load_file(tmp_path / "run" / "best-weights.safetensors")
    assert not best["weight"].equal(network.state_dict()["weight"])
    again, network = session(tmp_path / "run", True, epochs=20, validate_every=1, early_stop=3)
    fit(again, network, scores=[])  # nothing is left to do
    assert again.epoch == 5


def test_every_sample_epoch_is_validated_too(tmp_path):
    made, network = session(tmp_path / "run", sample_epochs=[1, 5])
    fit(made, network)
    with (tmp_path / "run" / "log.csv").open() as stream:
        assert {row["epoch"] for row in csv.DictReader(stream)} == {"1", "2", "4", "5", "6"}


def test_the_log_tells_the_speed_and_the_wait_for_data(tmp_path):
    made, network = session(tmp_path / "run")
    fit(made, network)
    with (tmp_path / "run" / "log.csv").open() as stream:
        rows = {row["figure"]: float(row["value"]) for row in csv.DictReader(stream)}
    assert rows["images per second"] > 0
    assert 0 < rows["share of waiting for data"] < 1


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    made, network = session(tmp_path / "run")
    fit(made, network, stop=lambda: made.step == 12)
    file = tmp_path / "run" / "checkpoint.ckpt"
    file.write_bytes(file.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(InputError, match=r"checkpoint\.ckpt\" is damaged"):
        session(tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    made, network = session(tmp_path / "run")
    fit(made, network, stop=lambda: made.step == 12)
    other = Session(made.config, resume=True)
    other.add("line", nn.Linear(4, 1), averaged=True)
    with pytest.raises(InputError, match="of other networks"):
        other.restore()


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(tmp_path):
    """A limit on the size of files stands for the full disk: the write fails half-way, as it does there."""
    script = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path.cwd())!r})
from Testing.Training.test_session import session, fit
import torch
made, network = session(Path({str(tmp_path / "run")!r}))
made.add("ballast", torch.nn.Linear(600, 600))
fit(made, network, stop=lambda: made.step == 12)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before = made.folder.checkpoint.read_bytes()
try:
    fit(made, network)
except Exception as error:
    assert made.folder.checkpoint.read_bytes() == before
    assert not list(made.folder.path.glob("*.writing"))
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", env=ENVIRONMENT, timeout=120
    )
    assert done.stdout.startswith('InputError "checkpoint.ckpt" of the run cannot be written'), (
        done.stdout + done.stderr
    )
    assert "the last checkpoint is intact" in done.stdout


def test_frozen_layers_stay_and_the_rest_learns():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    freeze(network, ["0"])
    assert [parameter.requires_grad for parameter in network.parameters()] == [False, False, True, True]
    freeze(network, ["1.bi*"])
    assert [parameter.requires_grad for parameter in network.parameters()] == [False, False, True, False]
    with pytest.raises(InputError, match=r'"encoder" fits no layer; the layers are 0, 1\.'):
        freeze(network, ["encoder"])


def test_frozen_batch_statistics_stay_too(tmp_path):
    made = session(tmp_path / "run")[0]
    network = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    freeze(network, ["0"])
    made.add("normalised", network)
    for x, _ in made.batches(Line()):
        made.update("normalised", network(x).square().mean())
        made.end_step({})
        break
    assert network[0].running_mean.equal(torch.zeros(3))
    assert not network[1].running_mean.equal(torch.zeros(3))


def test_a_run_that_goes_on_refuses_other_subjects(tmp_path):
    made, network = session(tmp_path / "run")
    made.folder.save_split({"train": ["a"], "test": ["b"]})
    fit(made, network)
    again, _ = session(tmp_path / "run", resume=True)
    again.folder.save_split({"train": ["a"], "test": ["b"]})
    with pytest.raises(InputError, match="not those that the run"):
        again.folder.save_split({"train": ["a", "b"], "test": []})
    assert "- b" in (tmp_path / "run" / "split.yaml").read_text(encoding="utf-8")


def test_a_machine_without_the_accelerator_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot train as accelerator"):
        session(tmp_path / "run", accelerator="abacus")


def test_a_cpu_without_bfloat16_computes_in_float32_and_says_so(tmp_path, monkeypatch):
    plain, expected = session(tmp_path / "plain")
    fit(plain, expected)
    monkeypatch.setattr("Training.machine.computes_bfloat16", lambda: False)
    with pytest.warns(UserWarning, match="in 32-true instead of bf16-mixed") as told:
        made, network = session(tmp_path / "run", precision="bf16-mixed")
    assert len(told) == 1
    assert made.config.precision == "32-true"
    assert "precision: 32-true" in (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    fit(made, network, stop=lambda: made.step == 12)
    with pytest.warns(UserWarning, match="in 32-true instead of bf16-mixed"):
        again, network = session(tmp_path / "run", True, precision="bf16-mixed")
    fit(again, network)
    for key, value in expected.state_dict().items():
        assert value.equal(network.state_dict()[key])


@pytest.mark.filterwarnings("error")
def test_a_cpu_with_bfloat16_computes_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr("Training.machine.computes_bfloat16", lambda: True)
    made, network = session(tmp_path / "run", precision="bf16-mixed")
    assert made.config.precision == "bf16-mixed"
    with made.autocast():
        assert network(torch.rand(2, 3)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("half", "norm", "last"), [(True, "none", True), (True, "instance", False), (False, "instance", True)]
)
def test_weights_lie_in_the_layout_that_is_faster_for_their_network(tmp_path, monkeypatch, half, norm, last):
    """Channels last, a third faster; where instances are normalised in half the bits on a CPU, plain is."""
    monkeypatch.setattr("Training.machine.computes_bfloat16", lambda: half)
    network = Pix2PixUNet(2, 1, [8, 8], 4, norm, 0.0, "linear")
    with contextlib.nullcontext() if half else pytest.warns(UserWarning, match="in 32-true"):
        made, _ = session(tmp_path / "run", precision="bf16-mixed")
    made.add("generator", network)
    assert next(network.stem.parameters()).is_contiguous(memory_format=torch.channels_last) == last


def test_volumes_stay_in_the_plain_layout(tmp_path):
    made, _ = session(tmp_path / "run")
    network = Pix2PixUNet(2, 1, [8, 8], 4, "none", 0.0, "linear", dimensions=3)
    made.add("generator", network)
    assert next(network.stem.parameters()).is_contiguous()


def test_where_torch_cannot_tell_the_configuration_stands(monkeypatch):
    assert computes_bfloat16() in (True, False)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert computes_bfloat16()


def test_a_run_killed_at_any_moment_ends_with_the_same_weights(config_file, tmp_path):
    """SIGKILL in the middle of a step, then --resume: the exported files are the same to the byte."""
    length = ["--epochs", "8", "--steps_per_epoch", "10", "--validate_every", "2"]
    command = [*COMMAND, "--config", str(config_file), *length]
    whole = subprocess.run([*command, "--output", str(tmp_path / "whole")], env=ENVIRONMENT, timeout=240)
    assert whole.returncode == 0
    killed = subprocess.Popen([*command, "--output", str(tmp_path / "killed")], env=ENVIRONMENT, stderr=subprocess.PIPE)
    checkpoint = tmp_path / "killed" / "checkpoint.ckpt"
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.01)
    time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "export").exists()
    resumed = subprocess.run([*command, "--output", str(tmp_path / "killed"), "--resume"], env=ENVIRONMENT, timeout=240)
    assert resumed.returncode == 0
    for name in ("best-weights.safetensors", "best-discriminator.safetensors", "export/weights.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def _losses(folder: Path) -> dict[tuple[str, str], float]:
    with (folder / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    chosen = ("loss", "generator", "discriminator", "psnr ms_a")
    return {(row["step"], row["figure"]): float(row["value"]) for row in rows if row["figure"] in chosen}


@pytest.mark.parametrize("launcher", ["devices", "torchrun", "fabric run"])
def test_two_processes_follow_the_curve_of_one(config_file, tmp_path, launcher):
    alone = tmp_path / "alone"
    done = subprocess.run(
        [*COMMAND, "--config", str(config_file), "--output", str(alone)], env=ENVIRONMENT, timeout=240
    )
    assert done.returncode == 0
    together = ["--config", str(config_file), "--output", str(tmp_path / "together")]
    if launcher == "torchrun":
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
        command = [*start, *COMMAND[1:], *together]
    elif launcher == "fabric run":
        start = [sys.executable, "-m", "lightning.fabric.cli", "--accelerator", "cpu", "--devices", "2"]
        script = str(Path(sys.executable).with_name("mritranslate-train"))
        command = [*start, "--main-port", "29518", script, *COMMAND[3:], *together]
    else:
        command = [*COMMAND, *together, "--devices", "2"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("Exported") == 1
    one, two = _losses(alone), _losses(tmp_path / "together")
    assert len(one) == 12
    assert two.keys() == one.keys()
    for key, value in one.items():
        assert two[key] == pytest.approx(value, rel=1e-3), key
