"""A walk through every section of the panel by clicks, with a picture of each: what the tutorial shows.

    python -m Testing.host --testing --additional-module-paths MRITranslate --python-script Testing/tour.py -- FOLDER

It runs in Slicer too, with `Slicer` in place of `python -m Testing.host`. The pictures are FOLDER/NAME.png.
"""

import pathlib
import sys
import time

import slicer

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
        end = time.monotonic() + LIMIT_S
        while self.panel.logic.running:
            slicer.app.processEvents()
            time.sleep(0.005)
            if time.monotonic() > end:
                raise RuntimeError(f"{button.text} did not come to its end.")
        said = self.ui.statusLabel.text
        print(f"{button.text}: {said}", flush=True)
        return said

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
        slicer.util.mainWindow().grab().save(str(self.folder / f"{name}.png"))

    def node(self, name: str):
        return slicer.util.getNode(name)

    # The steps

    def translate(self) -> None:
        self.show("translateSection")
        self.click(self.ui.phantomButton)
        slicer.util.resetSliceViews()
        self.choose(self.ui.modelCombo, "t1_to_ct")
        self.ui.uncertaintyCheck.checked = True
        self.click(self.ui.runButton)
        self.picture("translate")

    def explain(self) -> None:
        self.show("explainSection")
        self.ui.checkMapCheck.checked = True
        self.click(self.ui.explainSliceButton)
        self.picture("explain_slice")
        self.ui.checkMapCheck.checked = False
        self.click(self.ui.explainButton)
        self.picture("explain")

    def generate(self) -> None:
        self.show("generateSection")
        self.click(self.ui.generateButton)
        self.picture("generate_brains")
        self.ui.reportEdit.setPlainText(REPORT)
        self.click(self.ui.radiographButton)
        self.click(self.ui.wordsButton)
        self.click(self.ui.xrayHeatButton)
        self.picture("generate_xray")

    def models(self) -> None:
        self.show("modelsSection")
        self.click(self.ui.verifyButton)
        self.picture("models")


def run(folder: pathlib.Path) -> None:
    tour = Tour(folder)
    tour.translate()
    tour.explain()
    tour.generate()
    tour.models()


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output/tour"))
