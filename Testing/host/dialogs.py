"""Modal dialogs: nobody answers in a test host, so questions raise and dialogs that close themselves are watched."""

import collections.abc
import contextlib
from typing import Any

from PySide6 import QtCore, QtWidgets

LIMIT_MS = 30000
_ASKING = (QtWidgets.QMessageBox, QtWidgets.QFileDialog, QtWidgets.QInputDialog, QtWidgets.QColorDialog)
_STATIC = frozenset(
    (
        "about",
        "critical",
        "getColor",
        "getDouble",
        "getExistingDirectory",
        "getInt",
        "getItem",
        "getMultiLineText",
        "getOpenFileName",
        "getOpenFileNames",
        "getSaveFileName",
        "getText",
        "information",
        "question",
        "warning",
    )
)


def refuse_questions(native_class: type, name: str) -> None:
    """RuntimeError for a call that would wait for a person's answer."""
    if issubclass(native_class, _ASKING) and (name == "exec" or name in _STATIC):
        raise RuntimeError(f"{native_class.__name__}.{name}: nobody would answer a modal dialog in the test host")


@contextlib.contextmanager
def watched(native: Any, name: str) -> collections.abc.Iterator[None]:
    """Runs a dialog that closes itself (as slicer.util.delayDisplay's); RuntimeError if it stays for LIMIT_MS."""
    if name != "exec" or not isinstance(native, QtWidgets.QDialog):
        yield
        return
    overdue: list[bool] = []

    def give_up() -> None:
        overdue.append(True)
        native.reject()

    timer = QtCore.QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(give_up)
    timer.start(LIMIT_MS)
    # A deletion asked for outside any event loop would be done by the dialog's own loop; in Slicer one always runs.
    deferred = QtCore.QEvent.Type.DeferredDelete.value
    outside = QtCore.QThread.currentThread().loopLevel() == 0
    if outside:
        QtCore.QCoreApplication.removePostedEvents(native, deferred)
    yield
    timer.stop()
    if outside and not native.parent():
        native.deleteLater()
    if overdue:
        raise RuntimeError(f"a modal dialog '{native.windowTitle()}' was not closed within {LIMIT_MS // 1000} s")
