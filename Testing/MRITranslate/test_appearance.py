"""What the panel looks like: themes, folding, keyboard order, tool tips, width."""

import sys

import pytest


def luminance(colour):
    """Relative luminance of "#rrggbb" as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("place", "windows"), [(0, ("#ffffff", "#efefef")), (1, ("#1e1e1e", "#353535"))])
def test_colours_can_be_read(app, place, windows):
    for pair in sys.modules["MRITranslatePanel.themes"].COLOURS.values():
        for window in windows:
            bright, dark = sorted((luminance(pair[place]), luminance(window)), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (pair[place], window)


def test_a_label_follows_the_theme_of_its_window(panel):
    import qt

    themes = sys.modules["MRITranslatePanel.themes"]
    label = panel.ui.statusLabel
    palette = label.palette
    for window, place in (("#f0f0f0", 0), ("#2b2b2b", 1)):
        themed = qt.QPalette(palette)
        themed.setColor(qt.QPalette.Window, qt.QColor(window))
        label.styleSheet = ""
        label.palette = themed
        themes.setTone(label, themes.PROBLEM)
        assert themes.COLOURS[themes.PROBLEM][place] in label.styleSheet
    label.palette = palette
    themes.setTone(label, themes.PLAIN)
    assert label.styleSheet == ""


def test_open_sections_are_remembered(panel):
    import qt

    folding = sys.modules["MRITranslatePanel.folding"]
    before = {name: getattr(panel.ui, name).collapsed for name in folding.SECTIONS}
    assert len(before) == 6
    try:
        for name, collapsed in before.items():
            getattr(panel.ui, name).collapsed = not collapsed
            assert qt.QSettings().value(f"MRITranslate/Open/{name}") == ("true" if collapsed else "false")
        for name, collapsed in before.items():  # as an earlier session left it
            qt.QSettings().setValue(f"MRITranslate/Open/{name}", "false" if collapsed else "true")
        folding.Folding(panel.ui)
        assert {name: getattr(panel.ui, name).collapsed for name in before} == before
    finally:
        for name, collapsed in before.items():
            getattr(panel.ui, name).collapsed = collapsed


def shown_in_order(widget, found):
    """The widgets that take part in tabbing, in the order of their places on the screen: by row, then from the left."""
    import qt

    for child in widget.children():
        if not child.isWidgetType() or not child.visible:
            continue
        if child.focusPolicy & qt.Qt.TabFocus and child.name and not child.name.startswith("qt_"):
            found.append(child)
        shown_in_order(child, found)
    return found


def test_the_tab_key_goes_from_top_to_bottom(panel):
    """Along the chain of focus no widget of a section lies above the one before it."""
    import qt

    folding = sys.modules["MRITranslatePanel.folding"]
    before = {name: getattr(panel.ui, name).collapsed for name in folding.SECTIONS}
    for name in folding.SECTIONS:
        getattr(panel.ui, name).collapsed = False
    try:
        known = {widget.name: widget for widget in shown_in_order(panel.parent, [])}
        assert len(known) > 40, sorted(known)
        start = panel.ui.inputSelector
        chain, widget = [], start
        for _ in range(2000):
            if widget.name in known:
                chain.append(widget)
            widget = widget.nextInFocusChain()
            if widget.name == start.name:
                break
        assert {widget.name for widget in chain} >= set(known) - {"translateSection"}
        tops = [widget.mapTo(panel.parent, qt.QPoint(0, 0)).y() for widget in chain]
        steps = [(a.name, b.name) for a, b, y, z in zip(chain, chain[1:], tops, tops[1:], strict=False) if z < y - 8]
        assert len(steps) <= 1, steps  # from the last one back to the top
    finally:
        for name, collapsed in before.items():
            getattr(panel.ui, name).collapsed = collapsed
