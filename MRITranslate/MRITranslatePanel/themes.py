"""Colours of sentences that are good news, a warning or a problem, readable in Slicer's light and dark themes."""

from __future__ import annotations

import qt

PLAIN, GOOD, WARNING, PROBLEM = "plain", "good", "warning", "problem"
COLOURS = {GOOD: ("#16702f", "#4cc76c"), WARNING: ("#855600", "#e3b341"), PROBLEM: ("#b3261e", "#ff8a80")}
"""On a light and on a dark window; each has at least the contrast 4.5 that WCAG 2 asks of text."""
_DARK = 128
"""A window's colour of less lightness (0 to 255) is a dark theme's."""


def setTone(label, tone: str) -> None:
    """Give a label's text the colour of good news, a warning, a problem, or no colour of its own."""
    if tone == PLAIN:
        label.styleSheet = ""
        return
    dark = label.palette.color(qt.QPalette.Window).lightness() < _DARK
    label.styleSheet = f"color: {COLOURS[tone][dark]};"
