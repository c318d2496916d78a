"""Which images belong to whom and to which part, for every way to keep a data set."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from MRITranslateLib.errors import InputError
from Training.config.data import DataConfig
from Training.data.index import Index, family_of, is_phantom, label_map_of, read_index

PNG = Path(__file__).parents[4] / "shared" / "data" / "t1_t2_png"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def folders(tmp_path) -> Path:
    for name in ("p1", "p2", "p3", "p4"):
        touch(tmp_path, f"{name}/t1.nii.gz", f"{name}/t2.nii.gz")
    touch(tmp_path, "notes.txt", "elsewhere/readme.md")
    return tmp_path


def parts(index: Index) -> tuple[list[str], list[str], list[str]]:
    return list(index.train), list(index.validation), list(index.test)


def test_a_folder_per_subject(folders):
    index = read_index(DataConfig(root=folders, train=["p1", "p3"], test=["p2"], phantoms=1))
    assert parts(index) == (["p1", "p3", "phantom-1000"], [], ["p2"])
    assert set(index.scans) == {"p1", "p2", "p3", "p4"}
    (scan,) = index.scans["p1"]
    assert (scan.name, scan.source, scan.target) == ("p1", folders / "p1/t1.nii.gz", folders / "p1/t2.nii.gz")
    assert index.split() == {"train": ["p1", "p3", "phantom-1000"], "validation": [], "test": ["p2"]}


def test_without_a_list_everybody_else_is_trained_on(folders):
    assert parts(read_index(DataConfig(root=folders, validation=["p2"]))) == (["p1", "p3", "p4"], ["p2"], [])
    data = DataConfig(root=folders, leave_out=["p4"], validation_share=0.3, test_share=0.3, split_seed=4)
    train, validation, test = parts(read_index(data))
    assert sorted(train + validation + test) == ["p1", "p2", "p3"]
    assert len(train) == len(validation) == len(test) == 1
    assert parts(read_index(data)) == (train, validation, test)
    draws = {parts(read_index(data.model_copy(update={"split_seed": seed})))[1][0] for seed in range(30)}
    assert draws == {"p1", "p2", "p3"}


def test_digital_heads_need_no_folder():
    index = read_index(DataConfig(test=["phantom-1"], phantoms=2))
    assert parts(index) == (["phantom-1000", "phantom-1001"], [], ["phantom-1"])
    assert is_phantom("phantom-7")
    assert not is_phantom("phantom-x")


def test_two_folders_are_paired_by_name_and_grouped_by_subject(tmp_path):
    touch(tmp_path, "t1/p1_001.png", "t1/p1_002.png", "t1/p2_001.png", "t1/.hidden.png", "t1/notes.txt")
    touch(tmp_path, "t2/p1_001.jpg", "t2/p1_002.png", "t2/p2_001.nii.gz")
    data = DataConfig(root=tmp_path, source_folder="t1", target_folder="t2")
    index = read_index(data)
    assert index.train == ("p1_001", "p1_002", "p2_001")
    assert index.scans["p1_001"][0].target == tmp_path / "t2/p1_001.jpg"
    grouped = data.model_copy(update={"subject_pattern": r"/(p\d+)_", "train": ["p2"], "validation": ["p1"]})
    index = read_index(grouped)
    assert [scan.name for scan in index.scans["p1"]] == ["p1_001", "p1_002"]
    assert parts(index) == (["p2"], ["p1"], [])
    touch(tmp_path, "t1/p3_001.png")
    with pytest.raises(InputError, match='"p3_001" has no target image'):
        read_index(data)
    assert read_index(data, paired=False).having("target", ["p1_001", "p3_001"]) == ["p1_001"]
    touch(tmp_path, "t1/p3_001.jpg")
    with pytest.raises(InputError, match=r'"p3_001.jpg" and "p3_001.png" .* have one name'):
        read_index(data)
    with pytest.raises(InputError, match="finds no subject"):
        read_index(data.model_copy(update={"source_folder": "t2", "subject_pattern": r"(x\d)"}))


def test_unpaired_folders_bring_their_parts_along(tmp_path):
    touch(tmp_path, "trainA/a1.png", "trainA/a2.png", "trainB/b1.png", "testA/a3.png", "testB/b2.png", "valA/a4.png")
    (tmp_path / "valB").mkdir()
    data = DataConfig(root=tmp_path, source_folder="trainA", target_folder="trainB")
    index = read_index(data, paired=False)
    assert parts(index) == (["a1", "a2", "b1"], ["a4"], ["a3", "b2"])
    assert index.having("source", index.train) == ["a1", "a2"]
    assert index.having("target", index.train) == ["b1"]
    touch(tmp_path, "testB/a1.png")
    with pytest.raises(InputError, match='"a1" is in test and in train'):
        read_index(data, paired=False)


def test_a_table(tmp_path):
    touch(tmp_path, "images/1.nii.gz", "images/2.nii.gz", "images/3.png")
    table = tmp_path / "index.csv"
    table.write_text(
        "subject;source;target;split\nx;images/1.nii.gz;images/2.nii.gz;train\n\nx;images/3.png;images/3.png;train\n"
        'y;"images/2.nii.gz";images/1.nii.gz;val\n',
        encoding="utf-8-sig",
    )
    index = read_index(DataConfig(index=table))
    assert parts(index) == (["x"], ["y"], [])
    assert [scan.name for scan in index.scans["x"]] == ["x-line-2", "x-line-4"]
    assert index.scans["y"][0].source == tmp_path / "images/2.nii.gz"
    table.write_text("subject,source,target\nx,images/1.nii.gz,\ny,,images/3.png\n")
    unpaired = read_index(DataConfig(index=table), paired=False)
    assert unpaired.having("source", unpaired.train) == ["x"]
    with pytest.raises(InputError, match=r'"x" has no target image, and 1 more'):
        read_index(DataConfig(index=table))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("subject,source\nx,a", 'no column "target"'),
        ("subject,source,target\nx,1.png,1.png\nx,1.png", 'Line 3 of "index.csv" has not 3 cells'),
        ("subject,source,target\nx,1.png,1.png,7", 'Line 2 of "index.csv" has not 3 cells'),
        ("subject,source,target\nx,1.png,none.png", 'Line 2 of "index.csv": "none.png" does not exist'),
        ("subject,source,target\nx,1.png,../1.png", r'Line 2 of "index.csv": "../1.png" lies outside of .*; set data'),
        ("subject,source,target\nx,1.png,/etc/passwd", 'Line 2 of "index.csv": "/etc/passwd" lies outside'),
        ("subject,source,target\n,1.png,1.png", 'Line 2 of "index.csv" names no subject'),
        ("subject,source,target\nx,,", 'Line 2 of "index.csv" names no image'),
        ("subject,source,target,split\nx,1.png,1.png,trian", 'Line 2 of "index.csv" says "trian"'),
        ("subject,source,target,split\nx,1.png,1.png,train\nx,1.png,1.png,test", '"x" is in test and in train'),
        ('subject,source,target\nx,"1.png,1.png', "Line 2 .* is no valid CSV"),
        ("subject,source,target\n", "no rows"),
        ("", 'no column "subject"'),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_read_name_their_line(tmp_path, rows, says):
    touch(tmp_path, "set/1.png", "1.png")
    (tmp_path / "set/index.csv").write_text(rows)
    with pytest.raises(InputError, match=says):
        read_index(DataConfig(index=tmp_path / "set/index.csv"))


def test_a_table_may_point_anywhere_below_root(tmp_path):
    touch(tmp_path, "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/index.csv").write_text("subject,source,target\nx,../1.png,../1.png\n")
    index = read_index(DataConfig(index=tmp_path / "set/index.csv", root=tmp_path))
    assert index.scans["x"][0].source == tmp_path / "1.png"


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "index.csv").write_bytes(b"\xff\xfe\x00subject")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_index(DataConfig(index=tmp_path / "index.csv"))
    with pytest.raises(InputError, match="does not exist"):
        read_index(DataConfig(index=tmp_path / "none.csv"))


@pytest.mark.parametrize("name", ["split.yaml", "split.csv"])
def test_a_split_file_says_who_is_where(folders, name):
    written = {"train": ["p1", "phantom-1000"], "validation": ["p2"], "test": ["p4"]}
    rows = "\n".join(f"{subject},{part}" for part, names in written.items() for subject in names)
    (folders / name).write_text(yaml.safe_dump(written) if name.endswith("yaml") else f"subject,part\n{rows}\n")
    index = read_index(DataConfig(root=folders, split=folders / name, phantoms=2))
    assert parts(index) == (["p1", "phantom-1000", "phantom-1001"], ["p2"], ["p4"])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("s.yaml", "train: [p1]\ntrial: [p2]", "must hold the lists"),
        ("s.yaml", "train: [p1, 007]", "put quotes around 7"),
        ("s.yaml", "train: p1", "must be a list"),
        ("s.yaml", "train: [", "not valid YAML"),
        ("s.csv", "subject,part\np1,train\np2,", 'Line 3 of "s.csv" is incomplete'),
        ("s.csv", "subject,part\np1,train\np1,test", '"p1" is in data.train and data.test'),
        ("s.csv", "subject,part\np11,train", r'data.train names "p11", .* did you mean p1'),
    ],
)
def test_split_files_that_cannot_be_used(folders, name, text, says):
    (folders / name).write_text(text)
    with pytest.raises(InputError, match=says):
        read_index(DataConfig(root=folders, split=folders / name))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"train": ["p1", "p2"], "validation": ["p1"]}, '"p1" is in data.train and data.validation'),
        ({"train": ["p1", "p1"]}, '"p1" is twice in data.train'),
        ({"train": ["nobody"]}, r'data.train names "nobody", .* the 4 subjects are p1, p2, p3, ...'),
        ({"leave_out": ["p22"]}, r'data.leave_out names "p22", .* did you mean p2'),
        ({"train": ["phantom-x"]}, "such as phantom-7"),
        ({"train": []}, "nothing to train on"),
        ({"validation": ["p1", "p2", "p3", "p4"]}, "nothing to train on"),
        ({"source_file": "flair.nii.gz"}, r'"p1" has no source image, and 3 more'),
        ({"source_file": "x.mha", "target_file": "y.mha"}, "a folder per subject with x.mha and y.mha"),
        ({"root": Path("/nowhere/at/all")}, "does not exist"),
        ({"root": None, "train": ["p1"]}, "--data FOLDER"),
        ({"source_folder": "t1", "target_folder": "t2"}, "check data.source_folder"),
    ],
)
def test_mistakes_are_told_in_one_sentence(folders, settings, says):
    with pytest.raises(InputError, match=says) as error:
        read_index(DataConfig(**{"root": folders, **settings}))
    assert "\n" not in str(error.value)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="There are no images in"):
        read_index(DataConfig(root=tmp_path))


def test_a_subject_cannot_be_called_like_a_digital_head(tmp_path):
    touch(tmp_path, "phantom-3/t1.nii.gz")
    with pytest.raises(InputError, match="rename"):
        read_index(DataConfig(root=tmp_path))


def test_heads_from_label_maps(tmp_path):
    touch(tmp_path, "mni.nii.gz", "old-one.nii")
    data = DataConfig(label_maps=tmp_path, label_heads=3, phantoms=1, test=["phantom-1"])
    index = read_index(data)
    made = ["labels-mni-1000", "labels-old-one-1001", "labels-mni-1002"]
    assert parts(index) == (["phantom-1000", *made], [], ["phantom-1"])
    assert index.label_maps == {"mni": tmp_path / "mni.nii.gz", "old-one": tmp_path / "old-one.nii"}
    assert index.having("target", made) == made
    assert label_map_of("labels-old-one-7") == "old-one"
    assert label_map_of("phantom-7") is None
    assert is_phantom("labels-mni-7")


def test_the_heads_of_a_label_map_stay_in_one_part(tmp_path):
    touch(tmp_path, "mni.nii.gz", "old.nii.gz")
    data = DataConfig(label_maps=tmp_path, label_heads=2, test=["labels-mni-1", "labels-mni-2"])
    assert parts(read_index(data)) == (["labels-old-1000", "labels-old-1001"], [], ["labels-mni-1", "labels-mni-2"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"train": ["labels-mni-1"], "test": ["labels-mni-2"]}, '"mni" are in data.train and in data.test'),
        ({"label_heads": 1, "test": ["labels-mni-2"]}, "No label map is left"),
        ({"train": ["labels-other-1"]}, 'no label map "other"'),
        ({"train": ["labels-mni"]}, "such as labels-mni-7"),
        ({"label_maps": None, "label_heads": 1}, "--data.label_maps FOLDER"),
        ({"label_maps": Path("/nowhere/at/all")}, "check data.label_maps"),
    ],
)
def test_mistakes_about_label_maps_are_told_in_one_sentence(tmp_path, settings, says):
    touch(tmp_path, "mni.nii.gz")
    with pytest.raises(InputError, match=says) as error:
        read_index(DataConfig(**{"label_maps": tmp_path, **settings}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"source_folder": "a"},
        {"source_folder": "a", "target_folder": "a"},
        {"index": "x.csv", "source_folder": "a", "target_folder": "b"},
        {"split": "x.yaml", "train": ["p1"]},
        {"split": "x.yaml", "test_share": 0.1},
        {"validation_share": 0.5, "test_share": 0.5},
        {"subject_pattern": "("},
        {"subject_pattern": r"p\d"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings):
    with pytest.raises(ValidationError):
        DataConfig(**settings)


@pytest.mark.skipif(not PNG.is_dir(), reason="the real pictures are not here")
def test_real_pictures_are_grouped_by_patient():
    data = DataConfig(
        root=PNG / "paired_slices",
        source_folder="t1",
        target_folder="t2",
        subject_pattern=r"t\d/([a-z]+_[a-z0-9]+)",
        validation_share=0.2,
    )
    index = read_index(data)
    assert 5 <= len(index.scans) <= 12
    assert not set(index.train) & set(index.validation)
    assert sum(len(scans) for scans in index.scans.values()) > 50


def test_families():
    names = ("mscs_p07", "mslg_p01_s1", "brats_gli00001", "tcga_fg6692", "phantom-3", "labels-mni-3", "alone")
    assert [family_of(name) for name in names] == ["mscs", "mslg", "glioma", "glioma", "phantom", "labels", "alone"]
