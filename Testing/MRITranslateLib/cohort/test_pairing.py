"""Which volumes belong together, by names and by tables."""

from pathlib import Path

import pytest

from MRITranslateLib.cohort.pairing import Pair, holds_volumes, pair_by_name, read_pairs
from MRITranslateLib.errors import InputError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_names_count_and_formats_do_not(tmp_path: Path) -> None:
    reference = touch(tmp_path / "r", "a.nii.gz", "sub/b.nrrd", "c.mha", "notes.txt", ".hidden/x.nii")
    prediction = touch(tmp_path / "p", "a.NRRD", "sub/b.nii", "d.nii.gz")
    other = touch(tmp_path / "o", "a.mhd", "sub/b.nii.gz")
    pairs, warnings = pair_by_name(reference, prediction, other)
    assert pairs == [
        Pair("a", reference / "a.nii.gz", prediction / "a.NRRD", other / "a.mhd"),
        Pair("sub/b", reference / "sub/b.nrrd", prediction / "sub/b.nii", other / "sub/b.nii.gz"),
    ]
    assert warnings == [
        "Left out for lack of a partner: 1 x reference (c).",
        "Left out for lack of a partner: 1 x prediction (d).",
    ]


def test_masks_and_inputs_come_along_or_are_missed(tmp_path: Path) -> None:
    reference, prediction = (touch(tmp_path / side, "a.nii.gz", "b.nii.gz") for side in "rp")
    masks, inputs = touch(tmp_path / "m", "a.nii.gz", "b.nii.gz"), touch(tmp_path / "i", "a.nii.gz")
    pairs, _ = pair_by_name(reference, prediction, mask=masks)
    assert [pair.mask for pair in pairs] == [masks / "a.nii.gz", masks / "b.nii.gz"]
    with pytest.raises(InputError, match='has no input called "b"'):
        pair_by_name(reference, prediction, source=inputs)


def test_what_cannot_be_paired(tmp_path: Path) -> None:
    one, other = touch(tmp_path / "r", "a.nii.gz"), touch(tmp_path / "p", "b.nii.gz")
    with pytest.raises(InputError, match="name them alike, or give --pairs"):
        pair_by_name(one, other)
    with pytest.raises(InputError, match="is no folder"):
        pair_by_name(one, other / "b.nii.gz")
    touch(one, "a.nrrd")
    with pytest.raises(InputError, match="share a name"):
        pair_by_name(one, one)


def test_a_folder_of_volumes_is_no_series(tmp_path: Path) -> None:
    assert holds_volumes(touch(tmp_path / "v", "deep/a.nii.gz"))
    assert not holds_volumes(touch(tmp_path / "d", "IM0001", "IM0002.dcm"))
    assert not holds_volumes(tmp_path / "v" / "deep" / "a.nii.gz")


def test_a_table_names_files_beside_it(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("Reference;prediction;other;input;name\nr/a.nii.gz;p/a.nii.gz;o/a.nii.gz;;\n", encoding="utf-8")
    assert read_pairs(table) == [
        Pair("r/a", tmp_path / "r/a.nii.gz", tmp_path / "p/a.nii.gz", tmp_path / "o/a.nii.gz", None, None)
    ]


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("has no rows", "reference,prediction\n"),
        ("Line 3 .* has no prediction", "reference,prediction\na,b\nc,\n"),
        ('two pairs called "x"', "name,reference,prediction\nx,a,b\nx,c,d\n"),
        ("in some lines only", "reference,prediction,other\na,b,c\nd,e,\n"),
        ('did you mean "mask"', "reference,prediction,masks\na,b,c\n"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, sentence: str, text: str) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        read_pairs(table)
