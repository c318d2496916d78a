"""One side of the panel's benchmark, in a process of its own: the module in the test host, driven by its widgets.

Started by `panel.py`. A turn is a click on Run up to the result in the views, or one slice of scrolling up to its
preview in the view.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import memory
from .sides import Turns
from .stalls import Stalls

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 600.0
POLL_MS = 5


def _wait(condition: Callable[[], Any]) -> None:
    """Let the application's own event loop run: a loop of ours would take the worker's cores from it."""
    import qt

    loop, timer, end = qt.QEventLoop(), qt.QTimer(), time.monotonic() + LIMIT_S
    timer.setInterval(POLL_MS)
    timer.connect("timeout()", lambda: loop.quit() if condition() or time.monotonic() > end else None)
    timer.start()
    loop.exec_()
    timer.stop()
    if not condition():
        raise TimeoutError("the panel did not get there in time")


def _paint() -> None:
    import slicer

    for _ in range(3):
        slicer.app.processEvents()


def translation(panel: Any) -> Callable[[], None]:
    """A click on Run; what an earlier one made goes first."""
    import slicer

    kept = [node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]

    def repeat() -> None:
        panel.ui.runButton.click()
        _wait(lambda: not panel.logic.running)
        _paint()
        if "Made" not in panel.ui.statusLabel.text:
            raise RuntimeError(panel.ui.statusLabel.text)

    def tidy_and_repeat() -> None:
        repeat()
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if node.GetID() not in kept:
                slicer.mrmlScene.RemoveNode(node)

    return tidy_and_repeat


def preview(panel: Any) -> Callable[[], None]:
    """One slice further, there and back through the middle half of the volume."""
    import slicer

    (section,) = (part for part in panel._sections if type(part).__name__ == "PreviewSection")
    logic = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    node, bounds = panel.ui.inputSelector.currentNode(), [0.0] * 6
    node.GetRASBounds(bounds)
    spacing, count = node.GetSpacing()[2], node.GetImageData().GetDimensions()[2]
    state = {"slice": count // 4, "step": 1}

    def look() -> None:
        logic.SetSliceOffset(bounds[4] + (state["slice"] + 0.5) * spacing)

    look()

    def repeat() -> None:
        if not panel.ui.previewCheck.checked:
            panel.ui.previewCheck.checked = True
        else:
            if not count // 4 <= state["slice"] + state["step"] <= 3 * count // 4:
                state["step"] = -state["step"]
            state["slice"] += state["step"]
            look()
        before = section._shown
        _wait(lambda: section._shown is not before or panel.ui.previewLabel.text not in ("", "Preparing the volume."))
        _paint()
        if section._shown is before:
            raise RuntimeError(panel.ui.previewLabel.text)

    return repeat


SIDES = {"translation": translation, "preview": preview}


def main(side: str, volume: str, model: str, device: str) -> None:
    turns = Turns(device)
    from Testing.host import application

    host = application.start([ROOT / "MRITranslate"])
    import slicer

    slicer.util.selectModule("MRITranslate")
    panel = slicer.util.getModuleWidget("MRITranslate")
    node = slicer.util.loadVolume(volume)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    panel.ui.inputSelector.setCurrentNode(node)
    panel.ui.modelCombo.currentIndex = panel.ui.modelCombo.findData(model)
    panel.logic.getParameterNode().device = device
    panel._translate._domain._timer.stop()  # the quiet look at the input is no part of either side
    _paint()
    repeat = SIDES[side](panel)
    while turns.wait():
        with Stalls() as stalls:
            repeat()
        worker = memory.peak_bytes_of(sys.modules["MRITranslatePanel.worker"].sharedWorker()._session.pid)
        turns.tell(stall_ms=stalls.longest, stall_by_the_clock_ms=max(stalls.wall), peak_worker=worker)
    host.close()


if __name__ == "__main__":
    main(*sys.argv[1:5])
