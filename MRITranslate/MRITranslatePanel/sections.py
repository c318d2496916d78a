"""The parts of the panel: each knows its own widgets of MRITranslate.ui and nothing of the others."""

from __future__ import annotations

from slicer.i18n import tr as _

from MRITranslateLib import catalog
from MRITranslateLib.errors import PackageError

PROBLEM_STYLE = "color: #b3261e;"
WARNING_STYLE = "color: #9a6700;"


def _timeLeft(seconds: float) -> str:
    if seconds < 90:
        return _("about {seconds} s left").format(seconds=max(1, round(seconds)))
    return _("about {minutes} min left").format(minutes=round(seconds / 60))


class ModelSection:
    """The list of translation models and the card of the chosen one; `onChosen(name)` when the user picks another."""

    def __init__(self, ui, onChosen) -> None:
        self._ui = ui
        self._onChosen = onChosen
        self._models = {}
        self._broken = []
        self._filling = False
        ui.modelCombo.connect("currentIndexChanged(int)", self._onIndexChanged)

    def refresh(self) -> None:
        """Look which translation models there are; those that are broken are left out and named in the card text."""
        models = catalog.list_models()
        combo = self._ui.modelCombo
        chosen = self.name
        self._filling = True
        combo.clear()
        self._models = {model.name: model for model in models if model.broken is None and model.task == "translation"}
        self._broken = [model for model in models if model.broken is not None]
        for model in self._models.values():
            combo.addItem(model.title, model.name)
        self._filling = False
        self.choose(chosen)

    @property
    def name(self) -> str:
        """Name of the chosen model, "" if there is none."""
        return self._ui.modelCombo.currentData or ""

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


class StatusSection:
    """Progress, outcome and warnings of the run of the moment."""

    def __init__(self, ui) -> None:
        self._ui = ui

    def begin(self, what: str) -> None:
        self._ui.progressBar.setRange(0, 0)  # busy, until the first step is counted
        self._ui.stageLabel.text = what
        self._ui.warningsLabel.text = ""
        self._say(_("Running."), "")

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

    def cancelling(self) -> None:
        self._ui.stageLabel.text = _("Stopping")

    def finish(self, sentence: str, warnings: list[str]) -> None:
        self._rest(100)
        self._say(sentence, "")
        self._ui.warningsLabel.text = "\n".join(_("Warning: {text}").format(text=text) for text in warnings)
        self._ui.warningsLabel.styleSheet = WARNING_STYLE

    def stop(self, sentence: str) -> None:
        """A run that was cancelled."""
        self._rest(0)
        self._say(sentence, "")

    def fail(self, sentence: str, details: str = "") -> None:
        self._rest(0)
        self._say(sentence, PROBLEM_STYLE)
        self._ui.statusLabel.toolTip = details or _("Outcome of the last run.")

    def _rest(self, value: int) -> None:
        self._ui.progressBar.setRange(0, 100)
        self._ui.progressBar.value = value
        self._ui.stageLabel.text = ""

    def _say(self, sentence: str, style: str) -> None:
        self._ui.statusLabel.text = sentence
        self._ui.statusLabel.styleSheet = style
        self._ui.statusLabel.toolTip = _("Outcome of the last run.")
