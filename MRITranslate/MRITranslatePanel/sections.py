"""The parts of the panel: each knows its own widgets of MRITranslate.ui and nothing of the others."""

from __future__ import annotations

import json

import qt
import slicer
from slicer.i18n import tr as _

from MRITranslateLib import catalog
from MRITranslateLib.errors import Cancelled, InputError, PackageError

from . import dependencies
from .jobs import CheckJob
from .themes import GOOD, PLAIN, PROBLEM, WARNING, setTone
from .worker import sharedWorker

STATUS_BAR_MS = 5000
CHECK_DELAY_MS = 300
"""So that paging through inputs and models does not start a check for each of them."""
MOST_CHECKED_BYTES = 1 << 27
"""A larger volume is not looked at unasked: handing it to the worker would hold the application up. The run does it."""


def readCard(model) -> dict:
    """The card of a model of the list; {} for none, or for one that was changed on disk since it was listed."""
    try:
        return json.loads(catalog.read_card_text(model.folder)) if model is not None else {}
    except (PackageError, ValueError):
        return {}


def allow(button, reason: str, what: str) -> None:
    """Enable a button unless there is a reason not to; its tool tip says the reason, or what it does."""
    button.enabled = not reason
    button.toolTip = reason or what


def refusal(makeJob) -> str:
    """What a job would be refused for, by its own check or already when it is made; "" for nothing."""
    try:
        makeJob().check()
    except InputError as error:
        return str(error)
    return ""


def fillCombo(combo, items) -> None:
    """Give a combo box these (text, data) entries; not if it has them: it may be about to tell that one was picked."""
    if [(combo.itemText(index), combo.itemData(index)) for index in range(combo.count)] == items:
        return
    combo.blockSignals(True)
    combo.clear()
    for text, data in items:
        combo.addItem(text, data)
    combo.blockSignals(False)


def chooseItem(combo, data: str) -> None:
    """Choose an entry without telling; what there is not chooses the first."""
    combo.blockSignals(True)
    if combo.count:
        combo.currentIndex = max(0, combo.findData(data))
    combo.blockSignals(False)


def _timeLeft(seconds: float) -> str:
    if seconds < 90:
        return _("about {seconds} s left").format(seconds=max(1, round(seconds)))
    return _("about {minutes} min left").format(minutes=round(seconds / 60))


class ModelSection:
    """The list of translation models and the card of the chosen one; `onChosen(name)` when the user picks another.

    Models for the contrast that the input looks like come first, then a line, then the others; each by title.
    """

    def __init__(self, ui, onChosen) -> None:
        self._ui = ui
        self._onChosen = onChosen
        self._models = {}
        self._broken = []
        self._contrast = ""
        self._filling = False
        self._again = qt.QTimer()
        self._again.setSingleShot(True)
        self._again.setInterval(CHECK_DELAY_MS)
        self._again.connect("timeout()", self._fill)
        ui.modelCombo.connect("currentIndexChanged(int)", self._onIndexChanged)

    def refresh(self) -> None:
        """Look which translation models there are; those that are broken are left out and named in the card text."""
        models = catalog.list_models()
        found = [model for model in models if model.broken is None and model.task == "translation"]
        self._models = {model.name: model for model in sorted(found, key=lambda model: model.title.casefold())}
        self._broken = [model for model in models if model.broken is not None]
        self._fill()

    def prefer(self, contrast: str) -> None:
        """Put the models for a contrast ("T1", ...; "" for none) first; what is chosen stays chosen."""
        if contrast != self._contrast:
            self._contrast = contrast
            self._fill()

    def madeFor(self, contrast: str) -> list:
        """Summaries of the models whose input is of this contrast."""
        return [model for model in self._models.values() if model.source == contrast]

    def _fill(self) -> None:
        combo, chosen = self._ui.modelCombo, self.name
        if combo.view().isVisible():  # nothing changes place under the pointer of somebody who is choosing
            self._again.start()
            return
        first = self.madeFor(self._contrast)
        others = [model for model in self._models.values() if model not in first]
        self._filling = True
        combo.clear()
        for model in first:
            combo.addItem(model.title, model.name)
        if first and others:
            combo.insertSeparator(len(first))
        for model in others:
            combo.addItem(model.title, model.name)
        self._filling = False
        self.choose(chosen)

    @property
    def name(self) -> str:
        """Name of the chosen model, "" if there is none."""
        return self._ui.modelCombo.currentData or ""

    @property
    def chosen(self):
        """Summary of the chosen model, None if there is none."""
        return self._models.get(self.name)

    @property
    def hasWayBack(self) -> bool:
        """Whether the chosen model's card names a model that goes the other way, and it is installed."""
        return readCard(self.chosen).get("inverse") in self._models

    def choose(self, name: str) -> None:
        """Choose a model without telling `onChosen`; an unknown name chooses the first."""
        combo = self._ui.modelCombo
        self._filling = True
        if combo.count:
            combo.currentIndex = max(0, combo.findData(name))
        self._filling = False
        self._showCard()

    def _onIndexChanged(self, index: int) -> None:
        if not self._filling:
            self._showCard()
            self._onChosen(self.name)

    def _showCard(self) -> None:
        texts = []
        if self.name:
            try:
                texts.append(catalog.card_text(self._models[self.name].folder))
            except PackageError as error:  # changed on disk since it was listed
                texts.append(str(error))
        else:
            texts.append(
                _("No translation model is installed; put a model package into {folder}.").format(
                    folder=catalog.models_folder()
                )
            )
        texts += [_("Not usable: {reason}").format(reason=model.broken) for model in self._broken]
        self._ui.cardText.setPlainText("\n\n".join(texts))


class DomainSection:
    """One line on whether the input looks like what the model was made for; looked at quietly when either changes.

    It also tells the list of models what the input looks like, as soon as that is known.
    """

    def __init__(self, ui, logic, models: ModelSection) -> None:
        self._ui = ui
        self._logic = logic
        self._models = models
        self._node = None
        self._key = self._shown = self._asked = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(CHECK_DELAY_MS)
        self._timer.connect("timeout()", self._ask)
        self._show("", PLAIN)

    def update(self, inputNode, model: str) -> None:
        """Look at this input and model, if they are others than those whose outcome is shown."""
        image = inputNode.GetImageData() if inputNode is not None else None
        small = image is not None and image.GetActualMemorySize() * 1024 <= MOST_CHECKED_BYTES
        self._node = inputNode
        before, self._key = self._key, (inputNode.GetID(), image.GetMTime(), model) if small and model else None
        if self._image(before) != self._image(self._key):
            self._models.prefer("")
        if self._key == self._shown:
            return
        self._show("", PLAIN)
        self._shown = None
        if self._key is None:
            self._timer.stop()
        else:
            self._timer.start()

    @staticmethod
    def _image(key):
        return None if key is None else key[:2]

    def _ask(self) -> None:
        if self._key in (None, self._shown) or dependencies.missing():
            return
        if self._asked or self._logic.running or sharedWorker().busyQuietly:  # its turn will come
            self._timer.start()
            return
        key = self._key

        def finished(domain, warnings):
            self._asked = None
            if key == self._key:
                self._shown = key
                self._models.prefer(domain.contrast)
                self._tell(domain)

        def failed(error):
            self._asked = None
            if isinstance(error, Cancelled):  # it gave way to a run, or the scene was closed
                self._timer.start()
            elif key == self._key:
                self._shown = key
                if isinstance(error, InputError):  # what else went wrong, a run will say in the open
                    self._show(str(error), PROBLEM)

        try:
            self._asked = key
            self._logic.startQuietly(CheckJob(self._node, key[2]), finished, failed)
        except Exception as error:
            failed(error)

    def _tell(self, domain) -> None:
        texts = list(domain.reasons)
        if domain.contrast and not any(domain.contrast in reason for reason in texts):  # said already
            share = round(100 * domain.probabilities[domain.contrast])
            texts.insert(0, _("Looks like {contrast} ({share} %).").format(contrast=domain.contrast, share=share))
        texts += self._advice(domain)
        tone = {"ok": GOOD, "warn": WARNING, "refuse": PROBLEM}[domain.outcome]
        self._show(" ".join(texts), tone)

    def _advice(self, domain) -> list[str]:
        """Which model fits, where the chosen one does not."""
        chosen = self._models.chosen
        if domain.outcome == "ok" or not domain.contrast or chosen is None or chosen.source == domain.contrast:
            return []
        fitting = self._models.madeFor(domain.contrast)
        if not fitting:
            return [_("No installed model is made for {contrast}.").format(contrast=domain.contrast)]
        titles = ", ".join(f'"{model.title}"' for model in fitting)
        return [_("Made for {contrast}: {titles}.").format(contrast=domain.contrast, titles=titles)]

    def _show(self, text: str, tone: str) -> None:
        self._ui.domainLabel.text = text
        setTone(self._ui.domainLabel, tone)
        self._ui.domainLabel.visible = bool(text)


class StatusSection:
    """Progress, outcome and warnings of the run of the moment."""

    def __init__(self, ui) -> None:
        self._ui = ui

    def begin(self, what: str) -> None:
        self._ui.progressBar.setRange(0, 0)  # busy, until the first step is counted
        self._ui.stageLabel.text = what
        self._ui.warningsLabel.text = ""
        self._say(_("Running."), PLAIN)

    def progress(self, fraction: float, stage: str, done: int, total: int, remaining: float | None) -> None:
        """Show one report of the worker; `remaining` is in seconds, None while it cannot be told."""
        if total:
            self._ui.progressBar.setRange(0, 100)
            self._ui.progressBar.value = int(100 * fraction)
        parts = [stage]
        if total > 1:
            parts.append(_("{done} of {total}").format(done=done, total=total))
        if remaining is not None:
            parts.append(_timeLeft(remaining))
        self._ui.stageLabel.text = ", ".join(parts)
        # In a long panel this section may have been scrolled out of sight.
        slicer.util.showStatusMessage(self._ui.stageLabel.text, STATUS_BAR_MS)

    def showWaiting(self, count: int) -> None:
        """How many runs wait for their turn."""
        few = _("1 run waits for its turn.") if count == 1 else _("{count} runs wait for their turn.")
        self._ui.waitingLabel.text = few.format(count=count)
        for widget in (self._ui.waitingLabel, self._ui.cancelAllButton):
            widget.visible = count > 0

    def cancelling(self) -> None:
        self._ui.stageLabel.text = _("Stopping")

    def finish(self, sentence: str, warnings: list[str]) -> None:
        self._rest(100)
        self._say(sentence, PLAIN)
        slicer.util.showStatusMessage(sentence, STATUS_BAR_MS)
        self._ui.warningsLabel.text = "\n".join(_("Warning: {text}").format(text=text) for text in warnings)
        setTone(self._ui.warningsLabel, WARNING)

    def stop(self, sentence: str) -> None:
        """A run that was cancelled."""
        self._rest(0)
        self._say(sentence, PLAIN)

    def fail(self, sentence: str, details: str = "") -> None:
        self._rest(0)
        self._say(sentence, PROBLEM)
        slicer.util.showStatusMessage(sentence, STATUS_BAR_MS)
        self._ui.statusLabel.toolTip = details or _("Outcome of the last run.")

    def _rest(self, value: int) -> None:
        self._ui.progressBar.setRange(0, 100)
        self._ui.progressBar.value = value
        self._ui.stageLabel.text = ""

    def _say(self, sentence: str, tone: str) -> None:
        self._ui.statusLabel.text = sentence
        setTone(self._ui.statusLabel, tone)
        self._ui.statusLabel.toolTip = _("Outcome of the last run.")
