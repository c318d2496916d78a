"""The scripts of docs/batch.md, as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import MRITranslateLib as mt

TEXT = (Path(__file__).parents[3] / "docs" / "batch.md").read_text("utf-8")


def block(language: str, word: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if word in text]
    return found


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for seed in (1, 2):
        mt.write_volume(mt.phantom(seed=seed, shape=(8, 48, 48)).t1, tmp_path / f"head{seed}.nii.gz")
    (tmp_path / "index.csv").write_text("input\nhead1.nii.gz\nhead2.nii.gz\n", encoding="utf-8")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
def test_the_array_of_slurm_and_the_script(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study / "job.sh").write_text(block("sh", "#SBATCH"), encoding="utf-8")
    tasks = []
    for task in ("1", "2", "8"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        tasks.append(subprocess.Popen(["sh", "job.sh"], cwd=study, stdout=subprocess.PIPE, encoding="utf-8"))
    said = [task.communicate()[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0, 0]
    assert [line.partition(" done.")[0] for line in said] == [
        "Shard 1/8: 1 of 1",
        "Shard 2/8: 1 of 1",
        "Shard 8/8: 0 of 0",
    ]
    made = {path.name for path in (study / "synthetic").glob("*.nii.gz")}
    assert made == {"head1_t1_to_t2.nii.gz", "head2_t1_to_t2.nii.gz"}

    (study / "none.nii.gz").write_bytes(b"no image")
    (study / "index.csv").write_text("input\nhead1.nii.gz\nhead2.nii.gz\nnone.nii.gz\n", encoding="utf-8")
    code = block("python", "mt.translate_batch")
    ended = subprocess.run([sys.executable, "-c", code], cwd=study, capture_output=True, encoding="utf-8", check=True)
    assert re.fullmatch(
        r'0\.0 volumes/min, 0\.00 Mvoxel/s\n4 none\.nii\.gz "none\.nii\.gz" cannot be read as an image.*\n',
        ended.stdout,
    )


def test_the_example_of_a_table(tmp_path: Path) -> None:
    from MRITranslateLib.batch.table import read_table

    (text,) = re.findall(r"^```\n(input,.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "index.csv").write_text(text, encoding="utf-8")
    rows = read_table(tmp_path / "index.csv", tmp_path / "synthetic", "t1_to_t2", lambda name: name)
    assert [row.output.name for row in rows] == ["p01_t1_to_t2.nii.gz", "p02_t1_to_t2.nii.gz", "t2.nii.gz"]
    assert "`p01_t1_to_t2.nii.gz`" in TEXT
