"""Tables that people write: what is read, and that what is wrong is named with its line."""

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
