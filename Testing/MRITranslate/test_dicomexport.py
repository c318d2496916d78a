"""Export from the scene: through the logic and by clicks, with and without the DICOM files of the input."""

import sys

import numpy as np
import pydicom
import pytest

from MRITranslateLib.errors import InputError

from .conftest import TINY_CT, TINY_T2, click_and_wait, wait
from .test_panel import head, nodes_of_scene
from .test_scene import OBLIQUE, grid, matrix_of, place


class Database:
    """What ctkDICOMDatabase tells of a volume's files."""

    isOpen = True

    def __init__(self, files):
        self.files = files

    def fileForInstance(self, uid):
        return str(self.files.get(uid, ""))


@pytest.fixture
def scan_of_patient(logic, tmp_path, monkeypatch):
    """A volume that was read from DICOM files of Nobody^Known, which the database knows."""
    import slicer

    from Testing.MRITranslateLib.dicoms import write_slice

    files = {}
    scan = head((5, 24, 22))
    for index, plane in enumerate(slicer.util.arrayFromVolume(scan)):
        uid = f"2.25.50{index}"
        files[uid] = tmp_path / f"source{index}.dcm"
        axes = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        tags = {"_0008_0018": uid, "_0010_0020": "N1", "_0020_0052": "2.25.9", "_0020_000d": "2.25.12"}
        write_slice(files[uid], plane.astype(np.int16), (0, 0, index), axes=axes, **tags)
    to_lps = np.diag([-0.5, -0.75, 1.0, 1.0])  # the grid of those files, in RAS
    place(scan, to_lps)
    scan.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    monkeypatch.setattr(slicer, "dicomDatabase", Database(files), raising=False)
    return scan


def export(logic, node, folder):
    """The files, and what the user is warned of."""
    told = []
    job = sys.modules["MRITranslatePanel.dicomexport"].ExportJob(node, str(folder))
    logic.start(job, None, lambda files, warnings: told.append((files, warnings)), told.append)
    wait(lambda: told)
    return told[0]


def read(files):
    return [pydicom.dcmread(file) for file in files]


def test_a_synthetic_ct_of_a_patient(logic, scan_of_patient, tmp_path):
    import slicer

    node = logic.translate(scan_of_patient, TINY_CT)
    before = nodes_of_scene()
    out = tmp_path / "out"
    out.mkdir()
    files = logic.exportDICOM(node, out)
    assert nodes_of_scene() == before
    array = slicer.util.arrayFromVolume(node)
    assert len(files) == len(array)
    for index, data in enumerate(read(files)):
        assert (data.PatientName, data.PatientID, data.StudyInstanceUID) == ("Nobody^Known", "N1", "2.25.12")
        assert (data.FrameOfReferenceUID, data.Modality) == ("2.25.9", "CT")
        assert [item.ReferencedSOPInstanceUID for item in data.SourceImageSequence] == [f"2.25.50{index}"]
        assert np.abs(data.pixel_array - array[index]).max() <= 0.5
        assert np.allclose(data.ImagePositionPatient, (0, 0, index), atol=1e-4)
        assert data.ManufacturerModelName == TINY_CT
        assert node.GetAttribute("MRITranslate.WeightsSHA256") in data.DerivationDescription
        assert (data.WindowWidth, data.WindowCenter) == (100, 50)
    again = logic.translate(node_as_mr(node), TINY_T2)  # what was made of a synthetic image is of the same patient
    assert read(logic.exportDICOM(again, out))[0].PatientID == "N1"


def node_as_mr(node):
    import slicer

    array = slicer.util.arrayFromVolume(node)
    slicer.util.updateVolumeFromArray(node, np.maximum(array + 1024, 0) * (array > np.median(array)))
    return node


def test_without_the_files_the_patient_is_artificial(logic, scan_of_patient, tmp_path, monkeypatch):
    import slicer

    node = logic.translate(scan_of_patient, TINY_T2)
    for database in (Database({}), None):
        monkeypatch.setattr(slicer, "dicomDatabase", database)
        files, warnings = export(logic, node, tmp_path)
        assert any("artificial" in warning for warning in warnings)
        assert str(read(files)[0].PatientName) == "SYNTHETIC^MRITranslate"


def test_a_linear_transform_is_applied_and_a_curved_one_refused(logic, tmp_path):
    import slicer
    import vtk

    scan = place(head((3, 20, 18)), grid((1.0, 1.2, 3.0), True))
    node = logic.translate(scan, TINY_T2)
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    matrix = grid((1, 1, 1), False)
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(moved.GetID())
    own = matrix_of(node)
    world = np.diag([-1, -1, 1, 1]) @ matrix @ own
    files, warnings = export(logic, node, tmp_path)
    assert "transform" in warnings[0]
    for index, data in enumerate(read(files)):
        assert np.allclose(data.ImagePositionPatient, (world @ [0, 0, index, 1])[:3], atol=1e-4)
        assert np.allclose(np.reshape(data.ImageOrientationPatient, (2, 3))[0], world[:3, 0] / 1.0, atol=1e-6)
    assert np.array_equal(matrix_of(node), own)
    assert node.GetParentTransformNode() is moved
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(OBLIQUE))  # it shears
    with pytest.raises(InputError, match="sheared"):
        logic.exportDICOM(node, tmp_path)
    curved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Curved")
    spline = vtk.vtkThinPlateSplineTransform()
    points, ends = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(2, 2, 2):
        points.InsertNextPoint(*(50.0 * np.array(corner)))
        ends.InsertNextPoint(*(50.0 * np.array(corner) + (5 if corner == (1, 1, 1) else 0)))
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(ends)
    spline.SetBasisToR()
    curved.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(curved.GetID())
    with pytest.raises(InputError, match="bends"):
        logic.exportDICOM(node, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_only_synthetic_volumes_are_exported(logic, tmp_path):
    scan = head()
    heat, levels = logic.explain(scan, TINY_T2, "realism")
    for node, sentence in ((scan, "no synthetic"), (heat, "no synthetic"), (levels, "not a scan"), (None, "missing")):
        with pytest.raises(InputError, match=sentence):
            logic.exportDICOM(node, tmp_path)
    node = logic.translate(scan, TINY_T2)
    with pytest.raises(InputError, match="does not exist"):
        logic.exportDICOM(node, tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_the_button_writes_the_last_result(panel, tmp_path):
    section = next(one for one in panel._sections if hasattr(one, "chooseFolder"))
    asked = []
    section.chooseFolder = lambda: asked.append(1) or (str(tmp_path) if len(asked) > 1 else "")
    ui = panel.ui
    scan = head()
    ui.inputSelector.setCurrentNode(scan)
    assert not ui.exportButton.enabled
    assert "Make a synthetic volume" in ui.exportButton.toolTip
    click_and_wait(panel, ui.runButton)
    assert ui.exportSelector.currentNode().GetName() == "Scan [synthetic T2]"
    assert ui.exportSelector.nodeCount() == 1  # the scan itself is not offered
    click_and_wait(panel, ui.exportButton)  # the folder dialog is left without a choice
    assert list(tmp_path.iterdir()) == []
    click_and_wait(panel, ui.exportButton)
    assert "Wrote 12 DICOM files" in ui.statusLabel.text
    assert len(list(tmp_path.rglob("*.dcm"))) == 12
    assert ui.exportSelector.currentNode() is not None
