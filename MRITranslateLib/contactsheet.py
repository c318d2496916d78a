"""A contact sheet: many small pictures on one, numbered, with a line that says what they are."""

import math
from collections.abc import Sequence

import numpy as np

from .figure import WARNING
from .picture import to_bytes

_GAP, _LINE = 4, 20
_WIDEST = 4096
"""Pixels; more pictures than fit are shown smaller."""
_GREY, _WHITE, _MARK = 24, 235, (255, 190, 60)


def contact_sheet(pictures: np.ndarray, captions: Sequence[str], title: str) -> np.ndarray:
    """Draw pictures in rows, about as wide as high, each with a caption below.

    Args:
        pictures: (n, rows, columns) in [-1, 1], at least one.
        captions: A short one for each.
        title: One line above all, before the warning.

    Returns:
        uint8 (rows, columns, 3).
    """
    from PIL import Image, ImageDraw, ImageFont

    count, size = len(pictures), max(pictures.shape[1:])
    columns = math.ceil(math.sqrt(count))
    side = min(size, _WIDEST // columns - _GAP)
    small = side < 64  # no room for captions
    cell = side + _GAP + (0 if small else _LINE)
    rows = math.ceil(count / columns)
    font = ImageFont.load_default(13)
    lines = [title, WARNING]
    width = max(columns * (side + _GAP) + _GAP, *(int(font.getlength(line)) + 2 * _GAP for line in lines))
    sheet = Image.new("RGB", (width, rows * cell + _GAP + 2 * _LINE), (_GREY,) * 3)
    draw = ImageDraw.Draw(sheet)
    for number, (line, colour) in enumerate(zip(lines, ((_WHITE,) * 3, _MARK), strict=True)):
        draw.text((_GAP, 3 + number * _LINE), line, colour, font)
    for number, (picture, caption) in enumerate(zip(to_bytes(pictures), captions, strict=True)):
        row, column = divmod(number, columns)
        place = (_GAP + column * (side + _GAP), 2 * _LINE + _GAP + row * cell)
        tile = Image.fromarray(picture)
        if tile.size != (side, side):
            tile = tile.resize((side, side), Image.Resampling.BOX)
        sheet.paste(tile, place)
        if not small:
            draw.text((place[0] + 1, place[1] + side + 1), caption, (_WHITE,) * 3, font)
    return np.asarray(sheet)
