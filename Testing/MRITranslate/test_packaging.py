"""What CMake installs is what the module needs: its lists against the files, and a run of the real CMake files.

Slicer itself is not needed for that: a stand-in of its CMake package (SLICER) takes the lists that the extension hands
to Slicer's macro and copies the files as that macro's install rules do.
"""

import os
import re
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {".py", ".ui", ".png", ".json", ".txt", ".nrrd", ".safetensors", ".md"}
SLICER = """
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/Generate.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown arguments: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  set(_subdir "")
  if(MY_WITH_SUBDIR)
    get_filename_component(_subdir ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  endif()
  foreach(_file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${_file})
      message(FATAL_ERROR "${MY_NAME}: nonexistent file ${_file}")
    endif()
    configure_file(${_file} ${CMAKE_BINARY_DIR}/qt-scripted-modules/${_subdir}/${_file} COPYONLY)
  endforeach()
endmacro()
macro(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT" "" ${ARGN})
  file(APPEND ${CMAKE_BINARY_DIR}/unittests.txt "${MY_SCRIPT}\\n")
endmacro()
"""
GENERATE = 'file(WRITE ${CMAKE_BINARY_DIR}/facts.txt "${PROJECT_NAME}|${EXTENSION_CATEGORY}|${EXTENSION_DEPENDS}")\n'


def _files(folder: Path) -> set[str]:
    """Files below `folder` that an installation needs, without what Python leaves behind."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {
        path.relative_to(folder).as_posix()
        for path in found
        if (path.suffix in SUFFIXES or path.name == "LICENSE") and path.name != "CMakeLists.txt"
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of the extension, configured by CMake with the stand-in of Slicer."""
    if shutil.which("cmake") is None or shutil.which("cc") is None:
        pytest.skip("cmake and a C compiler are needed to configure the extension")
    slicer = tmp_path_factory.mktemp("slicer")
    (slicer / "SlicerConfig.cmake").write_text(SLICER)
    (slicer / "Nothing.cmake").write_text("")
    (slicer / "Generate.cmake").write_text(GENERATE)
    build = tmp_path_factory.mktemp("build")
    command = ["cmake", "-S", ROOT, "-B", build, f"-DSlicer_DIR={slicer}", "-DBUILD_TESTING=ON"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return build


def test_every_file_of_the_module_is_listed() -> None:
    text = (ROOT / "MRITranslate" / "CMakeLists.txt").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\s+((?:MRITranslatePanel|Resources)/\S+|MRITranslate\.py)$", text, re.MULTILINE))
    assert listed == _files(ROOT / "MRITranslate")
    assert "../" not in text


def test_installation_holds_the_module_and_the_whole_library(installed: Path) -> None:
    scripts = installed / "qt-scripted-modules"
    library = {f"MRITranslateLib/{name}" for name in _files(ROOT / "MRITranslateLib")}
    assert _files(scripts) == _files(ROOT / "MRITranslate") | library
    # Slicer's factory takes every Python file at the top for a module.
    assert [path.name for path in scripts.glob("*.py")] == ["MRITranslate.py"]


def test_installed_library_is_complete(installed: Path) -> None:
    """What the module imports in Slicer's process, and the worker, start from the installed files alone."""
    code = (
        "import MRITranslateLib.catalog, MRITranslateLib.service.volumes, MRITranslateLib.service.worker, sys;"
        "assert 'torch' not in sys.modules and 'pydantic' not in sys.modules; print(MRITranslateLib.__file__)"
    )
    scripts = installed / "qt-scripted-modules"
    environment = {**os.environ, "PYTHONPATH": str(scripts), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, encoding="utf-8", check=False, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(scripts)


def test_extension_facts(installed: Path) -> None:
    assert (installed / "facts.txt").read_text(encoding="utf-8") == "MRITranslate|Image Synthesis|PyTorch"
    assert (installed / "unittests.txt").read_text(encoding="utf-8").split() == ["MRITranslate.py"]


@pytest.mark.parametrize("path", [ROOT / "MRITranslate.png", ROOT / "MRITranslate/Resources/Icons/MRITranslate.png"])
def test_icons_are_128_pixels(path: Path) -> None:
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (128, 128)


def test_panel_has_a_tool_tip_for_every_widget_and_a_parameter_for_every_choice() -> None:
    roots = [ElementTree.parse(path).getroot() for path in sorted((ROOT / "MRITranslate/Resources/UI").glob("*.ui"))]
    widgets = [widget for root in roots for widget in root.iter("widget") if widget.get("class") != "qMRMLWidget"]
    names = [widget.get("name") for widget in widgets]
    assert len(set(names)) == len(names) > 50
    bare = [w.get("name") for w in widgets if w.find("property[@name='toolTip']") is None]
    assert bare == []
    properties = [p for root in roots for p in root.iter("property")]
    bound = {p.findtext("string") for p in properties if p.get("name") == "SlicerParameterName"}
    source = (ROOT / "MRITranslate/MRITranslatePanel/parameters.py").read_text(encoding="utf-8")
    parameters = source.partition("class MRITranslateParameterNode:")[2].partition("\nclass ")[0]
    declared = set(re.findall(r"^    (\w+): [\w\[]+", parameters, re.MULTILINE))
    # The models, their classes, the devices and segments are not known beforehand, so the panel binds those itself; and
    # the report, since the connector of a text box moves the cursor to the beginning at every letter.
    models = {
        "model",
        "device",
        "segment",
        "classifier",
        "className",
        "generator",
        "xrayModel",
        "xrayClassifier",
        "xrayClass",
    }
    assert bound == declared - models - {"report"}


def test_no_heavy_import_in_slicers_process() -> None:
    """Neither torch and its kin, nor Qt for Python, nor any sign of which application it runs in."""
    for path in (ROOT / "MRITranslate").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        imports = re.findall(r"^\s*(?:import|from)\s+([\w.]+)", text, re.MULTILINE)
        heavy = {
            name for name in imports if name.split(".")[0] in {"torch", "monai", "transformers", "PySide6", "Testing"}
        }
        assert heavy == set(), path
        light = {
            "MRITranslateLib",
            *(f"MRITranslateLib.{name}" for name in ("catalog", "errors", "modality", "service")),
        }
        assert {name for name in imports if name.startswith("MRITranslateLib")} <= light, path
