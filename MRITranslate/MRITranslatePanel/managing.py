"""The section of the panel that shows which models there are, checks them, and adds and removes them."""

from __future__ import annotations

import os

import qt
import slicer
from slicer.i18n import tr as _

from MRITranslateLib import catalog
from MRITranslateLib.errors import PackageError

from .modeljobs import AddModelJob, CatalogueJob, DownloadJob, RemoveModelJob, VerifyJob
from .sections import allow, fillCombo, refusal

SETTING = "MRITranslate/CatalogueURL"
TITLE_WIDTH = 150


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1e6:
        return _("{number} kB").format(number=round(count / 1e3))
    if count < 1e9:
        return _("{number} MB").format(number=f"{count / 1e6:.1f}")
    return _("{number} GB").format(number=f"{count / 1e9:.2f}")


def _way(source: str, target: str) -> str:
    """From which contrast to which; where a model has only one of them, that."""
    return " → ".join(name for name in (source, target) if name)


class ModelsSection:
    """Lists the models, and starts the jobs of its buttons.

    `start(makeJob, title, whenDone)` runs a job; `whenDone(job, outcome)` shows the outcome and returns a sentence for
    people. `onChanged()` is called when there are other models than before.
    """

    def __init__(self, ui, start, onChanged) -> None:
        self._ui = ui
        self._start = start
        self._onChanged = onChanged
        self._models = []
        self._found = {}  # what was wrong when a model was checked, by its name
        self._entries = []
        self._seen = None
        ui.catalogueEdit.text = qt.QSettings().value(SETTING) or catalog.default_catalogue()
        ui.modelsList.connect("itemSelectionChanged()", self._onSelected)
        ui.addPathEdit.connect("currentPathChanged(QString)", lambda path: self.update())
        ui.catalogueEdit.connect("textChanged(QString)", lambda text: self.update())
        ui.catalogueEdit.connect("editingFinished()", self._remember)
        ui.catalogueEdit.connect("returnPressed()", lambda: ui.catalogueButton.click())
        ui.offerCombo.connect("currentIndexChanged(int)", lambda index: self.update())
        ui.verifyButton.connect("clicked(bool)", self._onVerify)
        ui.verifyAllButton.connect("clicked(bool)", self._onVerifyAll)
        ui.removeButton.connect("clicked(bool)", self._onRemove)
        ui.addModelButton.connect("clicked(bool)", self._onAdd)
        ui.catalogueButton.connect("clicked(bool)", self._onCatalogue)
        ui.downloadButton.connect("clicked(bool)", self._onDownload)
        ui.openFolderButton.connect("clicked(bool)", self._onOpenFolder)

    def refresh(self) -> None:
        """Look which models there are, and what they take."""
        self._seen = _traces()
        models = catalog.list_models()
        if models != self._models:
            self._models = models
            names = [model.name for model in models]
            self._found = {name: problem for name, problem in self._found.items() if name in names}
            self._fill()
        self._ui.weightsLabel.text = _(
            "Your models are kept in {folder} and take {own}; those that came with MRITranslate take {builtIn}."
        ).format(
            folder=catalog.models_folder(),
            own=size(catalog.disk_usage()),
            builtIn=size(sum(model.bytes for model in models if model.built_in)),
        )
        self.update()

    def show(self, parameters) -> None:
        """Nothing here belongs to a scene."""

    def update(self) -> None:
        """Enable what can be done; a disabled button says in its tool tip why."""
        if self._seen != _traces():  # a download ended before it was complete, or another program was here
            self.refresh()
            return
        ui, model = self._ui, self._selected
        nothing = "" if model is not None else _("Select a model in the list.")
        allow(ui.verifyButton, nothing, _("Check the selected model completely: hashes, tensors, values, licence."))
        allow(ui.verifyAllButton, "", _("Check all models completely."))
        stays = _("This model came with MRITranslate and stays.") if model is not None and model.built_in else ""
        allow(ui.removeButton, nothing or stays, _("Delete the selected model from this computer."))
        allow(
            ui.addModelButton,
            refusal(lambda: AddModelJob(self._path)),
            _("Check this package and copy it into your folder of models."),
        )
        allow(
            ui.catalogueButton,
            refusal(lambda: CatalogueJob(self._address)),
            _(
                "Fetch the catalogue from its server. The server learns your network address, as of any download, and "
                "nothing else."
            ),
        )
        allow(ui.openFolderButton, "", _("Show your folder of models in the file manager."))
        self._showOffer()

    # The list

    @property
    def _selected(self):
        """The model that is selected, None if none is."""
        items = self._ui.modelsList.selectedItems()
        return self._models[self._ui.modelsList.indexOfTopLevelItem(items[0])] if items else None

    def select(self, name: str) -> None:
        """Select a model of the list; an unknown name selects nothing."""
        for place, model in enumerate(self._models):
            if model.name == name:
                self._ui.modelsList.setCurrentItem(self._ui.modelsList.topLevelItem(place))

    def _fill(self) -> None:
        selected = [self._ui.modelsList.indexOfTopLevelItem(item) for item in self._ui.modelsList.selectedItems()]
        self._ui.modelsList.blockSignals(True)
        self._ui.modelsList.clear()
        for model in self._models:
            problem = model.broken or self._found.get(model.name, "")
            title = _("{title} (not usable)").format(title=model.title) if problem else model.title
            origin = _("built-in") if model.built_in else _("own")
            texts = [title, _way(model.source, model.target), size(model.bytes), model.score, model.licence, origin]
            item = qt.QTreeWidgetItem(texts)
            for column, text in enumerate(texts):
                item.setToolTip(column, problem or f"{model.name} {model.version}: {model.about}\n{text}")
            self._ui.modelsList.addTopLevelItem(item)
        self._ui.modelsList.setColumnWidth(0, TITLE_WIDTH)
        for column in range(1, self._ui.modelsList.columnCount):
            self._ui.modelsList.resizeColumnToContents(column)
        self._ui.modelsList.blockSignals(False)
        if self._models:
            place = min(selected[0], len(self._models) - 1) if selected else 0
            self._ui.modelsList.setCurrentItem(self._ui.modelsList.topLevelItem(place))
        self._showCard()

    def _onSelected(self) -> None:
        self._showCard()
        self.update()

    def _showCard(self) -> None:
        model, texts = self._selected, []
        if model is not None:
            problem = model.broken or self._found.get(model.name, "")
            texts += [_("Not usable: {reason}").format(reason=problem)] if problem else []
            try:
                texts.append(catalog.card_text(model.folder))
            except PackageError as error:
                texts += [] if problem else [str(error)]
        self._ui.managedCardText.setPlainText("\n\n".join(texts))

    def _onVerify(self) -> None:
        name = self._selected.name
        self._start(lambda: VerifyJob(name), _("Checking a model"), self._onVerified)

    def _onVerifyAll(self) -> None:
        self._start(VerifyJob, _("Checking the models"), self._onVerified)

    def _onVerified(self, job, answers) -> str:
        for answer in answers:
            self._found.pop(answer.name, None)
        bad = [answer for answer in answers if not answer.ok]
        self._found.update({answer.name: answer.sentence for answer in bad})
        self._fill()
        if bad:
            sentences = " ".join(answer.sentence for answer in bad)
            return _("{bad} of {all} models cannot be used. {sentences}").format(
                bad=len(bad), all=len(answers), sentences=sentences
            )
        if len(answers) == 1:
            return _("{name} is complete and unaltered.").format(name=answers[0].name)
        return _("All {count} models are complete and unaltered.").format(count=len(answers))

    def _onRemove(self) -> None:
        model = self._selected
        question = _('Delete the model "{title}" ({size}) from this computer?').format(
            title=model.title, size=size(model.bytes)
        )
        if slicer.util.confirmOkCancelDisplay(question, _("Remove a model")):
            self._start(lambda: RemoveModelJob(model.name), _("Removing a model"), self._onRemoved)

    def _onRemoved(self, job, name: str) -> str:
        self._changed(name)
        return _("Removed {name}.").format(name=name)

    def _changed(self, name: str) -> None:
        self._models = []  # as good as unknown
        self._found.pop(name, None)
        self.refresh()
        self._onChanged()

    # Adding

    @property
    def _path(self) -> str:
        return self._ui.addPathEdit.currentPath.strip()

    @property
    def _address(self) -> str:
        return self._ui.catalogueEdit.text.strip()

    def _onAdd(self) -> None:
        path = self._path
        self._start(lambda: AddModelJob(path), _("Adding a model"), self._onAdded)

    def _onAdded(self, job, name: str) -> str:
        self._changed(name)
        self.select(name)
        return _("Added {name}.").format(name=name)

    def _remember(self) -> None:
        qt.QSettings().setValue(SETTING, self._address)

    def _onCatalogue(self) -> None:
        self._remember()
        address = self._address
        self._start(lambda: CatalogueJob(address), _("Fetching the catalogue"), self._onOffered)

    def _onOffered(self, job, entries: list) -> str:
        self._entries = entries
        fillCombo(self._ui.offerCombo, [(entry["title"], entry["name"]) for entry in entries])
        self.update()
        if len(entries) == 1:
            return _("The catalogue offers 1 model.")
        return _("The catalogue offers {count} models.").format(count=len(entries))

    @property
    def _offer(self):
        """The entry that is chosen, None if none is."""
        place = self._ui.offerCombo.currentIndex
        return self._entries[place] if 0 <= place < len(self._entries) else None

    def _showOffer(self) -> None:
        offer, reason, text = self._offer, "", ""
        if offer is None:
            reason = _("Fetch a catalogue and choose one of its models.")
        else:
            text = _("{way}, version {version}, {size}. Licence of the weights: {licence}").format(
                way=_way(offer["source"], offer["target"]),
                version=offer["version"],
                size=size(offer["bytes"]),
                licence=offer["licence"],
            )
            if any(model.name == offer["name"] for model in self._models):
                reason = _('A model called "{name}" is installed already; remove it first.').format(name=offer["name"])
        self._ui.offerText.text = text
        self._ui.offerText.visible = bool(text)
        what = _("Download this model, check it, and add it. What broke off or was cancelled is resumed.")
        allow(self._ui.downloadButton, reason, what)

    def _onDownload(self) -> None:
        offer = self._offer
        self._start(lambda: DownloadJob(offer), _("Downloading a model"), self._onAdded)

    def _onOpenFolder(self) -> None:
        folder = str(catalog.models_folder())
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            message = _('"{folder}" cannot be made ({reason}); choose another folder by MRITRANSLATE_MODELS.')
            slicer.util.errorDisplay(message.format(folder=folder, reason=error.strerror))
            return
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(folder))


def _traces() -> list:
    """What changes when files come to the user's folder of models or go from it; cheap enough to look at often."""
    folder = catalog.models_folder()
    found = []
    for place in (folder, folder / ".download"):
        try:
            found.append(place.stat().st_mtime_ns)
        except OSError:
            found.append(0)
    return found
