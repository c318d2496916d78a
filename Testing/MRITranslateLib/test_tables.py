"""Tables that people write: what is read, and that what is wrong is named with its line."""

import os
from pathlib import Path

import pytest

from MRITranslateLib.errors import InputError
from MRITranslateLib.tables import read_rows


def table(folder: Path, text: str) -> Path:
    file = folder / "index.csv"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_cells_by_column(tmp_path: Path, sign: str) -> None:
    text = "\ufeffInput , Mask\n\n a.nii , \nb.nii,m.nii\n".replace(",", sign)
    rows = list(read_rows(table(tmp_path, text), ("input",), ("mask",)))
    assert rows == [(3, {"input": "a.nii", "mask": ""}), (4, {"input": "b.nii", "mask": "m.nii"})]


def test_other_columns_pass_where_any_may_be_there(tmp_path: Path) -> None:
    assert list(read_rows(table(tmp_path, "input,age\na.nii,7\n"), ("input",))) == [(2, {"input": "a.nii", "age": "7"})]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_line_breaks_end_a_line(tmp_path: Path, end: str) -> None:
    """Not U+0085, U+2028 or a form feed, at which str.splitlines splits; nor a line break within quotes."""
    file = tmp_path / "index.csv"
    cells = ["a\x85b", "c\u2028d", "e\x0cf", "g\x1ch", f'"k{end}l"', "m"]
    file.write_bytes(end.join(["input", *cells, ""]).encode())
    rows = [(line, row["input"]) for line, row in read_rows(file, ("input",))]
    assert rows == [
        (2, "a\x85b"),
        (3, "c\u2028d"),
        (4, "e\x0cf"),
        (5, "g\x1ch"),
        (7, f"k{end}l"),
        (8, "m"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mask\nm.nii\n", 'no column "input"; its first line must name input'),
        ("", 'no column "input"'),
        ("input,maks\na,b\n", 'may not have a column "maks"; did you mean "mask"?'),
        ("input,weather\na,b\n", "it may have input, mask."),
        ("input,mask,input\na,b,c\n", 'two columns "input"'),
        ("input,mask\na\n", 'Line 2 of "index.csv" has not 2 cells'),
        ("input,mask\na,b\na,b,c\n", 'Line 3 of "index.csv" has not 2 cells'),
        ('input,mask\na,"b\n', "no valid CSV"),
        ('input,mask\n"a\nb",c\nd\n', 'Line 4 of "index.csv" has not 2 cells'),
        ("input,mask\na,b\n\0c,d\n", 'Line 3 of "index.csv" holds a NUL character'),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        list(read_rows(table(tmp_path, text), ("input",), ("mask",)))
    assert words in str(caught.value)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list(read_rows(tmp_path / "none.csv", ("input",)))
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no text in UTF-8"):
        list(read_rows(binary, ("input",)))


def test_what_is_no_readable_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; give a file"):
        list(read_rows(tmp_path, ("input",)))
    with pytest.raises(InputError, match=r"cannot be read \(File name too long\)"):
        list(read_rows(tmp_path / (300 * "x"), ("input",)))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    file = table(tmp_path, "input\na\n")
    file.chmod(0)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); check its permissions"):
        list(read_rows(file, ("input",)))
