"""`slicer.app`: the application object with the services that scripts ask it for."""

import ctypes
import os
import sys
import tempfile
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from .ioservice import qSlicerCoreIOManager
from .modules import qSlicerModuleManager

VERSION = (5, 8, 1)
"""The oldest Slicer that is supported: what is newer is not here either."""


class qSlicerCommandOptions(QtCore.QObject):
    """What the command line asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._values = {"testing": False, "exit": False, "no_main_window": False, "no_splash": False}
        self._script, self._code, self._paths = "", "", []

    def _option(name: str) -> Property:
        return Property(
            bool, lambda self: self._values[name], lambda self, value: self._values.__setitem__(name, value)
        )

    testingEnabled = _option("testing")
    runPythonAndExit = _option("exit")
    noMainWindow = _option("no_main_window")
    noSplash = _option("no_splash")
    pythonScript = Property(str, lambda self: self._script)
    pythonCode = Property(str, lambda self: self._code)
    additionalModulePaths = Property("QStringList", lambda self: self._paths)


class qSlicerApplication(QtWidgets.QApplication):
    """The Qt application with Slicer's services."""

    startupCompleted = Signal()
    mrml_scene_changed = Signal(object)
    host_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrml_scene_changed"}

    def __init__(self, arguments: list[str], home: str) -> None:
        super().__init__(arguments)
        self._home = home
        self._temporary = os.path.join(home, "temporary")
        os.makedirs(self._temporary, exist_ok=True)
        self._options = qSlicerCommandOptions()
        self._settings = QtCore.QSettings()
        self._application_logic: Any = None
        self._module_manager: qSlicerModuleManager | None = None
        self._io_manager: qSlicerCoreIOManager | None = None
        self._layout_manager: Any = None
        self._exit_code: int | None = None

    # --- objects

    def commandOptions(self) -> qSlicerCommandOptions:
        return self._options

    def applicationLogic(self) -> Any:
        return self._application_logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def moduleManager(self) -> qSlicerModuleManager | None:
        return self._module_manager

    def moduleLogic(self, moduleName: str) -> Any:
        return self._application_logic.GetModuleLogic(moduleName)

    def coreIOManager(self) -> qSlicerCoreIOManager | None:
        return self._io_manager

    def ioManager(self) -> qSlicerCoreIOManager | None:
        return self._io_manager

    def layoutManager(self) -> Any:
        return self._layout_manager

    def settings(self) -> QtCore.QSettings:
        return self._settings

    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    def revisionUserSettings(self) -> QtCore.QSettings:
        return self._settings

    # --- services

    def testingEnabled(self) -> bool:
        return bool(self._options.testingEnabled)

    def translate(self, context: str, text: str) -> str:
        return text

    def moduleDocumentationUrl(self, moduleName: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{moduleName.lower()}.html"

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def environment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def pauseRender(self) -> None:
        for widget in self._views():
            widget.setUpdatesEnabled(False)

    def resumeRender(self) -> None:
        for widget in self._views():
            widget.setUpdatesEnabled(True)

    def _views(self) -> list[QtWidgets.QWidget]:
        return [] if self._layout_manager is None else list(self._layout_manager._widgets.values())

    def exit(self, code: int = 0) -> None:
        """Ends the event loop once the running script is done; the last code given counts."""
        self._exit_code = code
        super().exit(code)

    def _set_temporary(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)
        self._temporary = path

    temporaryPath = Property(str, lambda self: self._temporary, _set_temporary)
    slicerHome = Property(str, lambda self: self._home)
    cachePath = Property(str, lambda self: self._temporary)
    defaultScenePath = Property(str, lambda self: self._temporary)
    majorVersion = Property(int, lambda self: VERSION[0])
    minorVersion = Property(int, lambda self: VERSION[1])
    revision = Property(str, lambda self: "0")
    isInstalled = Property(bool, lambda self: True)
    documentationBaseUrl = Property(str, lambda self: f"https://slicer.readthedocs.io/en/v{VERSION[0]}.{VERSION[1]}/")
    os = Property(str, lambda self: "linux")


def private_settings(home: str) -> None:
    """Send every QSettings to a file of this run: the user's own are never read or written."""
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
        QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, os.path.join(home, "settings"))
    QtCore.QCoreApplication.setOrganizationName("TestHost")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    QtCore.QCoreApplication.setApplicationVersion(".".join(str(part) for part in VERSION))


def protect_singletons() -> None:
    """Keep None, True and False alive on Python 3.11.

    PySide6 6.12 gives back references to them that it never took (every emit, slot call and empty property): harmless
    from Python 3.12 on, where they are immortal, but before that the interpreter aborts after some ten thousand.
    """
    if sys.version_info < (3, 12):
        for singleton in (None, True, False):
            ctypes.c_ssize_t.from_address(id(singleton)).value += 1 << 40


def quiet_platform() -> None:
    """Drop the offscreen platform's remark on every shown window; all else that Qt says goes to standard error."""

    def handle(kind: QtCore.QtMsgType, context: QtCore.QMessageLogContext, text: str) -> None:
        if "propagateSizeHints" not in text:
            print(text, file=sys.stderr)

    QtCore.qInstallMessageHandler(handle)


def new_home() -> str:
    """A folder for this run; whoever made it removes it."""
    return tempfile.mkdtemp(prefix="slicer-host-")
