"""The commands in process, on a folder of small volumes."""

from pathlib import Path

import numpy as np
import pytest

from MRITranslateLib import cli

from ..packages import tiny_package
from .cases import SHAPE, Ended, Files, Run, anatomy, write


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("inputs")
    head = anatomy()
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 12:20, 14:22] = 1
    hounsfield = np.where(head > 0, head / 10.0 - 20.0, -1000.0).astype(np.int16)
    hounsfield[:, 6:8, 10:24] = 1200
    return Files(
        write(folder / "t1.nii.gz", head),
        write(folder / "ct.nii.gz", hounsfield),
        write(folder / "mask.nii.gz", mask),
        tiny_package(folder / "tiny"),
    )


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("MRITRANSLATE_MODELS", str(tmp_path / "models"))

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = caught.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)

    return run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder
