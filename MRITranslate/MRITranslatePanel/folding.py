"""Which sections of the panel are open, remembered from one session to the next."""

from __future__ import annotations

import qt

SECTIONS = ("translateSection", "explainSection", "compareSection", "generateSection", "modelsSection", "statusSection")
_KEY = "MRITranslate/Open/"


class Folding:
    """Opens and closes the sections as the user left them; what was never touched is as the .ui file has it."""

    def __init__(self, ui) -> None:
        for name in SECTIONS:
            section = getattr(ui, name)
            known = qt.QSettings().value(_KEY + name)
            if known is not None:
                section.collapsed = str(known) != "true"  # of a file of settings every value is a text
            section.connect("contentsCollapsed(bool)", lambda collapsed, name=name: _remember(name, not collapsed))


def _remember(name: str, opened: bool) -> None:
    qt.QSettings().setValue(_KEY + name, "true" if opened else "false")
