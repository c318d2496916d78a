"""What the commands share: the bar of progress on a terminal."""

import pytest

from MRITranslateLib.cli.shared import progress_bar


def test_a_stage_is_text_and_no_markup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar(True) as progress:
        progress(0.5, "x[/b]\x1b[2J\n[red]y", 1, 3)
    shown = capsys.readouterr().err
    assert "x[/b][2J [red]y 1/3" in shown
    assert "\x1b[2J" not in shown


def test_a_long_stage_leaves_room_for_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar(True) as progress:
        progress(0.5, 500 * "n", 2, 3)
    shown = capsys.readouterr().err
    assert "n… 2/3" in shown
    assert "50%" in shown
