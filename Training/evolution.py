"""One figure of how a run's sample pictures came about: the same samples at its first, some and its last epoch."""

import re
from pathlib import Path

import numpy as np

from .samples import Samples, read_sheet

_MOST_EPOCHS, _MOST_ROWS = 6, 3


def sample_files(folder: Path) -> dict[int, Path]:
    """The sample pictures of a run by epoch, rising."""
    found = {}
    for file in (folder / "samples").glob("epoch-*.png"):
        match = re.fullmatch(r"epoch-(\d+)\.png", file.name)
        if match:
            found[int(match[1])] = file
    return dict(sorted(found.items()))


def evolution(folder: Path) -> Samples | None:
    """Beside what the network was given the column that it made, at up to six epochs, and the truth where there is one.

    Epochs are spaced evenly in their logarithm, since most happens early.

    Returns:
        None with fewer than two sample pictures.

    Raises:
        OSError, ValueError, KeyError: A sample picture is damaged.
    """
    files = sample_files(folder)
    if len(files) < 2:
        return None
    chosen = spread(list(files))
    sheets = [read_sheet(files[epoch]) for epoch in chosen]
    last = sheets[-1]
    rows = range(min(_MOST_ROWS, *(len(sheet.rows) for sheet in sheets)))
    made = last.changing
    before, after = range(made), range(made + 1, min(made + 2, len(last.columns)))
    columns = [
        *(last.columns[column] for column in before),
        *(f"epoch {epoch}" for epoch in chosen),
        *(last.columns[column] for column in after),
    ]
    tiles = [
        [
            *(last.tiles[row][column] for column in before),
            *(sheet.tiles[row][sheet.changing] for sheet in sheets),
            *(last.tiles[row][column] for column in after),
        ]
        for row in rows
    ]
    return Samples(columns, last.rows[: len(rows)], tiles, len(before))


def spread(epochs: list[int]) -> list[int]:
    """First, last and up to four between, evenly in their logarithm."""
    wanted = np.geomspace(max(1, epochs[0]), max(1, epochs[-1]), _MOST_EPOCHS)
    near = {min(epochs, key=lambda epoch: abs(np.log(max(1, epoch) / want))) for want in wanted}
    return sorted(near | {epochs[0], epochs[-1]})
