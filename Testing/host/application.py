"""Starting the host: scene, logics, `slicer.app`, modules, main window.

There is one application a process; starting it again only adds module paths.
"""

import atexit
import collections.abc
import importlib
import os
import pathlib
import shutil
import sys
import time
from typing import Any

# Qt reads it when the application is made; a test host never opens a window on somebody's screen.
os.environ["QT_QPA_PLATFORM"] = "offscreen"

import slicer

from . import pythonqt, signals


class Host:
    """The running host."""

    def __init__(self, native: Any, main_window: Any) -> None:
        self.native = native
        self.main_window = main_window
        self._closed = False

    @property
    def warnings(self) -> list[str]:
        """Connections to unknown signals or slots so far; a module's tests fail on any."""
        return signals.connect_warnings

    @property
    def slot_errors(self) -> list[BaseException]:
        """Exceptions that slots let out so far."""
        return signals.slot_errors

    def process_until(self, condition: collections.abc.Callable[[], Any], timeout: float = 30.0) -> bool:
        """Process events until the condition holds; False when the time (seconds) is over."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self.native.processEvents()
            time.sleep(0.005)
        return True

    def add_module_paths(self, paths: collections.abc.Iterable[str | os.PathLike[str]]) -> None:
        """Load the scripted modules of more folders."""
        for path in paths:
            self.native.moduleManager()._add_folder(pathlib.Path(path))

    def close(self) -> None:
        """Unload the modules and close the scene, as Slicer does at its end."""
        if self._closed:
            return
        self._closed = True
        manager = self.native.moduleManager()
        if self.main_window is not None:
            self.main_window._close_panel()
        manager._unload_all()
        if self.native.layoutManager() is not None:
            self.native.layoutManager()._close()
        self.native.processEvents()
        slicer.mrmlScene.Clear(False)


_running: Host | None = None


def start(
    module_paths: collections.abc.Iterable[str | os.PathLike[str]] = (),
    main_window: bool = True,
    testing: bool = True,
    arguments: collections.abc.Sequence[str] = (),
) -> Host:
    """The host of this process, started if there is none yet.

    module_paths: folders with scripted modules. main_window: False is Slicer's --no-main-window. testing: Slicer's
    --testing (message boxes are not shown). RuntimeError if it already runs with another kind of main window.
    """
    global _running
    if _running is None:
        _running = _start(main_window, list(arguments))
        atexit.register(_running.close)
        _running.native.commandOptions().testingEnabled = testing
        _running.add_module_paths(module_paths)
        if _running.main_window is not None:
            _running.main_window.show()
            _running.main_window.moduleSelector().selectModule("Welcome")
        _running.native.startupCompleted.emit()
        _running.native.processEvents()
        return _running
    if (_running.main_window is not None) != main_window:
        raise RuntimeError("the host of this process already runs with another kind of main window")
    _running.native.commandOptions().testingEnabled = testing
    _running.add_module_paths(module_paths)
    return _running


def _start(main_window: bool, arguments: list[str]) -> Host:
    from . import services

    services.protect_singletons()
    home = services.new_home()
    atexit.register(shutil.rmtree, home, True)
    services.private_settings(home)
    services.quiet_platform()
    _tidy_namespace()
    native = services.qSlicerApplication(["Slicer", *arguments], home)
    native.commandOptions().noMainWindow = not main_window
    _install_python_side(native)
    _make_scene(native)
    native._module_manager._add_built_in(native.applicationLogic())
    _add_sample_data(native)
    window = None
    if main_window:
        from .layout import qSlicerLayoutManager
        from .mainwindow import qSlicerMainWindow

        native._layout_manager = qSlicerLayoutManager(native.applicationLogic())
        window = qSlicerMainWindow(native.moduleManager(), native._layout_manager)
    return Host(native, window)


def _tidy_namespace() -> None:
    """slicer-core spills `slicer.util` into `slicer`; Slicer does not."""
    for name in slicer.util.__all__:
        if name in vars(slicer):
            delattr(slicer, name)


def _install_python_side(native: Any) -> None:
    """`qt`, `ctk`, `slicer.app`, `slicer.modules` and the Python packages of Slicer."""
    from . import modules, qtmodules

    qtmodules.install()
    slicer.app = pythonqt.wrap(native)
    slicer.modules = modules.ModuleNamespace()
    for name in ("qSlicerScriptedLoadableModule", "qSlicerScriptedLoadableModuleWidget"):
        setattr(slicer, name, pythonqt.class_for(getattr(modules, name)))
    native._module_manager = modules.qSlicerModuleManager()
    for name, source in (
        ("i18n", "i18n"),
        ("ScriptedLoadableModule", "scripted"),
        ("parameterNodeWrapper", "parameter_node"),
    ):
        module = importlib.import_module(f"{__package__}.{source}")
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    slicer.util.pip_install = _refuse_install
    slicer.util.pip_uninstall = _refuse_install


def _refuse_install(*requirements: Any, **options: Any) -> None:
    raise RuntimeError(f"the test host installs no Python packages ({requirements}): a test must not touch the network")


def _make_scene(native: Any) -> None:
    from . import resources, subjecthierarchy
    from .ioservice import qSlicerCoreIOManager

    share = pathlib.Path(native.slicerHome) / "share"
    resources.write_colour_tables(share / "ColorFiles")
    resources.write_display_presets(share / "Volumes")

    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetTemporaryPath(native.temporaryPath)
    logic.SetHomeDirectory(native.slicerHome)
    logic.SetShareDirectory("share")
    _give_file_access(scene, native.temporaryPath)
    colours = slicer.vtkSlicerColorLogic()
    colours.SetMRMLApplicationLogic(logic)
    colours.SetMRMLScene(scene)
    logic.SetMRMLScene(scene)
    logic.SetColorLogic(colours)
    logic.SetModuleLogic("Colors", colours)
    native._application_logic = logic
    native._io_manager = qSlicerCoreIOManager(logic)
    subjecthierarchy.observe(scene)


def _give_file_access(scene: Any, folder: str) -> None:
    """What the scene needs to unpack .mrb files: a data manager with a folder to do it in."""
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(folder)
    cache.SetMRMLScene(scene)
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def _add_sample_data(native: Any) -> None:
    from . import sampledata

    sys.modules["SampleData"] = sampledata
    native._module_manager._add_scripted(pathlib.Path(sampledata.__file__), "SampleData")
