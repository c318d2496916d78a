"""A walk through every section of the panel by clicks, with a picture of each: what the tutorial shows.

    python -m Testing.host --testing --additional-module-paths MRITranslate --python-script Testing/tour.py -- FOLDER

It runs in Slicer too, with `Slicer` in place of `python -m Testing.host`. The pictures are FOLDER/tutorial_NAME.png.
"""

import pathlib
import sys
import time

import numpy as np
import slicer
import vtk

LIMIT_S = 600
SIZE = (1500, 950)
REPORT = "PA view. Patchy opacities in both lower lobes, suspicious for COVID-19 pneumonia. Heart size normal."


class Tour:
    """The panel as a person uses it; every step leaves a picture."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        slicer.util.mainWindow().resize(*SIZE)
        slicer.util.selectModule("MRITranslate")
        self.panel = slicer.util.getModuleWidget("MRITranslate")
        self.ui = self.panel.ui

    def click(self, button) -> str:
        """Click a button that starts a run, wait for its end, and return what the panel says of it."""
        self.settle()
        if not button.enabled:
            raise RuntimeError(f"{button.text} cannot be clicked: {button.toolTip}")
        button.click()
        self.wait(lambda: not self.panel.logic.running)
        said = self.ui.statusLabel.text
        print(f"{button.text}: {said}", flush=True)
        return said

    def wait(self, condition) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            slicer.app.processEvents()
            time.sleep(0.005)
            if time.monotonic() > end:
                raise RuntimeError(f"The panel did not get there: {self.ui.statusLabel.text}")

    def choose(self, combo, data: str) -> None:
        combo.currentIndex = combo.findData(data)

    def show(self, section: str) -> None:
        """Open one section and close the others."""
        for name in ("translateSection", "explainSection", "compareSection", "generateSection", "modelsSection"):
            if hasattr(self.ui, name):
                getattr(self.ui, name).collapsed = name != section
        self.settle()

    def settle(self) -> None:
        for _ in range(5):
            slicer.app.processEvents()

    def picture(self, name: str) -> None:
        self.settle()
        slicer.util.mainWindow().grab().save(str(self.folder / f"tutorial_{name}.png"))

    def look_at(self, labels) -> None:
        """Scroll all slice views to the middle of a label map's largest axial section."""
        array = slicer.util.arrayFromVolume(labels) != 0
        k = int(array.sum(axis=(1, 2)).argmax())
        j, i = (int(place) for place in np.argwhere(array[k]).mean(axis=0))
        point = slicer.util.arrayFromVTKMatrix(labels_to_ras(labels)) @ [i, j, k, 1]
        for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            view.JumpSlice(*point[:3])
        self.settle()

    # The steps

    def translate(self) -> None:
        self.show("translateSection")
        self.click(self.ui.phantomButton)
        slicer.util.resetSliceViews()
        self.look_at(named("Phantom 1 lesions"))
        self.choose(self.ui.modelCombo, "t1_to_ct")
        self.ui.uncertaintyCheck.checked = True
        self.click(self.ui.runButton)
        self.wait(lambda: self.ui.domainLabel.text)  # what the input looks like, looked at quietly after the run
        self.picture("translate")

    def preview(self) -> None:
        """What the next model would make of the slice that is shown."""
        self.show("translateSection")
        slicer.util.setSliceViewerLayers(background=named("Phantom 1 T1"), foreground=None)
        self.choose(self.ui.modelCombo, "t1_to_t2")
        self.ui.previewCheck.checked = True
        self.wait(lambda: named("Phantom 1 T1 [preview of synthetic T2]") is not None)
        self.wait(lambda: self.ui.domainLabel.text)
        self.picture("preview")
        self.ui.previewCheck.checked = False

    def compare(self) -> None:
        self.show("compareSection")
        self.ui.compareReferenceSelector.setCurrentNode(named("Phantom 1 CT"))
        self.ui.comparePredictionSelector.setCurrentNode(named("Phantom 1 T1 [synthetic CT]"))
        self.click(self.ui.compareButton)
        self.picture("compare")

    def explain(self) -> None:
        self.show("explainSection")
        self.ui.anatomySelector.setCurrentNode(named("Phantom 1 tissues"))
        self.click(self.ui.explainSliceButton)
        self.picture("explain_slice")
        self.click(self.ui.explainButton)
        self.picture("explain")

    def generate(self) -> None:
        self.show("generateSection")
        self.click(self.ui.generateButton)
        self.picture("brains")
        self.ui.reportEdit.setPlainText(REPORT)
        self.click(self.ui.radiographButton)
        self.click(self.ui.wordsButton)
        self.click(self.ui.xrayHeatButton)
        self.picture("xray")

    def models(self) -> None:
        self.show("modelsSection")
        self.click(self.ui.verifyButton)
        self.picture("models")


def named(name):
    """The node of a name; slicer.util.getNode takes brackets for a pattern."""
    return slicer.mrmlScene.GetFirstNodeByName(name)


def labels_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def run(folder: pathlib.Path) -> None:
    tour = Tour(folder)
    tour.translate()
    tour.compare()
    tour.explain()
    tour.preview()
    tour.generate()
    tour.models()


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output/tour"))
