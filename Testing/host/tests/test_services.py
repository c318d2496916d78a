"""Services of the application: files, processes, modules, sample data."""

import os
import sys

import numpy as np
import pytest
import qt
import SampleData
import slicer


def test_process_gets_its_environment_input_and_is_killed(host):
    environment = qt.QProcessEnvironment.systemEnvironment()
    environment.insert("HOST_TEST", "from the test")
    process = qt.QProcess()
    process.setProcessEnvironment(environment)
    heard, ended = [], []
    process.connect("readyReadStandardOutput()", lambda: heard.append(process.readAllStandardOutput().data()))
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, int(status))))
    script = "import os, sys; print(os.environ['HOST_TEST'], flush=True); print(sys.stdin.readline()); sys.stdin.read()"
    process.start(sys.executable, ["-c", script])
    assert process.waitForStarted(10000)
    assert process.processId() > 0
    assert process.state() == qt.QProcess.Running
    assert process.write(b"a line\n") == 7
    assert host.process_until(lambda: b"a line" in b"".join(heard), 20)
    assert b"from the test" in b"".join(heard)
    process.kill()
    assert host.process_until(lambda: ended, 20)
    assert ended[0][1] == int(qt.QProcess.CrashExit)
    assert process.state() == qt.QProcess.NotRunning


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_volume_comes_back_as_it_was(scene, tmp_path, suffix):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    node = slicer.util.addVolumeFromArray(array, np.diag([1.0, 2.0, 3.0, 1.0]), name="V")
    path = str(tmp_path / f"volume{suffix}")
    assert slicer.util.saveNode(node, path)
    loaded = slicer.util.loadVolume(path)
    assert loaded.GetName() == "volume"
    assert np.array_equal(np.sort(slicer.util.arrayFromVolume(loaded), axis=None), np.sort(array, axis=None))


def test_label_map_and_segmentation_files(scene, tmp_path):
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 1:4, 2:5] = 1
    node = slicer.util.addVolumeFromArray(labels, name="L", nodeClassName="vtkMRMLLabelMapVolumeNode")
    assert slicer.util.saveNode(node, str(tmp_path / "l.nrrd"))
    loaded = slicer.util.loadVolume(str(tmp_path / "l.nrrd"), {"labelmap": True})
    assert loaded.IsA("vtkMRMLLabelMapVolumeNode")
    segmentation = slicer.util.loadSegmentation(str(tmp_path / "l.nrrd"))
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_reading_an_unknown_kind_of_file_raises(scene, tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(NotImplementedError):
        slicer.util.loadMarkups(str(tmp_path / "x.json"))


def test_subject_hierarchy_follows_the_nodes(scene):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    node = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)), name="V")
    item = hierarchy.GetItemByDataNode(node)
    assert item > 0
    scene.RemoveNode(node)
    assert hierarchy.GetItemDataNode(item) is None
    assert hierarchy.GetItemByDataNode(node) == 0


def test_modules_are_known_by_both_spellings(host):
    assert slicer.modules.volumes.logic() is slicer.app.moduleLogic("Volumes")
    assert slicer.modules.colors.logic() is slicer.app.applicationLogic().GetColorLogic()
    assert "SampleData" in slicer.util.moduleNames()
    with pytest.raises(RuntimeError, match="NoSuchModule"):
        slicer.util.selectModule("NoSuchModule")


def test_module_that_fails_to_import_is_not_swallowed(host, tmp_path):
    (tmp_path / "Broken.py").write_text("class Broken:\n    pass\nraise ValueError('broken on purpose')\n")
    with pytest.raises(ValueError, match="broken on purpose"):
        host.add_module_paths([tmp_path])
    assert not hasattr(slicer.modules, "broken")


def test_custom_sample_data_are_made_and_others_are_not_downloaded(host):
    logic = SampleData.SampleDataLogic()
    logic.registerCustomSampleDataSource(category="T", sampleName="Made", customDownloader=lambda source: "node")
    logic.registerCustomSampleDataSource(category="T", sampleName="Far", uris="https://x", fileNames="f", nodeNames="n")
    made = logic.sourceForSampleName("Made")
    assert made.customDownloader(made) == "node"  # what the button does
    for name in ("Made", "Far"):
        with pytest.raises(RuntimeError, match="network"):
            logic.downloadFromSource(logic.sourceForSampleName(name))


def test_temporary_folder_is_private_and_there(host):
    assert os.path.isdir(slicer.app.temporaryPath)
    assert slicer.util.tempDirectory().startswith(slicer.app.temporaryPath)
