"""The devices of this computer: the question to the worker, and the list in the panel with their free memory."""

from __future__ import annotations

import dataclasses
import typing
from typing import Optional

import qt
from slicer.i18n import tr as _

from MRITranslateLib.errors import Cancelled

from . import dependencies, results
from .exchange import Inbox, Outbox
from .sections import chooseItem, fillCombo
from .themes import PLAIN, WARNING, setTone
from .worker import sharedWorker

AUTOMATIC, PROCESSOR, LOOK = "auto", "cpu", "?"
AGAIN_MS = 500
"""The question waits for the end of what is under way."""


class Device(typing.NamedTuple):
    """Something to compute on.

    Attributes:
        name: What a job calls it: "cpu", "cuda:0", "mps", ...
        title: For people.
        freeBytes: Memory that is free at the moment; None where that is not known.
    """

    name: str
    title: str
    freeBytes: Optional[int]


@dataclasses.dataclass(frozen=True)
class DevicesJob:
    """Which devices there are; the answer is a list of Device."""

    REQUEST = "devices"

    def nodes(self) -> list:
        return []

    def check(self) -> None:
        """There is nothing that could be wrong."""

    def params(self, folder: Outbox) -> dict:
        return {}

    def deliver(self, result: dict, folder: Inbox, additions: results.Additions) -> list:
        return [Device(found["name"], found["title"], found["free_bytes"]) for found in result["devices"]]


class DeviceSection:
    """The list of devices. `parameters.device` keeps the name; the parameter node cannot bind it, since which devices
    there are is known only once the worker was asked.

    The worker is asked when it has computed something already, when a person picks "Look for graphics cards", or when
    a scene names a device that is not known: the question starts torch, which opening the panel must not.
    """

    def __init__(self, ui, logic) -> None:
        self._ui = ui
        self._logic = logic
        self._parameters = None
        self._found = None
        self._unknown = ""
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._ask)
        ui.deviceCombo.connect("currentIndexChanged(int)", self._onPicked)
        self._say("")

    def refresh(self) -> None:
        """Ask again for the free memory, if the devices are known."""
        if self._found is not None:
            self.ask()

    def ask(self) -> None:
        """Ask the worker soon, without getting in the way of anything."""
        self._timer.start(0)

    def show(self, parameters) -> None:
        """Show the choice of a parameter node; None while there is none."""
        if parameters is None:
            self._timer.stop()
        elif self._parameters is None:
            self._say("")
        self._parameters = parameters
        if parameters is not None:
            self._list()

    def _list(self) -> None:
        chosen = self._parameters.device
        items = [(_("Automatic"), AUTOMATIC)]
        if self._found is None:
            items += [(_("Processor (CPU)"), PROCESSOR), (_("Look for graphics cards"), LOOK)]
            if chosen not in (AUTOMATIC, PROCESSOR):
                items.append((chosen, chosen))
                if chosen != self._unknown:  # once is enough
                    self._unknown = chosen
                    self.ask()
        else:
            items += [(_title(device), device.name) for device in self._found]
            names = [name for __, name in items]
            if chosen not in names:
                # A script may say "cuda" for the first of them.
                same = next((name for name in names if name.startswith(chosen + ":")), "")
                if not same:
                    self._say(self._gone(chosen), WARNING)
                self._parameters.device = chosen = same or AUTOMATIC
        fillCombo(self._ui.deviceCombo, items)
        chooseItem(self._ui.deviceCombo, chosen)

    @staticmethod
    def _gone(name: str) -> str:
        return _("This computer has no device {name}, which was chosen before; Automatic is chosen now.").format(
            name=name
        )

    def _onPicked(self, index: int) -> None:
        name = self._ui.deviceCombo.currentData
        if self._parameters is None or name is None:
            return
        self._say("")
        if name == LOOK:
            chooseItem(self._ui.deviceCombo, self._parameters.device)
            self._say(_("Looking for graphics cards."))
            self.ask()
        else:
            self._parameters.device = name

    def _ask(self) -> None:
        if self._parameters is None or dependencies.missing():
            if self._parameters is not None:
                self._say(_("The devices will be known after the first run."))
            return
        if self._logic.running or sharedWorker().busyQuietly:
            self._timer.start(AGAIN_MS)
            return
        try:
            self._logic.startQuietly(DevicesJob(), self._onFound, self._onFailed)
        except Exception as error:
            self._onFailed(error)

    def _onFound(self, devices, warnings) -> None:
        looked = self._found is None
        self._found = devices
        if self._parameters is None:
            return
        cards = [device.title for device in devices if device.name != PROCESSOR]
        if self._ui.deviceNote.text and looked:
            self._say(_("Found: {titles}.").format(titles=", ".join(cards)) if cards else _("No graphics card found."))
        self._list()

    def _onFailed(self, error) -> None:
        if isinstance(error, Cancelled):  # it gave way to a run
            self._timer.start(AGAIN_MS)
        else:  # what matters of that a run says in the open
            self._say("")

    def _say(self, sentence: str, tone: str = PLAIN) -> None:
        self._ui.deviceNote.text = sentence
        setTone(self._ui.deviceNote, tone)
        self._ui.deviceNote.visible = bool(sentence)


def _title(device: Device) -> str:
    if device.freeBytes is None:
        return device.title
    return _("{title}, {free} GB free").format(title=device.title, free=f"{device.freeBytes / 1e9:.1f}")
