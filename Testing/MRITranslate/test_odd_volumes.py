"""Volumes of any size and name: too large, empty, or called what no file could be."""

import resource
import time

import numpy as np
import pytest

from MRITranslateLib.errors import InputError

from .conftest import TINY_CT, TINY_T2, wait
from .test_generating import NOISE, XRAY, generators  # noqa: F401
from .test_panel import head, nodes_of_scene

NAME = 'Ä "sc\'an"/..\\🧠 {name} %s <b>&amp;</b>'
GB_16 = (1000, 2000, 2000)


@pytest.fixture
def huge(logic, tmp_path):
    """A volume of 16 GB whose voxels lie in a sparse file: real to VTK, but nobody could copy it here."""
    import slicer
    import vtk
    from vtk.util import numpy_support

    voxels = np.memmap(tmp_path / "huge.raw", np.float32, "w+", shape=GB_16)
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(GB_16))
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(voxels.reshape(-1)))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Huge")
    node.SetAndObserveImageData(image)
    assert image.GetActualMemorySize() * 1024 == pytest.approx(16e9, rel=0.01)
    yield node
    slicer.mrmlScene.RemoveNode(node)


def test_16_gb_are_refused_with_the_number_before_anything_is_copied(logic, huge, tmp_path):
    small = head()
    huge.SetAttribute("MRITranslate.Kind", "synthetic image")
    huge.SetAttribute("MRITranslate.Target", "T2")
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    calls = (
        lambda: logic.translate(huge, TINY_T2),
        lambda: logic.explain(huge, TINY_T2, "realism"),
        lambda: logic.check(huge, TINY_T2),
        lambda: logic.evaluate(huge, small, modality="MR"),
        lambda: logic.evaluate(small, huge, modality="MR"),
        lambda: logic.exportDICOM(huge, tmp_path),
    )
    for call in calls:
        with pytest.raises(InputError, match=r"2000 x 2000 x 1000 voxels, which take 16\.0 GB"):
            call()
    assert time.monotonic() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes
    assert not logic.running


def test_the_panel_stands_a_volume_of_16_gb(panel, huge):
    import slicer

    started = time.monotonic()
    panel.ui.inputSelector.setCurrentNode(huge)
    slicer.app.processEvents()
    panel.ui.runButton.click()
    assert time.monotonic() - started < 2
    assert "16.0 GB" in panel.ui.statusLabel.text
    assert not panel.logic.running


def test_no_voxels_at_all(logic, tmp_path):
    import slicer
    import vtk

    none = vtk.vtkImageData()
    without_values = vtk.vtkImageData()
    without_values.SetDimensions(4, 5, 6)
    flat = vtk.vtkImageData()
    flat.SetDimensions(8, 8, 0)
    flat.AllocateScalars(vtk.VTK_FLOAT, 1)
    for image in (none, without_values, flat):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        node.SetAndObserveImageData(image)
        for call in (
            lambda node=node: logic.translate(node, TINY_T2),
            lambda node=node: logic.explain(node, TINY_T2, "realism"),
            lambda node=node: logic.check(node, TINY_T2),
            lambda node=node: logic.evaluate(node, head(), modality="MR"),
        ):
            with pytest.raises(InputError, match="no voxels"):
                call()


def test_names_that_no_file_could_have(logic, tmp_path):
    import slicer

    scan = head(name=NAME)
    made = logic.translate(scan, TINY_CT, uncertainty=True)
    assert made.GetName() == f"{NAME} [synthetic CT]"
    assert made.GetAttribute("MRITranslate.SourceNodeName") == NAME
    explained = logic.explain(scan, TINY_T2, "realism", checkMap=True)
    assert explained.heatMap.GetName() == f"{NAME} [heat map of {TINY_T2}, realism]"
    table = logic.evaluate(scan, made, modality="MR")
    assert table.GetName() == f"{NAME} [synthetic CT] [scores]"
    files = logic.exportDICOM(made, tmp_path)
    assert len(files) == 12
    again = logic.translate(scan, TINY_CT)
    assert again.GetName() != made.GetName()
    assert again.GetName().startswith(f"{NAME} [synthetic CT]")
    names = sorted(slicer.mrmlScene.GetNodeByID(identity).GetName() or "" for identity in nodes_of_scene())
    assert slicer.util.saveScene(str(tmp_path / "s.mrb"))
    slicer.mrmlScene.Clear()
    assert slicer.util.loadScene(str(tmp_path / "s.mrb"))
    kept = [slicer.mrmlScene.GetNodeByID(identity).GetName() or "" for identity in nodes_of_scene()]
    assert [name for name in names if NAME in name] == sorted(name for name in kept if NAME in name)
    loaded = slicer.mrmlScene.GetFirstNodeByName(f"{NAME} [synthetic CT]")
    assert slicer.util.arrayFromVolume(loaded).max() > slicer.util.arrayFromVolume(loaded).min()


def test_such_names_in_the_panel(panel):
    scan = head(name=NAME)
    panel.ui.inputSelector.setCurrentNode(scan)
    panel.ui.runButton.click()
    wait(lambda: not panel.logic.running)
    assert panel.ui.statusLabel.text == f'Made "{NAME} [synthetic T2]".'


@pytest.mark.usefixtures("generators")
def test_such_names_of_models_and_pictures(logic, tmp_path):
    from Testing.MRITranslateLib.packages import tiny_package

    folder = tmp_path / 'mödel\'s "folder" 🧠'
    tiny_package(folder, name="tiny_t2", title="Tiny")
    made = logic.translate(head(name=NAME), str(folder))
    assert made.GetAttribute("MRITranslate.Model") == "tiny_t2"
    pictures = logic.generate(NOISE, count=2)
    assert "[synthetic" in pictures.GetName()
    xray = logic.radiograph('"Clear" lungs / 🫁 {no} %s.', XRAY)
    xray.SetName(NAME)
    assert logic.explain(xray, XRAY, "match").heatMap.GetName() == f"{NAME} [heat map of {XRAY}, match]"
    assert logic.explainWords(xray, XRAY).table.GetName() == f"{NAME} [words of {XRAY}, match]"
    assert len(logic.exportDICOM(pictures, tmp_path)) == 2
    assert len(logic.exportDICOM(xray, tmp_path)) == 1
