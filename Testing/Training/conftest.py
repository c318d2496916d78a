"""A folder of tiny real volumes: two subjects and a test subject, cut from digital heads."""

from pathlib import Path

import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from MRITranslateLib.phantom import phantom
from MRITranslateLib.volume import write_volume
from Training.cli import app


@pytest.fixture(scope="session")
def subjects(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("subjects")
    for number, name in enumerate(("ms_a", "ms_b", "gl_c")):
        head = phantom(seed=number, shape=(6, 48, 48), spacing=(4.0, 4.0, 20.0))
        (root / name).mkdir()
        write_volume(head.t1, root / name / "t1.nii.gz")
        write_volume(sitk.Cast(head.t2, sitk.sitkFloat32), root / name / "t2.nii.gz")
    return root


@pytest.fixture
def config_file(tmp_path, subjects) -> Path:
    return write_config(tmp_path, subjects)


@pytest.fixture(scope="session")
def cross_validated(tmp_path_factory, subjects) -> Path:
    """A finished cross-validation of it: `all/export`, `fold-1/export`, `fold-2/export`, and `folds`."""
    folder = tmp_path_factory.mktemp("cross-validated")
    arguments = ["--data.train", "null", "--data.test", "[]", "--data.folds", "[[ms_a, gl_c], [ms_b]]"]
    command = ["pix2pix", "--config", str(write_config(folder, subjects)), *arguments, "--cross-validate"]
    ended = CliRunner().invoke(app, [*command, "--epochs", "2", "--threads", "1"])
    assert ended.exit_code == 0, ended.output
    return folder / "run"


def write_config(folder: Path, subjects: Path) -> Path:
    """A configuration that trains in a second: 4 mm pixels, a network of a few thousand weights."""
    file = folder / "tiny.yaml"
    file.write_text(
        f"""
package:
  name: tiny
  title: Tiny T1 to T2
  source: T1
  target: T2
  intended_use: Tests of the software.
  data: Digital heads.
  licence: {{weights: Apache-2.0, data: Apache-2.0}}
data:
  root: {subjects}
  train: [ms_a, ms_b]
  test: [gl_c]
grid: {{spacing_mm: [4.0, 4.0], context: 3, size_multiple: 8}}
intensity:
  source: {{name: foreground_median}}
  target: {{name: foreground_percentile}}
network:
  name: pix2pix_unet
  parameters: {{in_channels: 3, channels: [8, 8, 8], head: 8, norm: none, output: linear}}
discriminator: {{name: patchgan, parameters: {{in_channels: 4, width: 4, layers: 1}}}}
loss: {{adversarial_from_epoch: 1}}
epochs: 3
steps_per_epoch: 4
batch_size: 2
crop: 32
warm_up_steps: 2
validate_every: 1
precision: 32-true
accelerator: cpu
output: {folder / "run"}
""",
        encoding="utf-8",
    )
    return file
