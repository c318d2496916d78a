"""Tables that people write: CSV with a header."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from .errors import InputError


def read_text(file: Path) -> str:
    """A text in UTF-8, with or without a byte order mark.

    Raises:
        InputError: The file is missing, cannot be read, or is no such text.
    """
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f'"{file}" does not exist; check the path.') from None
    except IsADirectoryError:
        raise InputError(f'"{file}" is a folder; give a file.') from None
    except OSError as error:
        raise InputError(f'"{file}" cannot be read ({error.strerror}); check its permissions.') from None
    except UnicodeDecodeError:
        raise InputError(f'"{file.name}" is no text in UTF-8; save it as such.') from None


def read_rows(
    file: Path, needed: Sequence[str], optional: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table row by row, separated by commas, semicolons or tabs.

    Args:
        file: CSV in UTF-8; its first line names the columns, in any case of letters.
        needed: Columns that must be there.
        optional: Columns that may be there beside them; None takes any.

    Yields:
        The number of the line, the last one of a row with a line break in quotes, and its cells by column, without
        spaces around them; empty lines are left out.

    Raises:
        InputError: The table is missing or no CSV, a column is missing, unknown (the nearest one is named) or there
            twice, or a row has too many or too few cells or a NUL character; the sentence names the line.
    """
    # Only csv knows which line breaks end a row; str.splitlines splits at more signs, and within quotes.
    text = io.StringIO(read_text(file), newline="")
    header = text.readline()
    text.seek(0)
    reader = csv.DictReader(text, delimiter=max(",;\t", key=header.count), strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or []]
        _check_columns(file, names, needed, optional)
        reader.fieldnames = names
        for cells in reader:
            if None in cells or None in cells.values():
                raise InputError(
                    f'Line {reader.line_num} of "{file.name}" has not {len(names)} cells as the header has; correct it.'
                )
            if any("\0" in cell for cell in cells.values()):  # which no path may hold
                raise InputError(f'Line {reader.line_num} of "{file.name}" holds a NUL character; remove it.')
            yield reader.line_num, {name: cell.strip() for name, cell in cells.items()}
    except csv.Error as error:
        raise InputError(
            f'Line {reader.reader.line_num} of "{file.name}" is no valid CSV ({error}); correct it.'
        ) from None


def _check_columns(file: Path, names: list[str], needed: Sequence[str], optional: Sequence[str] | None) -> None:
    missing = [column for column in needed if column not in names]
    if missing:
        raise InputError(f'"{file.name}" has no column "{missing[0]}"; its first line must name {", ".join(needed)}.')
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise InputError(f'"{file.name}" has two columns "{twice[0]}"; rename one of them.')
    known = names if optional is None else [*needed, *optional]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1, cutoff=0.5)
            hint = f'did you mean "{near[0]}"?' if near else f"it may have {', '.join(known)}."
            raise InputError(f'"{file.name}" may not have a column "{name}"; {hint}')
