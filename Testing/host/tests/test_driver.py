"""The picture driver says plainly what is wrong."""

import pytest

from Testing.host import driver
from Testing.host.commandline import parse

from .conftest import REPOSITORY

pytestmark = pytest.mark.skipif(not (REPOSITORY / "MRITranslate").is_dir(), reason="the module is not here")


@pytest.fixture
def picture(host, scene, monkeypatch):
    """Take a picture in the test's host, which stays open."""
    host.add_module_paths([REPOSITORY / "MRITranslate"])
    monkeypatch.setattr(type(host), "close", lambda self: None)

    def take(*arguments):
        return driver.take(parse([str(argument) for argument in arguments]))

    return take


def test_panel_alone(picture, faults, tmp_path):
    target = tmp_path / "new folder" / "panel.png"
    assert picture("--screenshot", target) == 0
    assert target.read_bytes().startswith(b"\x89PNG")


def test_volume_that_cannot_be_loaded_is_named(picture, tmp_path, capsys):
    assert picture("--screenshot", tmp_path / "p.png", "--volume", tmp_path / "none.nii.gz") == 1
    assert "none.nii.gz" in capsys.readouterr().err


def test_unknown_model_is_named_with_those_there_are(picture, tmp_path, capsys):
    assert picture("--screenshot", tmp_path / "p.png", "--model", "no_such_model") == 1
    assert "no_such_model" in capsys.readouterr().err
    assert not (tmp_path / "p.png").exists()
