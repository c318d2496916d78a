"""The table of a batch: which volumes are translated by which model to which files; checked before any work is done."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, printable
from ..picture import EXTENSIONS as PICTURES
from ..tables import read_rows
from ..volume import ENDINGS, WRITABLE, without_ending

INPUT = "input"
OPTIONAL = ("output", "mask", "model", "id", "uncertainty")
_EXTENSIONS = (*ENDINGS, *PICTURES)
_SHARD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        line: Its number in the file.
        name: What people call it: the cell `id`, else the cell `input`, as one printable line.
        cells: `input` and `mask` as the table gives them.
        input, mask: The same as absolute paths; links in them are kept, so that messages name what the table names.
        model: Name of a model, or folder of a package.
        output: Absolute path of the synthetic volume, without links.
        uncertainty: The same of the map of its standard deviation, where one is wanted.
    """

    line: int
    name: str
    cells: tuple[str, str | None]
    input: Path
    mask: Path | None
    model: str
    output: Path
    uncertainty: Path | None

    @property
    def outputs(self) -> list[Path]:
        """All files that this row makes."""
        return [self.output] if self.uncertainty is None else [self.output, self.uncertainty]

    @property
    def facts(self) -> dict[str, Any]:
        """By what a person finds the row from the ledger."""
        return {"line": self.line, "id": self.name, "input": self.cells[0]}


def read_table(table: Path, folder: Path, model: str | None, name_of: Callable[[str], str]) -> list[Row]:
    """Read the table of a batch and refuse, before any work, what would overwrite an input or another result.

    Args:
        table: CSV with the column `input` and perhaps `output`, `mask`, `model`, `id` and `uncertainty`. Inputs and
            masks are relative to the table's folder.
        folder: Of the results; outputs are relative to it and lie within it. Where a row names none, the output is
            called after its id, else its input, and the model.
        model: For the rows that name none.
        name_of: Gives the name of a model that is known by its name or its folder; raises `InputError` if there is
            no such model.

    Raises:
        InputError: The table cannot be read, a row is incomplete, an output has no image extension, lies elsewhere, or
            is taken already; the sentence names the lines.
    """
    base, folder = Path(os.path.realpath(table.parent)), Path(os.path.realpath(folder))
    rows = []
    for line, cells in read_rows(table, (INPUT,), OPTIONAL):
        where = f'Line {line} of "{table.name}"'
        if not cells[INPUT]:
            raise InputError(f"{where} names no input; fill the cell.")
        mask, chosen = cells.get("mask") or None, _model(cells.get("model", ""), base) or model
        if chosen is None:
            raise InputError(f"{where} names no model; give one with --model, or fill its cell.")
        name = printable(cells.get("id") or cells[INPUT])
        output = (
            cells.get("output")
            or f"{cells.get('id') or without_ending(Path(cells[INPUT]).name, _EXTENSIONS)}_{name_of(chosen)}.nii.gz"
        )
        spread = cells.get("uncertainty")
        rows.append(
            Row(
                line,
                name,
                (cells[INPUT], mask),
                _beneath(base, cells[INPUT]),
                None if mask is None else _beneath(base, mask),
                chosen,
                _output(output, folder, where),
                _output(spread, folder, where) if spread else None,
            )
        )
    if not rows:
        raise InputError(f'"{table.name}" has no rows below its header; add the volumes.')
    _refuse_collisions(table, rows)
    return rows


def parse_shard(text: str) -> tuple[int, int]:
    """(2, 8) from "2/8".

    Raises:
        InputError: It is no such thing.
    """
    found = _SHARD.fullmatch(text.strip())
    if found is None:
        raise InputError(f'"{text}" is no shard; write for example 2/8 for the second of eight.')
    return int(found[1]), int(found[2])


def take_shard(rows: Sequence[Row], shard: tuple[int, int]) -> list[Row]:
    """Every n-th row from the i-th on: neighbours in a table, which are often alike, go to different shards.

    Args:
        rows: All rows of the table.
        shard: (i, n), counted from 1.

    Raises:
        InputError: There is no such shard.
    """
    index, count = shard
    if not 1 <= index <= count:
        raise InputError(f"There is no shard {index}/{count}; count from 1/{count} to {count}/{count}.")
    return list(rows[index - 1 :: count])


def _beneath(base: Path, cell: str) -> Path:
    return Path(os.path.normpath(base / cell))


def _model(cell: str, base: Path) -> str:
    """A name as it is; a folder, which has a slash in it, from the table's folder on."""
    return str(_beneath(base, cell)) if os.sep in cell or "/" in cell else cell


def _output(cell: str, folder: Path, where: str) -> Path:
    path, shown = Path(os.path.realpath(folder / cell)), printable(cell)  # a link could lead anywhere
    if not path.is_relative_to(folder):
        raise InputError(f'{where}: the output "{shown}" lies outside of the output folder; give a path within it.')
    if not path.name.lower().endswith(WRITABLE):
        raise InputError(
            f'{where}: the output "{shown}" has no image extension; end it with one of {", ".join(WRITABLE)}.'
        )
    return path


def _refuse_collisions(table: Path, rows: Sequence[Row]) -> None:
    inputs = {_place(path): row.line for row in rows for path in (row.input, row.mask) if path is not None}
    made: dict[str, int] = {}
    for row in rows:
        for path in row.outputs:
            place, name = _place(path), printable(path.name)
            if place in inputs:
                lines = _lines(inputs[place], row.line)
                raise InputError(
                    f'{lines} of "{table.name}": the output "{name}" would overwrite an input; choose another '
                    "output folder or fill the column output."
                )
            if place in made:
                raise InputError(
                    f'{_lines(made[place], row.line)} of "{table.name}" would write "{name}" twice; give each '
                    "file its own name in the column output, or the row its own id."
                )
            made[place] = row.line


def _place(path: Path) -> str:
    """One text for all names of a file: whatever links lead to it, and in any case of letters, since some disks do not
    tell `A.nii` from `a.nii`."""
    return os.path.realpath(path).lower()


def _lines(first: int, second: int) -> str:
    return f"Line {first}" if first == second else f"Lines {min(first, second)} and {max(first, second)}"
