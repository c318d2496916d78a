"""What the self test of the module checks, in Slicer and in the test host; it needs no main window and no view."""

from __future__ import annotations

import json
import tempfile

import numpy as np
import slicer
from slicer.i18n import tr as _

from MRITranslateLib import catalog
from MRITranslateLib.errors import Cancelled, InputError

from . import dependencies, results
from .jobqueue import waitFor
from .jobs import TranslateJob
from .scene import ijkToRAS

SHAPE = (24, 64, 64)


class SelfTest:
    """A digital head goes through the worker, and the nodes that come out are looked at."""

    logicClass = None

    def setUp(self):
        absent = dependencies.missing()
        if absent:
            self.skipTest(_("The worker needs {names}.").format(names=", ".join(absent)))
        slicer.mrmlScene.Clear()
        self.logic = self.logicClass()

    def tearDown(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        names = ("translate", "explain", "check", "compare", "generate", "models", "export", "problems")
        for name in (f"test_{name}" for name in names):
            self.setUp()
            try:
                self.delayDisplay(name)
                getattr(self, name)()
            finally:
                self.tearDown()

    def test_translate(self):
        scan = self.logic.loadPhantom(shape=SHAPE)["t1"]
        models = {model.name for model in catalog.list_models() if model.broken is None}
        synthetic = self.logic.translate(scan, "t1_to_t2", uncertainty=True)
        checkSynthetic(scan, synthetic, "T2", "110852")
        spread = synthetic.GetNodeReference(results.PREFIX + "uncertainty")
        checkPlace(scan, spread)
        assert slicer.util.arrayFromVolume(spread).min() >= 0
        assert slicer.util.arrayFromVolume(spread).max() > 0
        if "t1_to_ct" in models:
            node = self.logic.translate(scan, "t1_to_ct")
            checkSynthetic(scan, node, "CT", "112031")
            display = node.GetDisplayNode()
            assert (display.GetWindow(), display.GetLevel()) == (100.0, 50.0)

    def test_explain(self):
        nodes = self.logic.loadPhantom(shape=SHAPE)
        anatomy = {"anatomyNode": nodes["labels"]}
        for options in ({"target": "region", "regionNode": nodes["labels"], **anatomy}, {"target": "realism"}):
            explained = self.logic.explain(nodes["t1"], "t1_to_t2", **options)
            heatMap, levels = explained
            checkPlace(nodes["t1"], heatMap)
            checkPlace(nodes["t1"], levels)
            display = heatMap.GetDisplayNode()
            assert display.GetColorNodeID() == results.INFERNO
            assert not display.GetAutoWindowLevel()
            heat = slicer.util.arrayFromVolume(heatMap)
            assert heat.min() >= 0
            assert abs(heat.max() - 1) < 1e-5
            assert levels.IsA("vtkMRMLLabelMapVolumeNode")
            assert 1 <= slicer.util.arrayFromVolume(levels).max() <= 4
            assert levels.GetDisplayNode().GetColorNode().GetNumberOfColors() == 5
            checkTable(levels, explained.table)
        shares = self.logic.explain(nodes["t1"], "t1_to_t2", "voxel", voxel=(32, 32, 12), **anatomy).shares
        assert abs(slicer.util.arrayFromTableColumn(shares, shares.GetColumnName(1)).sum() - 100) < 1e-3

    def test_check(self):
        nodes = self.logic.loadPhantom(shape=SHAPE)
        assert self.logic.check(nodes["ct"], "t1_to_t2").outcome == "refuse"
        assert self.logic.check(nodes["t1"], "t1_to_t2").outcome != "refuse"
        nodes["t1"].SetSpacing(*(spacing / 2 for spacing in nodes["t1"].GetSpacing()))  # fewer pixels for the model
        explained = self.logic.explain(nodes["t1"], "t1_to_t2", plane=(2, 12), checkMap=True)
        assert explained.passes in (True, False)
        assert explained.verdict
        assert explained.chart.GetNumberOfPlotSeriesNodes() == 6
        for number in range(6):
            series = explained.chart.GetNthPlotSeriesNode(number)
            curve = slicer.util.arrayFromTableColumn(series.GetTableNode(), series.GetYColumnName())
            assert np.isfinite(curve).all()
            assert np.ptp(curve) > 0

    def test_compare(self):
        nodes = self.logic.loadPhantom(shape=SHAPE)
        array = slicer.util.arrayFromVolume(nodes["ct"]).astype(np.float32) + 10
        prediction = slicer.util.addVolumeFromArray(array, ijkToRAS(nodes["ct"]), "Brighter")
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes["ct"]))
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(prediction), study)
        compared = self.logic.compare(nodes["ct"], prediction, mask=nodes["labels"])
        assert abs(compared.scores["mae"] - 10) < 1e-3
        assert compared.scores["dice_bone"] > 0.9
        assert compared.facts["protocol"] == "plain"
        assert compared.resampled is None
        checkPlace(nodes["ct"], compared.difference)
        display = compared.difference.GetDisplayNode()
        assert display.GetColorNodeID() == results.DIVERGING
        assert display.GetWindowLevelMin() == -display.GetWindowLevelMax()
        prediction.SetSpacing(*(1.01 * spacing for spacing in prediction.GetSpacing()))
        compared = self.logic.compare(nodes["ct"], prediction)
        assert any("resampled" in text for text in compared.warnings)
        checkPlace(nodes["ct"], compared.resampled)

    def test_generate(self):
        """Of the models for it those that are installed."""
        models = {model.name: model for model in catalog.list_models() if model.broken is None}
        if "brain_mri" in models:
            checkPictures(self.logic.generate("brain_mri", count=2), 2, "110852")
        if "chest_xray" not in models:
            return
        report = "Right pleural effusion. Heart size normal."
        xray = self.logic.radiograph(report, "chest_xray")
        checkPictures(xray, 1, "113076")
        assert xray.GetNodeReference(results.REPORT_ROLE).GetText() == report
        heatMap, __ = self.logic.explain(xray, "chest_xray", "match")
        assert np.abs(ijkToRAS(heatMap) - ijkToRAS(xray)).max() < 1e-6
        assert 0 < slicer.util.arrayFromVolume(heatMap).max() <= 1
        asked = [{}]
        if "chest_findings" in models:
            classes = json.loads(catalog.read_card_text(models["chest_findings"].folder))["classes"]
            asked.append({"classifier": "chest_findings", "className": classes[0]})
        for options in asked:
            words = self.logic.explainWords(xray, "chest_xray", **options)
            assert "".join(text for text, __ in words.parts) == report
            assert words.table.GetNumberOfRows() == 6

    def test_models(self):
        """Nothing of the user's models is touched, and no server is asked."""
        (found,) = self.logic.verifyModels("t1_to_t2")
        assert found.ok, found.sentence
        before = catalog.list_models()
        for call in (
            lambda: self.logic.removeModel("t1_to_t2"),
            lambda: self.logic.addModel(next(model.folder for model in before if model.name == "t1_to_t2")),
            lambda: self.logic.downloadModel("t1_to_t2", "http://example.org/catalogue.json"),
        ):
            try:
                call()
            except InputError:
                continue
            raise AssertionError("What a model must not undergo was not refused.")
        assert catalog.list_models() == before

    def test_export(self):
        """The synthetic volume as DICOM files; then the run is undone by deleting its folder."""
        import pydicom  # ships with Slicer

        scan = self.logic.loadPhantom(shape=SHAPE)["t1"]
        count = slicer.mrmlScene.GetNumberOfNodes()
        synthetic = self.logic.translate(scan, "t1_to_t2")
        with tempfile.TemporaryDirectory(prefix="MRITranslate-") as folder:
            files = self.logic.exportDICOM(synthetic, folder)
            assert len(files) == SHAPE[0]
            array = slicer.util.arrayFromVolume(synthetic)
            for index, file in enumerate(files):
                data = pydicom.dcmread(file)
                assert list(data.ImageType)[:2] == ["DERIVED", "SECONDARY"]
                assert "SYNTHETIC" in data.SeriesDescription
                corner = (ijkToRAS(synthetic) @ [0, 0, index, 1])[:3] * [-1, -1, 1]
                assert np.abs(np.array(data.ImagePositionPatient, float) - corner).max() < 1e-4
                assert (data.Rows, data.Columns) == array.shape[1:]
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        hierarchy.RemoveItem(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(synthetic)))
        slicer.app.processEvents()
        assert slicer.mrmlScene.GetNumberOfNodes() == count

    def test_problems(self):
        scan = self.logic.loadPhantom(shape=SHAPE)["t1"]
        constant = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.float32), name="Constant")
        count = slicer.mrmlScene.GetNumberOfNodes()
        for node, model in ((None, "t1_to_t2"), (scan, "no_such_model"), (constant, "t1_to_t2")):
            try:
                self.logic.translate(node, model)
            except InputError:
                continue
            raise AssertionError("What cannot be translated was not refused.")
        assert isinstance(self._failureOf(scan, self.logic.cancel), Cancelled)
        assert slicer.mrmlScene.GetNumberOfNodes() == count
        assert isinstance(self._failureOf(scan, lambda: slicer.mrmlScene.RemoveNode(scan)), Cancelled)
        assert not self.logic.running
        assert slicer.mrmlScene.GetFirstNodeByName(syntheticName(scan, "T2")) is None

    def _failureOf(self, scan, disturb):
        """What a translation of `scan` ends with when it is disturbed right after its start."""
        outcome = []
        self.logic.start(
            TranslateJob(scan, "t1_to_t2"), None, lambda node, warnings: outcome.append(node), outcome.append
        )
        disturb()
        waitFor(lambda: outcome)
        return outcome[0]


def syntheticName(scan, modality: str) -> str:
    return f"{scan.GetName()} " + _("[synthetic {modality}]").format(modality=modality)


def checkSynthetic(scan, node, modality: str, quantity: str) -> None:
    """Name, place, units, window, provenance and content of a synthetic volume."""
    assert node.GetName() == syntheticName(scan, modality)
    checkPlace(scan, node)
    assert node.GetVoxelValueQuantity().GetCodeValue() == quantity
    assert not node.GetDisplayNode().GetAutoWindowLevel()
    checkProvenance(node, ("Model", "Version", "WeightsSHA256", "SourceNodeID", "Parameters", "Date", "Notice"))
    array = slicer.util.arrayFromVolume(node)
    assert np.isfinite(array).all()
    assert array.max() > array.min()


def checkPictures(node, count: int, quantity: str) -> None:
    """Name, units, provenance and content of pictures made from noise or from a report."""
    assert "[synthetic" in node.GetName()
    assert node.GetVoxelValueQuantity().GetCodeValue() == quantity
    assert not node.GetDisplayNode().GetAutoWindowLevel()
    checkProvenance(node, ("Model", "Version", "WeightsSHA256", "Parameters", "Date", "Notice"))
    array = slicer.util.arrayFromVolume(node)
    assert len(array) == count
    assert 0 <= array.min() < array.max() <= 255
    assert node.GetNodeReference(results.PREFIX + "verdict").GetNumberOfRows() == count


def checkProvenance(node, keys) -> None:
    for key in keys:
        assert node.GetAttribute(results.PREFIX + key), key


def checkTable(levels, table) -> None:
    """The volumes of the table are those of the label map."""
    labels = slicer.util.arrayFromVolume(levels)
    ml = np.prod(levels.GetSpacing()) / 1000
    stated = slicer.util.arrayFromTableColumn(table, table.GetColumnName(1))
    assert np.allclose(stated, [ml * (labels == level).sum() for level in range(5)])


def checkPlace(scan, node) -> None:
    """On the scan's own grid, under its transform, in a folder of the scan's study."""
    assert np.abs(ijkToRAS(node) - ijkToRAS(scan)).max() < 1e-6
    assert node.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()
    assert node.GetTransformNodeID() == scan.GetTransformNodeID()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    assert hierarchy.GetItemParent(folder) == hierarchy.GetItemParent(hierarchy.GetItemByDataNode(scan))
