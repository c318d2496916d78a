"""Progress: bars where there is a terminal, few lines elsewhere, nothing twice."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from Training import cli, progress
from Training.progress import Bars, first_process


def output(steps, terminal=False, width=120):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, color_system=None)
    with Bars(console) as bars:
        steps(bars)
    return stream.getvalue()


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_come_every_five_seconds_and_at_the_ends(clock):
    def steps(bars):
        for done in range(1, 41):
            bars.report("Training", done, 40, {"loss": 0.5, "seconds left": 40.0 - done})
            clock[0] += 1.0

    lines = output(steps).splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/40" for n in (1, 6, 11, 16, 21, 26, 31, 36, 40)]
    assert lines[1] == "Training 6/40  1/s  0:00:34 left  loss 0.5"
    assert "left" not in lines[-1]


def test_every_validation_is_told_without_the_subjects(clock):
    def steps(bars):
        for done in (10, 20):
            scores = {"psnr": 20.123, "psnr [bold]anna": 1.0, "dice": 0.5, "dice [bold]anna": 0.4}
            bars.report("Validated", done, 20, scores)

    lines = output(steps).splitlines()
    assert lines == ["Validated at 10/20  psnr 20.12  dice 0.5", "Validated at 20/20  psnr 20.12  dice 0.5"]


def test_a_stage_without_an_estimate_of_its_own_gets_one(clock):
    def steps(bars):
        for done in range(1, 4):
            bars.report("Preparing data", done, 4, {})
            clock[0] += 10.0

    assert output(steps).splitlines()[-1] == "Preparing data 3/4  10 s each  0:00:10 left"


def test_a_terminal_shows_bars_with_losses_speed_and_time_left():
    def steps(bars):
        bars.report("Preparing data", 2, 2, {})
        bars.report("Training", 5, 50, {"loss": 0.25, "seconds left": 90.0})
        bars.report("Validated", 5, 50, {"psnr": 20.0})
        bars.say("A path with [brackets]")

    text = output(steps, terminal=True)
    last = text[text.rindex("Preparing data") :]
    assert "5/50" in last
    assert "0.5/s  0:01:30 left" in last or "2 s each  0:01:30 left" in last
    assert "loss 0.25" in last
    assert "Validated at 5/50  psnr 20" in text
    assert "A path with [brackets]" in text
    assert "━" in last


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "3", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "1"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
    ],
)
def test_the_first_process_is_known_under_every_launcher(environment, first):
    assert first_process(environment) is first


def test_other_processes_say_nothing(monkeypatch):
    monkeypatch.setattr(progress, "first_process", lambda: False)

    def steps(bars):
        bars.report("Training", 1, 2, {})
        bars.report("Validated", 1, 2, {"psnr": 20.0})
        bars.say("done")

    assert output(steps) == output(steps, terminal=True) == ""


def test_an_error_of_another_process_is_told_only_if_the_run_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(cli, "first_process", lambda: False)
    monkeypatch.setattr(cli, "_OTHERS_WAIT", 0.3)
    cli._tell("Error: mine")
    assert capsys.readouterr().err == "Error: mine\n"
    parents = iter([1, 1])
    monkeypatch.setattr(cli.os, "getppid", lambda: next(parents, 2))
    cli._tell("Error: of all")
    assert capsys.readouterr().err == ""


def test_two_processes_tell_everything_once(config_file, tmp_path):
    command = [sys.executable, "-m", "Training.cli", "pix2pix", "--config", str(config_file), "--devices", "2"]
    wrong = ["--learning_rate", "1e30", "--gradient_clip", "1e30", "--output", str(tmp_path / "wrong")]
    done = subprocess.run([*command, *wrong], capture_output=True, encoding="utf-8", timeout=240)
    assert done.returncode == 2
    assert done.stderr.count("Error: The loss became nan") == 1, done.stderr
    assert done.stderr.count("Preparing data 2/2") <= 1
    assert "Traceback" not in done.stderr
    assert "GLOBAL_RANK" not in done.stderr + done.stdout
