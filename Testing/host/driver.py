"""The picture of the product: MRITranslate's panel, driven by its widgets, beside the slice views."""

import pathlib
import sys
import time
from typing import Any

from .commandline import EXIT_FAILURE, EXIT_SUCCESS, Options

MODULE = "MRITranslate"
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RUN_LIMIT_S = 1800.0
_SIZE = (1680, 1000)
_LAYOUT_ID = 1600
_COLUMNS = (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))


class DriverError(Exception):
    """The picture cannot be made; the message says why."""


def take(options: Options) -> int:
    """Make the picture that the command line asks for; the exit code."""
    from . import application

    host = application.start([REPOSITORY / MODULE, *options.module_paths], main_window=True, testing=True)
    try:
        _picture(host, options)
    except DriverError as error:
        print(f"{error}", file=sys.stderr)
        return EXIT_FAILURE
    finally:
        host.close()
    return EXIT_FAILURE if host.warnings or host.slot_errors else EXIT_SUCCESS


def _picture(host: Any, options: Options) -> None:
    import slicer

    host.main_window.resize(*_SIZE)
    slicer.util.selectModule(MODULE)
    panel = slicer.util.getModuleWidget(MODULE)
    volume = _load(options.volume) if options.volume else None
    if volume is not None:
        panel.ui.inputSelector.setCurrentNode(volume)
    if options.model:
        _choose_model(panel, options.model)
    result = _run(host, panel) if options.run else None
    if result is not None:
        _compare(volume, result)
    _settle(host)
    target = pathlib.Path(options.screenshot or "")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not host.main_window.grab().save(str(target)):
        raise DriverError(
            f"The picture could not be written to {target}: use a .png name in a folder that can be written."
        )
    print(f"Wrote {target}")


def _load(path: str) -> Any:
    import slicer

    try:
        return slicer.util.loadVolume(path)
    except RuntimeError as error:
        raise DriverError(f"{path} could not be loaded: {error}") from error


def _choose_model(panel: Any, name: str) -> None:
    combo = panel.ui.modelCombo
    index = combo.findData(name)
    if index < 0:
        known = ", ".join(str(combo.itemData(row)) for row in range(combo.count)) or "none"
        raise DriverError(f"The panel lists no model '{name}'. It lists: {known}.")
    combo.currentIndex = index


def _run(host: Any, panel: Any) -> Any:
    """Click Run and wait for the new volume node."""
    import slicer

    if not panel.ui.runButton.enabled:
        raise DriverError(f"Run is disabled: {panel.ui.runButton.toolTip}")
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    started = time.monotonic()
    panel.ui.runButton.click()
    host.process_until(lambda: not panel.ui.cancelButton.enabled, RUN_LIMIT_S)
    after = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    made = [node for node in after if node.GetID() not in before]
    if not made:
        raise DriverError(f"The run gave no volume. The panel says: {panel.ui.statusLabel.text}")
    print(f"{panel.ui.statusLabel.text} ({time.monotonic() - started:.1f} s)")
    return made[0]


def _compare(volume: Any, result: Any) -> None:
    """Input above, result below, at the same places."""
    import slicer

    manager = slicer.app.layoutManager()
    manager.layoutLogic().GetLayoutNode().AddLayoutDescription(_LAYOUT_ID, _two_rows())
    manager.setLayout(_LAYOUT_ID)
    for name, _ in _COLUMNS:
        for view, node, title in ((name, volume, "Input"), (f"{name}Result", result, "Result")):
            widget = manager.sliceWidget(view)
            composite = widget.mrmlSliceCompositeNode()
            composite.SetBackgroundVolumeID(node.GetID())
            composite.SetForegroundVolumeID(None)
            composite.SetLabelVolumeID(None)
            widget.sliceView().cornerAnnotation().SetText(0, title)


def _two_rows() -> str:
    def row(suffix: str) -> str:
        views = "".join(
            f'<item><view class="vtkMRMLSliceNode" singletontag="{name}{suffix}">'
            f'<property name="orientation" action="default">{orientation}</property></view></item>'
            for name, orientation in _COLUMNS
        )
        return f'<item><layout type="horizontal">{views}</layout></item>'

    return f'<layout type="vertical">{row("")}{row("Result")}</layout>'


def _settle(host: Any) -> None:
    """Let the widgets take their sizes, then fit the slices to them."""
    import slicer

    for _ in range(5):
        host.native.processEvents()
    slicer.util.resetSliceViews()
    host.native.processEvents()
