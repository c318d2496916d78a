"""Parameters in the scene and in widgets: types, ranges, the exact-class rule of the connectors."""

import enum
import pathlib
from typing import Annotated, Any, Optional, Union

import ctk
import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import (
    Choice,
    Decimals,
    Default,
    FloatRange,
    Maximum,
    Minimum,
    RangeBounds,
    SingleStep,
    Validator,
    WithinRange,
    parameterNodeWrapper,
)

Volume = slicer.vtkMRMLScalarVolumeNode


class Colour(enum.Enum):
    RED = 1
    BLUE = 2

    def label(self):
        return self.name.title()


class Even(Validator):
    def validate(self, value):
        if value % 2:
            raise ValueError("odd")


@parameterNodeWrapper
class Parameters:
    volume: Optional[Volume]  # noqa: UP045 - Slicer 5.8 stores no `Volume | None`
    region: Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    opacity: Annotated[float, WithinRange(0, 1), Decimals(1), SingleStep(0.1)] = 0.5
    size: Annotated[int, Minimum(2), Maximum(64), Even()] = 8
    colour: Colour
    path: pathlib.Path
    pair: tuple[int, str]
    names: list[str]
    window: Annotated[FloatRange, RangeBounds(-10, 10)] = FloatRange(-1, 1)
    text: Annotated[str, Default("hello")]
    method: Annotated[str, Choice(["a", "b"])] = "a"
    flag: bool = False


@pytest.fixture
def node(scene):
    return scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


@pytest.fixture
def parameters(node):
    return Parameters(node)


def test_defaults(parameters):
    assert parameters.volume is None
    assert parameters.region is None
    assert parameters.colour is Colour.RED
    assert parameters.pair == (0, "")
    assert list(parameters.names) == []
    assert parameters.window == FloatRange(-1, 1)
    assert parameters.text == "hello"
    assert parameters.path == pathlib.Path()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("opacity", 1.1, ValueError),
        ("opacity", "0.5", TypeError),
        ("opacity", None, ValueError),
        ("size", 65, ValueError),
        ("size", 3, ValueError),
        ("size", 4.0, TypeError),
        ("colour", "RED", TypeError),
        ("path", "a/b", TypeError),
        ("pair", (1,), ValueError),
        ("names", [1], TypeError),
        ("window", FloatRange(-11, 0), ValueError),
        ("method", "c", ValueError),
        ("flag", 1, TypeError),
        ("region", 3, TypeError),
    ],
)
def test_wrong_values_are_refused_and_change_nothing(parameters, name, value, error):
    before = getattr(parameters, name)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_values_are_seen_by_a_second_wrapper(scene, node, parameters):
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    parameters.region, parameters.pair, parameters.names = segmentation, (3, "x"), ["p", "q"]
    parameters.names.append("r")
    parameters.path, parameters.colour = pathlib.Path("a/b"), Colour.BLUE
    second = Parameters(node)
    assert second.region is segmentation
    assert (second.pair, list(second.names), second.path) == ((3, "x"), ["p", "q", "r"], pathlib.Path("a/b"))
    assert second.colour is Colour.BLUE
    scene.RemoveNode(segmentation)
    assert second.region is None


@pytest.mark.parametrize("annotation", [Any, "Volume | None", dict, object])
def test_types_that_slicer_5_8_or_the_host_cannot_store_are_refused(annotation):
    with pytest.raises(Exception, match="Unable to create serializer"):
        parameterNodeWrapper(type("Bad", (), {"__annotations__": {"value": annotation}, "__module__": __name__}))


def connect(parameters, name, widget):
    return parameters.connectParametersToGui({name: widget})


def test_widgets_take_ranges_and_follow_both_ways(host, parameters):
    slider, spin, combo = ctk.ctkSliderWidget(), qt.QSpinBox(), qt.QComboBox()
    tag = parameters.connectParametersToGui({"opacity": slider, "size": spin, "colour": combo})
    assert (slider.minimum, slider.maximum, slider.decimals, slider.singleStep) == (0.0, 1.0, 1, 0.1)
    assert (spin.minimum, spin.maximum) == (2, 64)
    assert [combo.itemText(row) for row in range(combo.count)] == ["Red", "Blue"]
    slider.value, combo.currentIndex = 0.7, 1
    assert parameters.opacity == pytest.approx(0.7)
    assert parameters.colour is Colour.BLUE
    parameters.size = 16
    assert spin.value == 16
    parameters.disconnectGui(tag)
    parameters.size = 20
    assert spin.value == 16
    spin.value = 4
    assert parameters.size == 20


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("opacity", lambda: qt.QSlider()),
        ("opacity", lambda: qt.QSpinBox()),
        ("size", lambda: ctk.ctkSliderWidget()),  # from 5.10 only
        ("size", lambda: qt.QDoubleSpinBox()),
        ("text", lambda: qt.QPlainTextEdit()),
        ("text", lambda: qt.QComboBox()),  # a choice is needed
        ("path", lambda: qt.QLineEdit()),
        ("flag", lambda: qt.QToolButton()),
        ("volume", lambda: qt.QComboBox()),
        ("window", lambda: ctk.ctkSliderWidget()),
        ("pair", lambda: qt.QLineEdit()),
    ],
)
def test_widgets_that_slicer_cannot_connect_raise(host, parameters, name, make):
    with pytest.raises(RuntimeError):
        connect(parameters, name, make())


def test_subclass_of_a_known_widget_is_not_the_widget(host, parameters):
    class MySpinBox(qt.QSpinBox):
        pass

    with pytest.raises(RuntimeError):
        connect(parameters, "size", MySpinBox())


def test_unbounded_float_has_no_slider(host, node):
    @parameterNodeWrapper
    class Unbounded:
        value: float

    with pytest.raises(RuntimeError, match="unbounded"):
        connect(Unbounded(node), "value", ctk.ctkSliderWidget())
    connect(Unbounded(node), "value", ctk.ctkDoubleSpinBox())


@pytest.mark.parametrize(
    ("name", "make", "read"),
    [
        ("text", lambda: qt.QLineEdit(), lambda widget: widget.text),
        ("text", lambda: qt.QLabel(), lambda widget: widget.text),
        ("text", lambda: qt.QTextEdit(), lambda widget: widget.plainText),
        ("path", lambda: ctk.ctkPathLineEdit(), lambda widget: widget.currentPath),
        ("flag", lambda: ctk.ctkCheckBox(), lambda widget: widget.checked),
        ("flag", lambda: qt.QPushButton(), lambda widget: widget.checked),
        ("opacity", lambda: qt.QDoubleSpinBox(), lambda widget: widget.value),
        ("size", lambda: qt.QSlider(), lambda widget: widget.value),
        ("method", lambda: ctk.ctkComboBox(), lambda widget: widget.currentText),
        ("window", lambda: ctk.ctkRangeWidget(), lambda widget: FloatRange(widget.minimumValue, widget.maximumValue)),
    ],
)
def test_known_pairs_connect(host, parameters, name, make, read):
    widget = make()
    connect(parameters, name, widget)
    shown = read(widget)
    value = getattr(parameters, name)
    assert shown == (str(value) if isinstance(value, pathlib.Path) else value)


def test_node_selector_gets_the_types_and_the_node(scene, parameters):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "V")
    combo = slicer.qMRMLNodeComboBox()
    combo.noneEnabled = True
    combo.setMRMLScene(scene)
    connect(parameters, "volume", combo)
    assert combo.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    combo.setCurrentNode(volume)
    assert parameters.volume is volume
    scene.RemoveNode(volume)
    assert parameters.volume is None


def test_unknown_parameter_name_of_a_widget_raises(host, parameters):
    with pytest.raises(ValueError, match="Cannot find"):
        connect(parameters, "opactiy", ctk.ctkSliderWidget())
