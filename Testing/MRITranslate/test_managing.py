"""The section of the models: looked at, checked, added, downloaded and removed by clicks, and by a script."""

import os
import shutil
import sys
import time

import pytest

from MRITranslateLib.errors import Cancelled, InputError
from Testing.MRITranslateLib.packages import tiny_package
from Testing.MRITranslateLib.webserver import serving, zipped

from .conftest import TINY_T2, click_and_wait, wait
from .test_panel import start_slow_run

NEW = "new_t2"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / NEW, name=NEW, title="New T1 to T2")


@pytest.fixture(scope="module")
def archive(package, tmp_path_factory):
    return zipped(package, tmp_path_factory.mktemp("archives") / f"{NEW}.zip")


@pytest.fixture
def site(archive):
    with serving() as site:
        yield site


@pytest.fixture
def managed(panel, models_folder):
    """The panel with its section of models open; the new model and what was left of it are gone afterwards."""
    panel.ui.modelsSection.collapsed = False
    yield panel
    panel.logic.cancelAll()
    wait(lambda: not panel.logic.running)
    for name in (NEW, ".download"):
        shutil.rmtree(models_folder / name, ignore_errors=True)
    panel.ui.addPathEdit.currentPath = panel.ui.catalogueEdit.text = ""
    panel.enter()


def section(panel):
    (found,) = (part for part in panel._sections if type(part).__name__ == "ModelsSection")
    return found


def rows(panel):
    """The texts and the tool tip of each model of the list, by its title."""
    listed = panel.ui.modelsList
    items = [listed.topLevelItem(place) for place in range(listed.topLevelItemCount)]
    return {item.text(0): ([item.text(column) for column in range(1, 6)], item.toolTip(0)) for item in items}


def offered(panel):
    return [panel.ui.modelCombo.itemData(place) for place in range(panel.ui.modelCombo.count)]


def add(panel, path):
    panel.ui.addPathEdit.currentPath = str(path)
    click_and_wait(panel, panel.ui.addModelButton)


def ask(panel, site, archive):
    """The catalogue of a server that offers the archive is shown."""
    panel.ui.catalogueEdit.text = site.offer(archive, title="New T1 to T2")
    click_and_wait(panel, panel.ui.catalogueButton)


def answer(monkeypatch, yes):
    """What the person says when asked; the questions."""
    import slicer

    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_: asked.append(text) or yes)
    return asked


def test_all_models_are_listed_with_their_facts(managed, models_folder):
    (models_folder / "broken_one").mkdir()
    try:
        managed.enter()
        found = rows(managed)
        texts, tip = found["Tiny T1 to T2"]
        assert texts[0] == "T1 → T2"
        assert texts[1].endswith("kB")
        assert texts[2:] == ["psnr 23.46 (phantom)", "Apache-2.0", "own"]
        assert TINY_T2 in tip
        assert any(texts[4] == "built-in" for texts, _ in found.values())
        texts, tip = found["broken_one (not usable)"]
        assert "no model.json" in tip
        section(managed).select("broken_one")
        assert "Not usable: " in managed.ui.managedCardText.plainText
        assert managed.ui.removeButton.enabled
        section(managed).select(TINY_T2)
        assert "Its weights are random." in managed.ui.managedCardText.plainText
        section(managed).select("t1_to_t2")
        assert not managed.ui.removeButton.enabled
        assert "stays" in managed.ui.removeButton.toolTip
        assert str(models_folder) in managed.ui.weightsLabel.text
    finally:
        (models_folder / "broken_one").rmdir()


def test_the_list_does_not_widen_the_panel(managed):
    assert managed.parent.minimumSizeHint.width() <= 350


def test_add_verify_remove(managed, archive, monkeypatch):
    assert not managed.ui.addModelButton.enabled
    before = managed.ui.weightsLabel.text
    add(managed, archive)
    assert managed.ui.statusLabel.text == f"Added {NEW}."
    assert NEW in offered(managed)  # in the section for translations
    assert managed.ui.weightsLabel.text != before
    assert "New T1 to T2" in managed.ui.managedCardText.plainText  # it is selected
    click_and_wait(managed, managed.ui.verifyButton)
    assert managed.ui.statusLabel.text == f"{NEW} is complete and unaltered."
    add(managed, archive)
    assert "exists already" in managed.ui.statusLabel.text
    managed.ui.removeButton.click()  # in testing mode the answer is no
    assert not managed.logic.running
    assert NEW in offered(managed)
    asked = answer(monkeypatch, yes=True)
    click_and_wait(managed, managed.ui.removeButton)
    assert "New T1 to T2" in asked[0]
    assert managed.ui.statusLabel.text == f"Removed {NEW}."
    assert NEW not in offered(managed)
    assert "New T1 to T2" not in rows(managed)
    assert managed.ui.weightsLabel.text == before


def test_the_chosen_model_is_removed(managed, package, monkeypatch):
    add(managed, package / "model.json")
    managed.ui.modelCombo.currentIndex = managed.ui.modelCombo.findData(NEW)
    assert managed.logic.getParameterNode().model == NEW
    answer(monkeypatch, yes=True)
    click_and_wait(managed, managed.ui.removeButton)
    assert managed.logic.getParameterNode().model == managed.ui.modelCombo.currentData != NEW


def test_what_cannot_be_added_says_why_and_leaves_nothing(managed, models_folder, tmp_path):
    before = sorted(models_folder.iterdir())
    (tmp_path / "page.zip").write_text("<html>")
    for path, words in ((tmp_path / "page.zip", "not a complete .zip"), (tmp_path / "missing", "There is no")):
        add(managed, path)
        assert words in managed.ui.statusLabel.text
    assert sorted(models_folder.iterdir()) == before


def test_verify_all_finds_the_damaged_one(managed, package, models_folder):
    add(managed, package)
    weights = models_folder / NEW / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    click_and_wait(managed, managed.ui.verifyAllButton)
    assert "1 of " in managed.ui.statusLabel.text
    assert "SHA-256" in managed.ui.statusLabel.text
    _, tip = rows(managed)["New T1 to T2 (not usable)"]
    assert "SHA-256" in tip
    assert "SHA-256" in managed.ui.managedCardText.plainText
    shutil.copyfile(package / "weights.safetensors", weights)
    section(managed).select(NEW)
    click_and_wait(managed, managed.ui.verifyButton)
    assert "complete and unaltered" in managed.ui.statusLabel.text
    assert "New T1 to T2" in rows(managed)


def test_download_with_progress_cancel_and_resume(managed, site, archive, models_folder):
    import qt

    assert not managed.ui.downloadButton.enabled
    assert "Fetch a catalogue" in managed.ui.downloadButton.toolTip
    assert site.requests == []
    ask(managed, site, archive)
    assert managed.ui.statusLabel.text == "The catalogue offers 1 model."
    assert managed.ui.offerCombo.currentText == "New T1 to T2"
    assert "Apache-2.0" in managed.ui.offerText.text
    assert [path for path, _ in site.requests] == ["/catalogue.json"]
    page = site.pages[f"/{NEW}.zip"]
    page.pause_s = 0.3
    gaps, last = [], [time.monotonic()]

    def tick():
        gaps.append(time.monotonic() - last[0])
        last[0] = time.monotonic()

    timer = qt.QTimer()
    timer.setInterval(10)
    timer.connect("timeout()", tick)
    timer.start()
    managed.ui.downloadButton.click()
    wait(lambda: "Downloading" in managed.ui.stageLabel.text and managed.ui.progressBar.value > 20)
    managed.ui.cancelButton.click()
    asked = time.monotonic()
    wait(lambda: not managed.logic.running)
    assert time.monotonic() - asked < 1.0
    timer.stop()
    assert max(gaps) < 0.5
    assert "cancelled" in managed.ui.statusLabel.text
    (part,) = (models_folder / ".download").glob("*.part")
    kept = part.stat().st_size
    assert 0 < kept < archive.stat().st_size
    page.pause_s = 0.0
    click_and_wait(managed, managed.ui.downloadButton)
    assert managed.ui.statusLabel.text == f"Added {NEW}."
    assert site.asked(f"/{NEW}.zip")[-1]["range"] == f"bytes={kept}-"
    assert NEW in offered(managed)
    assert not (models_folder / ".download").exists()
    assert not managed.ui.downloadButton.enabled
    assert "installed already" in managed.ui.downloadButton.toolTip


def test_a_download_that_fails_says_why(managed, site, archive, models_folder):
    ask(managed, site, archive)
    page = site.pages[f"/{NEW}.zip"]
    sound = page.body
    page.body = bytes(len(sound))
    click_and_wait(managed, managed.ui.downloadButton)
    assert "SHA-256" in managed.ui.statusLabel.text
    page.body, page.breaks_after = sound, 10_000
    click_and_wait(managed, managed.ui.downloadButton)
    assert "are kept" in managed.ui.statusLabel.text
    page.status = 404
    click_and_wait(managed, managed.ui.downloadButton)
    assert "404" in managed.ui.statusLabel.text
    assert NEW not in offered(managed)
    managed.ui.catalogueEdit.text = f"{site.address}/nothing.json"
    click_and_wait(managed, managed.ui.catalogueButton)
    assert "nothing at" in managed.ui.statusLabel.text
    managed.ui.catalogueEdit.text = "http://example.org/catalogue.json"
    click_and_wait(managed, managed.ui.catalogueButton)
    assert "https://" in managed.ui.statusLabel.text


def test_closing_the_scene_stops_no_download(managed, site, archive):
    import slicer

    ask(managed, site, archive)
    site.pages[f"/{NEW}.zip"].pause_s = 0.1
    managed.ui.downloadButton.click()
    wait(lambda: "Downloading" in managed.ui.stageLabel.text)
    slicer.mrmlScene.Clear()
    wait(lambda: not managed.logic.running)
    assert managed.ui.statusLabel.text == f"Added {NEW}."


def test_a_download_that_waits_outlives_the_scene(slow_model, managed, site, archive):
    """Behind a translation that ends with its scene, and before one that does too."""
    ask(managed, site, archive)
    start_slow_run(managed)
    managed.ui.downloadButton.click()
    managed.ui.runButton.click()
    assert len(managed.logic.waiting) == 2
    import slicer

    slicer.mrmlScene.Clear()
    wait(lambda: not managed.logic.running)
    assert managed.ui.statusLabel.text == f"Added {NEW}."
    assert NEW in offered(managed)


def test_leaving_the_module_stops_no_download(managed, site, archive):
    import slicer

    ask(managed, site, archive)
    site.pages[f"/{NEW}.zip"].pause_s = 0.1
    managed.ui.downloadButton.click()
    slicer.util.selectModule("SampleData")
    wait(lambda: not managed.logic.running)
    assert managed._parameterNode is None
    slicer.util.selectModule("MRITranslate")
    assert NEW in offered(managed)


def test_a_folder_without_write_permission(managed, archive, monkeypatch):
    """Not even an administrator may make folders there."""
    if not os.path.isdir("/sys/kernel"):
        pytest.skip("there is no /sys on this system")
    worker = sys.modules["MRITranslatePanel.worker"].sharedWorker()
    worker.stop()
    monkeypatch.setenv("MRITRANSLATE_MODELS", "/sys/kernel/mritranslate")
    try:
        add(managed, archive)
        assert "cannot be written" in managed.ui.statusLabel.text
        assert "/sys/kernel/mritranslate" in managed.ui.weightsLabel.text
        managed.ui.openFolderButton.click()  # says so, and opens nothing
    finally:
        monkeypatch.undo()
        worker.stop()


def test_the_address_of_the_catalogue_is_remembered(managed, monkeypatch):
    import qt
    import slicer

    managing = sys.modules["MRITranslatePanel.managing"]
    managed.ui.catalogueEdit.text = "https://example.org/c.json"
    managed.ui.catalogueEdit.editingFinished()  # emits it
    assert qt.QSettings().value(managing.SETTING) == "https://example.org/c.json"
    again = slicer.util.childWidgetVariables(slicer.util.loadUI(managed.resourcePath("UI/Models.ui")))
    managing.ModelsSection(again, None, None)
    assert again.catalogueEdit.text == "https://example.org/c.json"
    qt.QSettings().remove(managing.SETTING)
    monkeypatch.setenv("MRITRANSLATE_CATALOGUE", "https://example.org/ours.json")
    managing.ModelsSection(again, None, None)
    assert again.catalogueEdit.text == "https://example.org/ours.json"


def test_the_folder_is_opened(managed, models_folder):
    from PySide6 import QtCore, QtGui

    class Opener(QtCore.QObject):
        opened = ()

        @QtCore.Slot(QtCore.QUrl)
        def take(self, url):
            self.opened = (url.toLocalFile(),)

    opener = Opener()
    QtGui.QDesktopServices.setUrlHandler("file", opener, "take")
    try:
        managed.ui.openFolderButton.click()
    finally:
        QtGui.QDesktopServices.unsetUrlHandler("file")
    assert opener.opened == (str(models_folder),)


def test_removing_needs_no_packages(managed, package, models_folder, monkeypatch):
    """In a Slicer where nothing was installed yet, nobody is asked to install torch to remove a folder."""
    shutil.copytree(package, models_folder / NEW)
    dependencies = sys.modules["MRITranslatePanel.dependencies"]

    def refuse():
        raise InputError("Install torch first.")

    monkeypatch.setattr(dependencies, "check", refuse)
    with pytest.raises(InputError, match="torch"):
        managed.logic.verifyModels(NEW)
    managed.logic.removeModel(NEW)
    assert not (models_folder / NEW).exists()


def test_as_a_script_does(managed, logic, site, archive, package, models_folder):
    for source in (archive, package):
        assert logic.addModel(source) == NEW
        (found,) = logic.verifyModels(NEW)
        assert found == (NEW, True, f"{NEW} 1.0.0 is complete and unaltered.")
        logic.removeModel(NEW)
        assert not (models_folder / NEW).exists()
    address = site.offer(archive)
    assert logic.downloadModel(NEW, address) == NEW
    assert logic.verifyModels(NEW)[0].ok
    with pytest.raises(InputError, match=f"it offers {NEW}"):
        logic.downloadModel("newer_t2", address)
    with pytest.raises(InputError, match="address"):
        logic.downloadModel(NEW)
    with pytest.raises(InputError, match="stays"):
        logic.removeModel("t1_to_t2")


def test_cancelling_a_script_leaves_what_has_arrived(managed, logic, site, archive, models_folder):
    import qt

    address = site.offer(archive)
    site.pages[f"/{NEW}.zip"].pause_s = 0.2
    qt.QTimer.singleShot(500, logic.cancel)
    with pytest.raises(Cancelled):
        logic.downloadModel(NEW, address)
    assert list((models_folder / ".download").glob("*.part"))
