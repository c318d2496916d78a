"""What goes into the scene, line by line of the project's table, for every kind of result on one awkward scan."""

import json
import re
import sys

import numpy as np
import pytest

from .conftest import TINY_CT, TINY_T2
from .test_generating import NOISE, REPORT, XRAY, generators  # noqa: F401
from .test_panel import head
from .test_saved_scenes import hierarchy, path_of
from .test_scene import grid, matrix_of, place, region_of

SHAPE = (7, 33, 29)


class Made:
    """All results of one scan: odd in size, anisotropic, oblique, left-handed, in a study, under a transform."""

    def __init__(self):
        import slicer

        slicer.mrmlScene.Clear()
        logic = sys.modules["MRITranslate"].MRITranslateLogic()
        self.scan = place(head(SHAPE), grid((1.3, 0.9, 3.1), True))
        items = hierarchy()
        patient = items.CreateSubjectItem(items.GetSceneItemID(), "Patient")
        items.SetItemParent(items.GetItemByDataNode(self.scan), items.CreateStudyItem(patient, "Study"))
        self.transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
        self.transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(grid((1, 1, 1), False)))
        self.scan.SetAndObserveTransformNodeID(self.transform.GetID())
        self.voxels = slicer.util.arrayFromVolume(self.scan).copy()
        self.known = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
        inside = np.zeros(SHAPE, np.uint8)
        inside[2:5, 10:20, 10:20] = 1
        region = region_of(self.scan, "segmentation", matrix_of(self.scan), inside)
        region.SetAndObserveTransformNodeID(self.transform.GetID())
        self.mr = logic.translate(self.scan, TINY_T2, uncertainty=True, cycle=True)
        self.ct = logic.translate(self.scan, TINY_CT)
        self.heat, self.levels = logic.explain(self.scan, TINY_T2, regionNode=region)
        composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        self.layers = {
            (one.GetBackgroundVolumeID(), one.GetForegroundVolumeID(), one.GetForegroundOpacity()) for one in composites
        }
        self.scores = logic.evaluate(self.scan, self.mr)
        self.pictures = logic.generate(NOISE, count=2)
        self.xray = logic.radiograph(REPORT, XRAY)
        self.maps = [self.mr.GetNodeReference(f"MRITranslate.{key}") for key in ("uncertainty", "cycle")]
        self.on_grid = [self.mr, self.ct, self.heat, self.levels, *self.maps]
        self.all = [*self.on_grid, self.scores, self.pictures, self.xray]


@pytest.fixture(scope="module")
def made(app, generators):  # noqa: F811
    return Made()


def geometry(made):
    for node in made.on_grid:
        assert np.abs(matrix_of(node) - matrix_of(made.scan)).max() < 1e-6
        assert node.GetImageData().GetDimensions() == made.scan.GetImageData().GetDimensions()
        assert node.GetParentTransformNode() is made.transform


def ct(made):
    quantity, units = made.ct.GetVoxelValueQuantity(), made.ct.GetVoxelValueUnits()
    assert quantity.GetAsPrintableString() == '(112031, DCM, "Attenuation Coefficient")'
    assert units.GetAsPrintableString() == '([hnsf\'U], UCUM, "Hounsfield unit")'
    display = made.ct.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (100, 50, 0)


def mr(made):
    import slicer

    for node in (made.mr, made.pictures):
        assert node.GetVoxelValueQuantity().GetAsPrintableString() == '(110852, DCM, "MR signal intensity")'
        assert node.GetVoxelValueUnits().GetCodeValue() == "1"
        display, array = node.GetDisplayNode(), slicer.util.arrayFromVolume(node)
        top = np.percentile(array[array > 0], 99.5)
        assert display.GetWindowLevelMax() == pytest.approx(top, rel=0.05)
        assert not display.GetAutoWindowLevel()


def heat_map(made):
    display = made.heat.GetDisplayNode()
    assert display.GetColorNodeID() == "vtkMRMLColorTableNodeFileInferno.txt"
    assert not display.GetAutoWindowLevel()
    assert made.layers == {(made.scan.GetID(), made.heat.GetID(), 0.5)}
    assert made.levels.GetClassName() == "vtkMRMLLabelMapVolumeNode"
    table = made.levels.GetDisplayNode().GetColorNode()
    assert table.GetAttribute("MRITranslate.Kind") == "heat levels"
    assert table.GetColorName(1) != table.GetColorName(4)


def spread_maps(made):
    tables = [node.GetDisplayNode().GetColorNode().GetName() for node in made.maps]
    assert tables == ["Viridis", "Magma"]
    assert made.maps[0].GetVoxelValueUnits().GetCodeValue() == "1"
    for node in made.maps:
        assert node.GetDisplayNode().GetWindowLevelMin() == 0


def hierarchy_place(made):
    for node in [*made.on_grid, made.scores]:
        *above, folder = path_of(node)
        if node is not made.scores:
            assert above == ["Patient", "Study"]
        assert folder
    assert path_of(made.mr) == path_of(made.maps[0]) == path_of(made.maps[1])
    assert path_of(made.heat) == path_of(made.levels)
    assert len({str(path_of(node)) for node in (made.mr, made.ct, made.heat)}) == 3


def names(made):
    assert made.ct.GetName() == "Scan [synthetic CT]"
    assert len({node.GetName() for node in made.all}) == len(made.all)
    for node in made.all:
        assert re.search(r"\[[^\]]+\]$", node.GetName()), node.GetName()


def provenance(made):
    import slicer

    for node in made.all:
        stated = {name.partition(".")[2]: node.GetAttribute(name) for name in node.GetAttributeNames()}
        assert "not for diagnosis" in stated["Notice"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", stated["Date"])
        assert isinstance(json.loads(stated["Parameters"]), dict)
        assert stated["Slicer"] == slicer.app.applicationVersion
        assert stated["Extension"]
        if node is not made.scores:
            assert (stated["Version"], len(stated["WeightsSHA256"])) == ("1.0.0", 64)
            assert {"Model", "Torch", "Python"} <= set(stated)
    for node in made.on_grid:
        assert node.GetAttribute("MRITranslate.SourceNodeID") == made.scan.GetID()
        assert node.GetNodeReference("MRITranslate.source") is made.scan


def nothing_is_overwritten(made):
    import slicer

    assert np.array_equal(slicer.util.arrayFromVolume(made.scan), made.voxels)
    assert made.scan.GetName() == "Scan"
    assert not made.scan.GetAttribute("MRITranslate.Kind")
    assert not made.known & {node.GetID() for node in made.all}


@pytest.mark.parametrize(
    "line",
    [geometry, ct, mr, heat_map, spread_maps, hierarchy_place, names, provenance, nothing_is_overwritten],
    ids=lambda line: line.__name__,
)
def test_what_goes_into_the_scene(made, line):
    line(made)
