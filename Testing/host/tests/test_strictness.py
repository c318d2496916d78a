"""What the host does not know raises: a test host more lenient than Slicer hides faults."""

import ctk
import pytest
import qt
import slicer

pytestmark = pytest.mark.usefixtures("host")


def ui(tmp_path, widget, extra="", custom="QWidget"):
    """A .ui file with one widget in a qMRMLWidget."""
    path = tmp_path / "panel.ui"
    path.write_text(
        f"""<?xml version="1.0" encoding="UTF-8"?><ui version="4.0"><class>P</class>
        <widget class="qMRMLWidget" name="P">
        <layout class="QVBoxLayout" name="l"><item>{widget}</item></layout></widget>
        <customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends></customwidget>
        <customwidget><class>{custom}</class><extends>QWidget</extends></customwidget></customwidgets>
        {extra}</ui>""",
        encoding="utf-8",
    )
    return str(path)


@pytest.mark.parametrize(
    "read",
    [
        lambda: qt.QPushButton().nonexistent,
        lambda: qt.QNoSuchClass,
        lambda: qt.QPushButton.nonexistent,
        lambda: ctk.ctkNoSuchWidget,
        lambda: ctk.ctkSliderWidget().setRange,  # no slot in ctk, so PythonQt does not show it
        lambda: slicer.qMRMLNoSuchWidget,
        lambda: slicer.app.noSuchMember,
        lambda: slicer.modules.nosuchmodule,
        lambda: qt.Qt.AlignmentFlag.AlignLeft,  # PythonQt has qt.Qt.AlignLeft only
        lambda: slicer.addVolumeFromArray,  # it is slicer.util's
        lambda: qt.QPushButton()._native_object_of_pyside,
    ],
)
def test_unknown_name_raises_on_reading(read):
    with pytest.raises(AttributeError):
        read()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: qt.QLabel(), "txt"),
        (lambda: ctk.ctkSliderWidget(), "maximumValue"),
        (lambda: slicer.qMRMLNodeComboBox(), "nodeType"),
        (lambda: slicer.app, "applicationTitel"),
        (lambda: qt.QLabel(), "setText"),
    ],
)
def test_unknown_name_raises_on_writing(make, name):
    with pytest.raises(AttributeError):
        setattr(make(), name, "x")


def test_read_only_property_and_wrong_type_raise():
    with pytest.raises(AttributeError):
        qt.QComboBox().count = 3
    with pytest.raises(AttributeError):
        qt.QSpinBox().value = "many"


def test_class_derived_in_python_may_have_attributes_and_overrides():
    class Filter(qt.QObject):
        def __init__(self):
            qt.QObject.__init__(self)
            self.seen = []

        def eventFilter(self, watched, event):
            self.seen.append(int(event.type()))
            return False

    watcher, button = Filter(), qt.QPushButton()
    button.installEventFilter(watcher)
    button.setEnabled(False)
    assert watcher.seen


def test_calls_that_fit_no_overload_raise_value_error():
    with pytest.raises(ValueError, match="overload"):
        qt.QSpinBox().setValue("many")
    with pytest.raises(ValueError, match="overload"):
        qt.QLabel().setText()
    with pytest.raises(ValueError, match="overload"):
        qt.QVBoxLayout().addWidget(None, None, None, None, None, None)
    with pytest.raises(ValueError, match="overload"):
        slicer.qMRMLNodeComboBox().setCurrentNode("vtkMRMLScalarVolumeNode1")


def test_keyword_arguments_are_refused_as_in_pythonqt():
    with pytest.raises(TypeError, match="keyword"):
        qt.QLabel(text="x")
    with pytest.raises(TypeError, match="keyword"):
        qt.QLabel().setText(text="x")


def test_class_wrappers_are_flat_as_in_pythonqt():
    assert not isinstance(qt.QPushButton(), qt.QWidget)
    assert type(qt.QPushButton()) is qt.QPushButton


@pytest.mark.parametrize("signal", ["clickedd()", "clicked", "clicked(int)", "checkStateChanged(Qt::CheckState)"])
def test_unknown_signal_is_false_and_collected(faults, signal, capsys):
    assert qt.QCheckBox().connect(signal, lambda: None) is False
    assert len(faults.warnings) == 1
    assert signal in faults.warnings[0]
    assert signal in capsys.readouterr().err


def test_known_signals_leave_no_warning(faults):
    assert qt.QCheckBox().connect("stateChanged(int)", lambda: None)
    assert slicer.qMRMLNodeComboBox().connect("currentNodeChanged(bool)", lambda: None)
    assert slicer.qMRMLNodeComboBox().connect("currentNodeChanged(vtkMRMLNode*)", lambda: None)
    assert qt.QProcess().connect("finished(int, QProcess::ExitStatus)", lambda: None)
    assert slicer.app.connect("aboutToQuit()", lambda: None)
    assert not faults.warnings


def test_disconnected_slots_are_not_called(host):
    calls = []
    button = qt.QPushButton()

    def slot():
        calls.append(1)

    button.connect("clicked()", slot)
    assert button.disconnect("clicked()", slot) is True
    assert button.disconnect("clicked()", slot) is False
    button.clicked.connect(slot)
    button.clicked.disconnect(slot)
    button.click()
    assert not calls


def test_error_in_a_slot_is_kept_and_the_next_slot_runs(faults, capsys):
    calls = []
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.connect("clicked()", lambda: calls.append("next"))
    button.click()
    assert calls == ["next"]
    assert [type(error) for error in faults.slot_errors] == [ZeroDivisionError]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_ui_file_with_an_unknown_widget_class_raises(tmp_path):
    path = ui(tmp_path, '<widget class="qMRMLFancyWidget" name="f"/>', custom="qMRMLFancyWidget")
    with pytest.raises(RuntimeError, match="qMRMLFancyWidget"):
        slicer.util.loadUI(path)


def test_ui_file_with_an_unknown_property_raises(tmp_path):
    widget = '<widget class="{}" name="w"><property name="colour"><string>red</string></property></widget>'
    with pytest.raises(AttributeError, match="colour"):
        slicer.util.loadUI(ui(tmp_path, widget.format("ctkSliderWidget"), custom="ctkSliderWidget"))
    with pytest.raises(AttributeError, match="colour"):
        slicer.util.loadUI(ui(tmp_path, widget.format("QLabel")))


def test_ui_connection_to_an_unknown_slot_is_collected(faults, tmp_path):
    connection = (
        "<connections><connection><sender>P</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>"
        "<receiver>w</receiver><slot>setScene(vtkMRMLScene*)</slot></connection></connections>"
    )
    slicer.util.loadUI(ui(tmp_path, '<widget class="QLabel" name="w"/>', connection))
    assert len(faults.warnings) == 1
    assert "setScene" in faults.warnings[0]


def test_modal_dialogs_raise_instead_of_waiting_for_nobody():
    with pytest.raises(RuntimeError, match="modal"):
        qt.QMessageBox().exec_()


def test_packages_are_not_installed():
    with pytest.raises(RuntimeError, match="network"):
        slicer.util.pip_install("torch")


def test_what_is_newer_than_slicer_5_8_is_not_here():
    with pytest.raises(ImportError):
        import slicer.packaging  # noqa: F401
    with pytest.raises(ImportError):
        from slicer.parameterNodeWrapper import SomethingNew  # noqa: F401


def test_settings_are_private(host):
    qt.QSettings().setValue("host/test", 5)
    assert qt.QSettings().fileName().startswith(slicer.app.slicerHome)
    assert slicer.app.settings().value("host/test") in (5, "5")


def test_dialog_that_closes_itself_is_shown(host):
    slicer.util.delayDisplay("a moment", 450)


def test_dialog_that_nobody_closes_raises(host, monkeypatch):
    from Testing.host import dialogs

    monkeypatch.setattr(dialogs, "LIMIT_MS", 50)
    with pytest.raises(RuntimeError, match="not closed"):
        qt.QDialog().exec_()
    with pytest.raises(RuntimeError, match="nobody"):
        qt.QMessageBox.question(None, "Title", "Really?")


def test_many_signals_do_not_wear_out_the_interpreter(host):
    button = qt.QPushButton()
    calls = []
    button.connect("clicked(bool)", lambda checked: calls.append(checked))
    for _ in range(20000):
        button.click()
    assert len(calls) == 20000
