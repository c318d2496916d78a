"""The section of the panel that holds a prediction against the truth, shows both together and writes reports."""

from __future__ import annotations

import base64
import html
import os

import qt
import slicer
from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError

from . import results
from .comparejob import CompareJob, ReportJob
from .compareviews import Mode, Views
from .parameters import ImageKind
from .sections import allow, refusal

PICTURE_WIDTH = 300


class CompareSection:
    """Starts the jobs of its buttons, shows what was found, and has the slice views show it.

    `start(makeJob, title, whenDone)` runs a job; `whenDone(job, outcome)` shows the outcome and returns a sentence for
    people.
    """

    def __init__(self, ui, start) -> None:
        self._ui = ui
        self._start = start
        self._parameters = None
        self._job = self._compared = None
        self._views = Views()
        ui.compareButton.connect("clicked(bool)", self._onCompare)
        ui.compareExportButton.connect("clicked(bool)", self._onExport)
        ui.compareExportPath.connect("currentPathChanged(QString)", self._onPathChanged)
        ui.compareViewCombo.connect("currentIndexChanged(int)", self._onView)
        ui.curtainSlider.connect("valueChanged(double)", self._onCurtain)
        ui.compareSection.connect("contentsCollapsed(bool)", self._onCollapsed)

    def refresh(self) -> None:
        """Nothing that could have changed outside."""

    def show(self, parameters) -> None:
        """Take the parameter node; None while there is none: the views are then put back."""
        self._parameters = parameters
        if parameters is None:
            self._leaveViews()

    def update(self) -> None:
        """Enable what can be done; a disabled button says in its tool tip why."""
        ui = self._ui
        if self._compared is not None and not self._isPresent():
            self._job = self._compared = None
            self._leaveViews()
            ui.compareResultLabel.text = ""
        ui.compareResultLabel.visible = bool(ui.compareResultLabel.text)
        idle = _("The panel is not in use.") if self._parameters is None else ""
        allow(ui.compareButton, idle or refusal(self._makeJob), _("Score the prediction against the reference."))
        allow(ui.compareExportButton, idle or refusal(self._makeReport), _("Write the last comparison to the file."))
        seen = self._compared is not None and results.viewsExist()
        allow(ui.compareViewCombo, "" if seen else _("Compare first."), _("How the slice views show both volumes."))
        for widget in (ui.curtainLabel, ui.curtainSlider):
            widget.visible = self._views.mode == Mode.CURTAIN

    def _isPresent(self) -> bool:
        nodes = (self._job.referenceNode, self._job.predictionNode, self._compared.table, self._compared.difference)
        return all(slicer.mrmlScene.IsNodePresent(node) for node in nodes)

    # Comparing

    def _makeJob(self) -> CompareJob:
        parameters = self._parameters
        kind = parameters.compareKind
        return CompareJob(
            parameters.compareReference,
            parameters.comparePrediction,
            None if kind == ImageKind.DECLARED else kind.value,
            parameters.compareMask,
            parameters.compareProtocol.value,
        )

    def _onCompare(self) -> None:
        self._leaveViews()
        self._start(self._makeJob, _("Comparing"), self._onCompared)

    def _onCompared(self, job, compared) -> str:
        self._job, self._compared = job, compared
        self._ui.compareResultLabel.text = resultHTML(compared)

        def look():
            if self._compared is compared and self._parameters is not None and self._views.mode == Mode.ORDINARY:
                self._ui.compareViewCombo.currentIndex = int(Mode.SIDE_BY_SIDE)

        qt.QTimer.singleShot(0, look)  # on its own: with what was just done it would hold the event loop too long
        return _('Made "{scores}" and "{difference}".').format(
            scores=compared.table.GetName(), difference=compared.difference.GetName()
        )

    # Views

    def _onView(self, index: int) -> None:
        if self._compared is not None and self._isPresent():
            job, boundary = self._job, self._ui.curtainSlider.value / 100
            self._views.show(Mode(index), job.referenceNode, job.predictionNode, self._compared, boundary)
        self.update()

    def _onCurtain(self, value: float) -> None:
        self._views.setBoundary(value / 100)

    def _onCollapsed(self, collapsed: bool) -> None:
        if collapsed:
            self._leaveViews()

    def _leaveViews(self) -> None:
        self._views.restore()
        self._ui.compareViewCombo.currentIndex = int(Mode.ORDINARY)

    # Writing

    def _onPathChanged(self, path: str) -> None:
        self.update()

    def _makeReport(self) -> ReportJob:
        """The last comparison once more, to the file.

        Raises:
            InputError: There was none yet.
        """
        if self._compared is None:
            raise InputError(_("Compare first; then the outcome can be written."))
        job = self._job
        path = self._ui.compareExportPath.currentPath.strip()
        path = os.path.abspath(os.path.expanduser(path)) if path else ""
        return ReportJob(job.referenceNode, job.predictionNode, job.modality, job.maskNode, job.protocol, path)

    def _onExport(self) -> None:
        self._ui.compareExportPath.addCurrentPathToHistory()
        self._start(self._makeReport, _("Writing the report"), self._onWritten)

    def _onWritten(self, job, path) -> str:
        return _('Wrote "{path}".').format(path=path)


def resultHTML(compared) -> str:
    """The outcome of a comparison for people: scores with their units, how they were taken, and the two pictures."""
    rows = "".join(
        f"<tr><td>{html.escape(compared.titles[name])}&nbsp;</td><td align='right'>{_number(value)}</td>"
        f"<td>&nbsp;{html.escape(compared.units[name])}</td></tr>"
        for name, value in compared.scores.items()
    )
    facts = compared.facts
    stated = _("{modality}, protocol {protocol}; scored in: {mask}").format(
        modality=facts["modality"], protocol=facts["protocol"], mask=facts["mask"]
    )
    pictures = _picture(compared.pictures["errors"], _("Error of each slice"))
    pictures += _picture(compared.pictures["histogram"], _("Which values meet, and how often"))
    return f"<p>{html.escape(stated)}</p><table>{rows}</table>{pictures}"


def _picture(png: bytes, title: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<p>{html.escape(title)}<br><img width="{PICTURE_WIDTH}" src="{source}"></p>'


def _number(value) -> str:
    return _("not finite") if value is None else f"{value:.4g}"
