"""The table of a batch: what its rows mean, what is refused before any work, and how it is dealt out."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from MRITranslateLib.batch.table import Row, parse_shard, read_table, take_shard
from MRITranslateLib.errors import InputError


def read(folder: Path, text: str, model: str | None = "tiny", output: str = "out") -> list[Row]:
    file = folder / "index.csv"
    file.write_text(text, encoding="utf-8")
    return read_table(file, folder / output, model, lambda name: Path(name).name)


def test_a_full_row(tmp_path: Path) -> None:
    text = "id,input,mask,output,model,uncertainty\np1,p1/t1.nii.gz,p1/m.nrrd,p1/t2.nrrd,models/own,p1/sd.mha\n"
    (row,) = read(tmp_path, text)
    assert (row.line, row.name, row.cells) == (2, "p1", ("p1/t1.nii.gz", "p1/m.nrrd"))
    assert (row.input, row.mask) == (tmp_path / "p1" / "t1.nii.gz", tmp_path / "p1" / "m.nrrd")
    assert row.outputs == [tmp_path / "out" / "p1" / "t2.nrrd", tmp_path / "out" / "p1" / "sd.mha"]
    assert row.model == str(tmp_path / "models" / "own")


def test_what_a_row_leaves_out(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "P2.NII.GZ"
    rows = read(tmp_path, f"input,id,model\na/t1.mha,,\n{elsewhere},,\na/series.3,,\nx.nii,p 4,other\n")
    assert [row.output.name for row in rows] == [
        "t1_tiny.nii.gz",
        "P2_tiny.nii.gz",
        "series.3_tiny.nii.gz",
        "p 4_other.nii.gz",
    ]
    assert [row.name for row in rows] == ["a/t1.mha", str(elsewhere), "a/series.3", "p 4"]
    assert rows[1].input == elsewhere
    assert [row.model for row in rows] == ["tiny", "tiny", "tiny", "other"]
    assert all(row.mask is None and row.uncertainty is None for row in rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("input\n", "no rows below its header"),
        ("input,mask\na.nii,\n,m.nii\n", 'Line 3 of "index.csv" names no input'),
        ("input,outptu\na.nii,b.nii\n", 'did you mean "output"?'),
        ("input,output\na.nii,b.jpg\n", 'Line 2 of "index.csv": the output "b.jpg" has no image extension'),
        ("input,output\na.nii,../b.nii\n", "lies outside of the output folder"),
        ("input,output\na.nii,/b.nii\n", "lies outside of the output folder"),
        ("input,id\na.nii,../../b\n", "lies outside of the output folder"),
        (
            "input\np1/t1.nii\np2/t2.nii\np2/t1.nii.gz\n",
            'Lines 2 and 4 of "index.csv" would write "t1_tiny.nii.gz" twice',
        ),
        ("input,output\na.nii,x.nii\nb.nii,y.nii\nc.nii,./x.nii\n", "Lines 2 and 4"),
        ("input,output\na.nii,x.nii\nb.nii,X.NII\n", 'Lines 2 and 3 of "index.csv" would write "X.NII" twice'),
        ("input\na.nii\nb\0.nii\n", 'Line 3 of "index.csv" holds a NUL character'),
        ("input,output,uncertainty\na.nii,x.nii,x.nii\n", 'Line 2 of "index.csv" would write "x.nii" twice'),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    for text in ("input,output\na.nii,b.nii\nb.nii,c.nii\n", "input,mask,output\na.nii,,b.nii\nc.nii,b.nii,d.nii\n"):
        with pytest.raises(InputError, match=r"Lines 2 and 3 .* would overwrite an input"):
            read(tmp_path, text, output=".")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"Line 2 .* would overwrite an input"):
        read(tmp_path, "input,output\na.nii,a.nii\n", output="link")


def test_links_do_not_lead_an_output_elsewhere(tmp_path: Path) -> None:
    for folder in ("out", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "b.nii").symlink_to(tmp_path / "elsewhere" / "b.nii")
    for output in ("link/b.nii.gz", "b.nii", "link/deep/../b.nii"):
        with pytest.raises(InputError, match=f'Line 2 .* the output "{output}" lies outside of the output folder'):
            read(tmp_path, f"input,output\na.nii,{output}\n")
    (tmp_path / "out" / "deep").mkdir()
    (tmp_path / "out" / "within").symlink_to("deep")
    (row,) = read(tmp_path, "input,output\na.nii,within/b.nii\n")
    assert row.output == tmp_path / "out" / "deep" / "b.nii"
    with pytest.raises(InputError, match=r'Lines 2 and 3 .* would write "b.nii" twice'):
        read(tmp_path, "input,output\na.nii,within/b.nii\nc.nii,deep/b.nii\n")


def test_links_do_not_hide_an_input(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "inlink").symlink_to("out")
    (tmp_path / "file.nii").symlink_to("out/a.nii")
    for row in ("inlink/a.nii,,a.nii", "file.nii,,a.nii", "x.nii,inlink/m.nii,m.nii", "out/A.nii,,a.nii"):
        with pytest.raises(InputError, match=r"Line 2 .* would overwrite an input"):
            read(tmp_path, f"input,mask,output\n{row}\n")
    (row,) = read(tmp_path, "input\nfile.nii\n")
    assert row.input == tmp_path / "file.nii"  # by the name that the table gives


def test_a_name_is_one_line(tmp_path: Path) -> None:
    (row,) = read(tmp_path, 'input,id\na.nii,"p\n1\x1b[2J"\n')
    assert row.name == "p 1[2J"


def test_no_model(tmp_path: Path) -> None:
    text = "input,model\na.nii,tiny\nb.nii,\n"
    assert len(read(tmp_path, text)) == 2
    with pytest.raises(InputError, match=r"Line 3 .* names no model; give one with --model"):
        read(tmp_path, text, model=None)


def rows_of(count: int) -> list[Row]:
    path = Path("x")
    return [Row(line, str(line), ("x", None), path, None, "tiny", path, None) for line in range(2, count + 2)]


@given(st.integers(0, 200), st.integers(1, 40))
def test_shards_are_disjoint_complete_and_even(count: int, shards: int) -> None:
    rows = rows_of(count)
    dealt = [take_shard(rows, (index, shards)) for index in range(1, shards + 1)]
    assert dealt == [take_shard(rows, (index, shards)) for index in range(1, shards + 1)]
    lines = [row.line for part in dealt for row in part]
    assert len(lines) == len(set(lines))
    assert sorted(lines) == [row.line for row in rows]
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    if count >= 2 and shards >= 2:  # neighbours lie in different shards
        assert all(abs(a.line - b.line) >= 2 for part in dealt for a, b in pairwise(part))


@given(st.integers(1, 999), st.integers(1, 999))
def test_a_shard_is_written_as_one_of_many(index: int, count: int) -> None:
    assert parse_shard(f"{index}/{count}") == (index, count)
    if index > count:
        with pytest.raises(InputError, match=f"count from 1/{count} to {count}/{count}"):
            take_shard(rows_of(3), (index, count))


@pytest.mark.parametrize("text", ["", "2", "2/", "/8", "2/8/3", "-1/8", "a/b", "1.5/8"])
def test_no_shard(text: str) -> None:
    with pytest.raises(InputError, match="write for example 2/8"):
        parse_shard(text)


@pytest.mark.parametrize("shard", [(0, 8), (9, 8), (1, 0), (0, 0)])
def test_no_such_shard(shard: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="There is no shard"):
        take_shard(rows_of(3), shard)
