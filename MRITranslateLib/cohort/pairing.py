"""Which prediction belongs to which reference: by their names in two folders, or by a table."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..tables import read_rows
from ..volume import ENDINGS, without_ending

_NEEDED = ("reference", "prediction")
_OPTIONAL = ("name", "other", "mask", "input")


@dataclass(frozen=True)
class Pair:
    """The files of one comparison.

    Attributes:
        name: What people call it; no two of a set share it.
        reference, prediction: The true volume and the synthetic one.
        other: What a second method made of the same, or None.
        mask: Label image on the reference's grid, or None.
        source: What the prediction was made from, or None.
    """

    name: str
    reference: Path
    prediction: Path
    other: Path | None = None
    mask: Path | None = None
    source: Path | None = None


def holds_volumes(path: Path) -> bool:
    """Whether this is a folder with volumes in files (which one with a DICOM series is not)."""
    return path.is_dir() and any(_is_volume(file, path) for file in path.rglob("*"))


def pair_by_name(
    reference: Path, prediction: Path, other: Path | None = None, mask: Path | None = None, source: Path | None = None
) -> tuple[list[Pair], list[str]]:
    """Pair the volumes of folders that lie at the same place under the same name, whatever their format.

    Args:
        reference, prediction: Folders of the true and the synthetic volumes, also in folders within them.
        other: Folder of a second method's, where there is one.
        mask, source: Folders of masks and of inputs; every pair must have its own.

    Returns:
        The pairs by name, and sentences about volumes that are left out since they lack a partner.

    Raises:
        InputError: No pair is left, two files have one name, or a mask or input is missing.
    """
    sides = {"reference": _volumes(reference), "prediction": _volumes(prediction)}
    if other is not None:
        sides["volume of the other method"] = _volumes(other)
    common = set.intersection(*(set(found) for found in sides.values()))
    if not common:
        raise InputError(
            f'No volume in "{prediction}" is named as one in "{reference}"; name them alike, or give --pairs, a table.'
        )
    warnings = []
    for side, found in sides.items():
        alone = sorted(set(found) - common)
        if alone:
            some = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
            warnings.append(f"Left out for lack of a partner: {len(alone)} x {side} ({some}).")
    others = sides.get("volume of the other method", {})
    masks, inputs = ({} if folder is None else _volumes(folder) for folder in (mask, source))
    for what, folder, volumes in (("mask", mask, masks), ("input", source, inputs)):
        missing = sorted(common - set(volumes)) if folder is not None else []
        if missing:
            raise InputError(f'"{folder}" has no {what} called "{missing[0]}"; add it, or leave the {what}s out.')
    truths, made = sides["reference"], sides["prediction"]
    pairs = [
        Pair(name, truths[name], made[name], others.get(name), masks.get(name), inputs.get(name))
        for name in sorted(common)
    ]
    return pairs, warnings


def read_pairs(table: Path) -> list[Pair]:
    """Read pairs from a CSV file with the columns "reference" and "prediction", and optionally "name", "other" (a
    second method's prediction), "mask" and "input". Paths are relative to the table.

    Raises:
        InputError: See `read_rows`; no row, an empty cell, or a name that is there twice.
    """
    pairs = []
    for line, cells in read_rows(table, _NEEDED, _OPTIONAL):
        empty = [column for column in _NEEDED if not cells[column]]
        if empty:
            raise InputError(f'Line {line} of "{table.name}" has no {empty[0]}; fill it in, or remove the line.')
        files = {column: table.parent / cells[column] for column in cells if column != "name" and cells[column]}
        name = cells.get("name") or without_ending(Path(cells["reference"]).as_posix())
        pairs.append(
            Pair(
                name, files["reference"], files["prediction"], files.get("other"), files.get("mask"), files.get("input")
            )
        )
    if not pairs:
        raise InputError(f'"{table.name}" has no rows; give a line for every pair.')
    twice = [name for name, count in Counter(pair.name for pair in pairs).items() if count > 1]
    if twice:
        raise InputError(f'"{table.name}" has two pairs called "{twice[0]}"; give them names of their own in "name".')
    if len({pair.other is None for pair in pairs}) > 1:
        raise InputError(f'"{table.name}" names the other method\'s volume in some lines only; fill in "other" in all.')
    return pairs


def _volumes(folder: Path) -> dict[str, Path]:
    """The volumes of a folder by their place in it, without the ending."""
    if not folder.is_dir():
        raise InputError(f'"{folder}" is no folder; give folders of volumes on either side, or a file on either side.')
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        if _is_volume(file, folder):
            name = without_ending(file.relative_to(folder).as_posix())
            if name in found:
                raise InputError(f'"{found[name].name}" and "{file.name}" in "{folder}" share a name; move one away.')
            found[name] = file
    return found


def _is_volume(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.name.lower().endswith(ENDINGS) and not hidden and file.is_file()
