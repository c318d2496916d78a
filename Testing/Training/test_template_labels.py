"""A label map from templates: of a ball-shaped head of which the truth is known."""

import numpy as np
import pytest
import SimpleITK as sitk
from typer import Typer
from typer.testing import CliRunner

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import TISSUES
from MRITranslateLib.phantom.tissue import AIR, CORTICAL, CSF, FAT, GREY, MARROW, SKIN, WHITE
from Training.cormack import cormack, smooth
from Training.template_labels import BRAIN, CT, compare, main, make_labels, read_templates, sharpen

SIZE, MIDDLE = 46, (0.0, -20.0, 45.0)
"""Voxels of 2 mm, and the middle of the ball in MNI space: in the vault, far from face and base."""


def save(array, file):
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing((2.0, 2.0, 2.0))
    image.SetOrigin([sign * at - (SIZE - 1) for sign, at in zip((-1, -1, 1), MIDDLE, strict=True)])
    sitk.WriteImage(image, str(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    z, y, x = np.mgrid[:SIZE, :SIZE, :SIZE] * 2.0 - (SIZE - 1)
    radius = np.sqrt(x * x + y * y + z * z)
    outer = (14, 20, 24, 26, 32, 34, 38, 41)
    shells = zip((WHITE, GREY, CSF, CORTICAL, MARROW, CORTICAL, FAT, SKIN), outer, strict=True)
    labels = np.full(radius.shape, AIR)
    for tissue, edge in reversed(list(shells)):
        labels[radius < edge] = tissue
    save(
        smooth(cormack(np.array([tissue.hounsfield for tissue in TISSUES]))[labels], 8.0, (2, 2, 2)),
        folder / f"{CT}.nii.gz",
    )
    for tissue, name in BRAIN.items():
        save(smooth((labels == tissue).astype(np.float32), 3.0, (2, 2, 2)), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def made(folder):
    templates = read_templates(folder)
    return templates, make_labels(templates)


def test_the_map_reproduces_the_template(made):
    templates, labels = made
    found = compare(labels, templates)
    assert found["dice"] > 0.9
    assert found["head"] < 60


def test_a_closed_skull_between_brain_and_scalp(made):
    templates, labels = made
    assert labels.dtype == np.uint8
    assert labels.shape == (92, 92, 92)
    assert templates.grid.GetSpacing() == (1, 1, 1)
    line = labels[46, 46, 46:]
    assert [line[0], line[-1]] == [WHITE, AIR]
    first = [
        int(np.flatnonzero(np.isin(line, tissue))[0]) for tissue in ((GREY,), (CORTICAL,), (MARROW,), (FAT,), (SKIN,))
    ]
    assert first == sorted(first)
    bone = np.isin(labels, (CORTICAL, MARROW))
    outside = sitk.ConnectedThreshold(sitk.GetImageFromArray(bone.astype(np.uint8)), [(0, 0, 0)], 0, 0)
    assert not sitk.GetArrayFromImage(outside)[46, 46, 46]
    thickness = bone[46, 46, 46:].sum()
    assert 7 <= thickness <= 12, "of 10 mm"


def test_sharpening_undoes_the_smoothing():
    array = np.full((24, 24, 24), 500, np.float32)
    array[8:16, 8:16, 8:16] = 3000
    smoothed = smooth(array, 8.0, (2, 2, 2))
    assert np.abs(sharpen(smoothed, (2, 2, 2)) - array).mean() < 0.8 * np.abs(smoothed - array).mean()


def test_templates_of_two_grids_are_refused(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    sitk.WriteImage(sitk.ReadImage(str(folder / f"{CT}.nii.gz"))[1:], str(tmp_path / f"{BRAIN[CSF]}.nii.gz"))
    with pytest.raises(InputError, match=f"{BRAIN[CSF]} lies on another grid"):
        read_templates(tmp_path)


def test_the_command_tells_a_mistake_in_one_sentence(tmp_path):
    app = Typer()
    app.command()(main)
    outcome = CliRunner().invoke(app, [str(tmp_path), str(tmp_path / "map.nii.gz")])
    assert outcome.exit_code == 2
    assert "does not exist" in outcome.output
