"""Sample pictures of a run: rows of labelled tiles, drawn as one PNG that can be taken apart again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from MRITranslateLib.picture import to_bytes

_TILE = 208
_MOST_MAGNIFIED = 6
_GAP, _FONT = 4, 12
_CAPTIONED, _CAPTION = 160, 32
"""Pixels of the height of a captioned picture, and of the two lines above it."""
_READ_AT = 1100
"""Pixels to which a wide sheet is shrunk on a page; its letters are larger by so much."""
_PAPER, _INK = (20, 22, 26), (214, 218, 224)
_HEAT = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))
"""Of evenly rising lightness, which can be read without colour vision too."""
_KEY = "mritranslate"
"""Of the PNG's text that says where the tiles are."""


@dataclass(frozen=True)
class Samples:
    """Pictures for people, such as input, output, truth and difference of a few subjects.

    Attributes:
        columns: Title of each column.
        rows: Name of each row, "" for none.
        tiles: By row and column: (height, width) grey or (height, width, 3) colour, 0..1; values beyond are cut.
        changing: The column that the network makes; the others are the same in every epoch, or follow from it.
        aspect: Height of a pixel in its widths.
    """

    columns: Sequence[str]
    rows: Sequence[str]
    tiles: Sequence[Sequence[np.ndarray]]
    changing: int
    aspect: float = 1.0


def heat(values: np.ndarray) -> np.ndarray:
    """Values (height, width) in 0..1 as colours (height, width, 3): black, violet, red, orange, pale yellow."""
    places = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(values, places, channel) for channel in np.transpose(_HEAT) / 255], axis=-1)


def save_sheet(samples: Samples | np.ndarray, file: Path, tile: int = _TILE) -> np.ndarray:
    """Draw samples, or one plain picture (height, width) or (height, width, 3) in 0..1, as a PNG.

    Args:
        samples: To draw.
        file: To write.
        tile: Pixels of the longer side of the largest tile; a plain picture stays as it is.

    Returns:
        What was drawn: uint8 (height, width, 3).
    """
    if isinstance(samples, np.ndarray):
        picture, facts = _image(samples), None
    else:
        picture, facts = _draw(samples, tile)
    info = PngInfo()
    if facts is not None:
        info.add_text(_KEY, json.dumps(facts))
    picture.save(file, format="PNG", pnginfo=info)
    return np.asarray(picture.convert("RGB"))


def captioned(pictures: Sequence[np.ndarray], captions: Sequence[str], columns: int, title: str = "") -> np.ndarray:
    """Pictures under captions, as one plain picture.

    Args:
        pictures: (height, width) in [-1, 1], all of one shape.
        captions: Of each, at most two lines.
        columns: Pictures in a row.
        title: Above all of them; may have several lines.

    Returns:
        float32 (rows, columns) in 0..1.
    """
    height, width = pictures[0].shape
    width = round(_CAPTIONED * width / height)
    head = (_CAPTION // 2) * len(title.splitlines()) + _GAP
    rows = -(-len(pictures) // columns)
    sheet = Image.new("L", (columns * (width + _GAP) - _GAP, head + rows * (_CAPTIONED + _CAPTION)), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT)
    pen.multiline_text((2, 2), title, fill=0, font=font, spacing=1)
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = place % columns * (width + _GAP), head + place // columns * (_CAPTIONED + _CAPTION)
        pen.multiline_text((left + 2, top + 1), caption, fill=0, font=font, spacing=1)
        sheet.paste(Image.fromarray(to_bytes(picture)).resize((width, _CAPTIONED)), (left, top + _CAPTION))
    return np.asarray(sheet, dtype=np.float32) / 255


def read_sheet(file: Path) -> Samples:
    """Take a drawn PNG apart; a plain picture is one tile.

    Raises:
        OSError, ValueError, KeyError: It is no such PNG.
    """
    with Image.open(file) as picture:
        facts = json.loads(picture.info.get(_KEY, "null"))
        array = np.asarray(picture.convert("RGB")) / np.float32(255)
    if facts is None:
        return Samples([""], [""], [[array]], 0)
    (height, width), columns, rows = facts["tile"], facts["columns"], facts["rows"]
    first, pitch = facts["first"], facts["pitch"]
    tiles = [
        [
            array[first + row * pitch :, _GAP + column * (width + _GAP) :][:height, :width]
            for column in range(len(columns))
        ]
        for row in range(len(rows))
    ]
    return Samples(columns, rows, tiles, facts["changing"])


def _draw(samples: Samples, longest: int) -> tuple[Image.Image, dict[str, object]]:
    """All tiles in one scale, centred in cells of one size under the columns' titles; and the facts to undo it."""
    flat = [tile for row in samples.tiles for tile in row]
    largest = max(max(tile.shape[0] * samples.aspect, tile.shape[1]) for tile in flat)
    scale = min(longest / largest, _MOST_MAGNIFIED)
    height = max(1, round(max(tile.shape[0] for tile in flat) * samples.aspect * scale))
    width = max(1, round(max(tile.shape[1] for tile in flat) * scale))
    across = _GAP + len(samples.columns) * (width + _GAP)
    letter = round(_FONT * max(1.0, across / _READ_AT))
    header = round(1.9 * letter)
    strip = round(1.5 * letter) if any(samples.rows) else 0  # for the names, under the rows
    pitch = height + strip + _GAP
    sheet = Image.new("RGB", (across, header + len(samples.tiles) * pitch), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(samples.columns):
        _write(pen, title, (_GAP + column * (width + _GAP) + 2, header / 2), width - 4, letter)
    for row, tiles in enumerate(samples.tiles):
        top = header + row * pitch
        for column, tile in enumerate(tiles):
            left = _GAP + column * (width + _GAP)
            drawn = _image(tile)
            shape = (max(1, round(drawn.width * scale)), max(1, round(drawn.height * samples.aspect * scale)))
            drawn = drawn.resize(shape, Image.Resampling.BICUBIC)
            sheet.paste(Image.new("RGB", (width, height)), (left, top))
            sheet.paste(drawn, (left + (width - shape[0]) // 2, top + (height - shape[1]) // 2))
        _write(pen, samples.rows[row], (_GAP + 2, top + height + strip / 2), across, letter)
    facts = {
        "tile": (height, width),
        "first": header,
        "pitch": pitch,
        "columns": list(samples.columns),
        "rows": list(samples.rows),
        "changing": samples.changing,
    }
    return sheet, facts


def _image(tile: np.ndarray) -> Image.Image:
    return Image.fromarray((np.clip(np.nan_to_num(tile), 0, 1) * 255 + 0.5).astype(np.uint8))


def _write(pen: ImageDraw.ImageDraw, text: str, place: tuple[float, float], width: float, letter: int) -> None:
    """One line, left aligned and vertically centred at `place`, cut to a width."""
    font = ImageFont.load_default(letter)
    if pen.textlength(text, font=font) > width:
        while text and pen.textlength(text + "…", font=font) > width:
            text = text[:-1]
        text += "…"
    pen.text(place, text, fill=_INK, font=font, anchor="lm")
