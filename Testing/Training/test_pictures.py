"""Pictures: found, labelled, split by group, cached, and drawn as a function of seed and index."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from MRITranslateLib.errors import InputError
from MRITranslateLib.phantom import phantom
from MRITranslateLib.volume import write_volume
from Training.config.pictures import PictureAugmentConfig, PictureConfig
from Training.data.pictures import RandomPictures, augment_picture, load_pictures, split_groups

PLAIN = PictureAugmentConfig(flip=0, rotate_degrees=0, scale=0, shift=0, gamma=0, brightness=0, noise=0)


def save(file: Path, value: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((20, 24), np.uint8)
    array[2:18, 3:21] = 40 + value
    array[8:12, 8:12] = 255
    Image.fromarray(array).save(file)


@pytest.fixture
def folder(tmp_path) -> Path:
    for number in range(12):
        save(tmp_path / "pictures" / ("cat" if number % 3 else "dog") / f"p{number // 2}_{number}.png", number)
    return tmp_path / "pictures"


def table(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_a_folder_per_class(folder):
    data = load_pictures(PictureConfig(root=folder, size=16, group_pattern=r"/(p\d+)_"))
    assert data.classes == ["cat", "dog"]
    assert data.pictures.shape == (12, 16, 16)
    assert data.pictures.dtype == np.float16
    assert set(data.groups) == {f"p{number}" for number in range(6)}
    for name, label in zip(data.names, data.labels, strict=True):
        assert label.tolist() == [float(name.startswith("cat")), float(name.startswith("dog"))]
    everywhere = np.concatenate(list(data.parts.values()))
    assert sorted(everywhere) == list(range(12))
    where = {part: {data.groups[index] for index in indices} for part, indices in data.parts.items()}
    assert not where["train"] & where["validation"]
    assert not where["train"] & where["test"]
    assert not where["validation"] & where["test"]
    assert data.split()["train"] == [data.names[index] for index in data.parts["train"]]


def test_the_split_depends_on_names_and_seed_and_keeps_its_shares():
    groups = [f"g{number // 3}" for number in range(300)]
    labels = np.eye(2, dtype=np.float32)[[int(number % 5 == 0) for number in range(100)]].repeat(3, axis=0)
    place = split_groups(groups, labels, 0.2, 0.1, seed=1)
    assert place == split_groups(groups[::-1], labels[::-1], 0.2, 0.1, seed=1)
    assert place != split_groups(groups, labels, 0.2, 0.1, seed=2)
    for kind in (0, 1):
        mine = [place[group] for group, label in zip(groups, labels, strict=True) if label[kind]]
        assert mine.count("validation") / len(mine) == pytest.approx(0.2, abs=0.05)
        assert mine.count("test") / len(mine) == pytest.approx(0.1, abs=0.05)
    with pytest.raises(InputError, match="nothing to train on"):
        split_groups(groups, labels, 0.5, 0.5, seed=1)


def test_findings_of_a_table_are_taken_apart(folder):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    texts = ["A, B", "A", "No Finding", "", "B,A ", "C", *[""] * 6]
    rows = [{"file": file, "finding": text, "view": "PA"} for file, text in zip(files, texts, strict=True)]
    rows[1]["view"] = "AP"
    config = PictureConfig(
        index=table(folder / "index.csv", rows), labels=["finding"], separator=",", least_count=2, size=16
    )
    data = load_pictures(config)
    assert data.classes == ["A", "B"]
    expected = [[1, 1], [1, 0], [0, 0], [np.nan] * 2, [1, 1], [0, 0]] + [[np.nan] * 2] * 6
    np.testing.assert_array_equal(data.labels, expected)
    table(folder / "index.csv", [*rows, rows[0]])
    assert load_pictures(config).names == data.names
    fewer = load_pictures(config.model_copy(update={"only": {"view": ["PA"]}}))
    assert fewer.names == files[:1] + files[2:]


def test_an_empty_cell_leaves_the_names_of_its_own_column_unknown(folder):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))[:6]
    cells = [("A, B", "PA"), ("No Finding", ""), ("", "AP"), ("", ""), ("B", "AP"), (" ", " PA,")]
    rows = [{"file": file, "finding": one, "view": other} for file, (one, other) in zip(files, cells, strict=True)]
    config = PictureConfig(
        index=table(folder / "index.csv", rows), labels=["finding", "view"], separator=",", size=16, split_seed=1
    )
    data = load_pictures(config)
    assert data.classes == ["A", "AP", "B", "PA"]
    unknown = np.nan
    expected = [
        [1, 0, 1, 1],
        [0, unknown, 0, unknown],
        [unknown, 1, unknown, 0],
        [unknown] * 4,
        [0, 1, 1, 0],
        [unknown, 0, unknown, 1],
    ]
    np.testing.assert_array_equal(data.labels, expected)
    # Classes of rows that were not taken are none.
    fewer = load_pictures(config.model_copy(update={"only": {"view": ["AP"]}, "least_count": 2}))
    assert fewer.classes == ["AP"]
    np.testing.assert_array_equal(fewer.labels, [[1], [1]])


def test_a_class_of_two_columns_is_there_when_either_names_it(folder):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))[:4]
    cells = [("A", "B"), ("B", "A"), ("B", ""), ("C", "B")]
    rows = [{"file": file, "first": one, "second": other} for file, (one, other) in zip(files, cells, strict=True)]
    config = PictureConfig(index=table(folder / "index.csv", rows), labels=["first", "second"], separator=",", size=16)
    data = load_pictures(config)
    assert data.classes == ["A", "B", "C"]
    np.testing.assert_array_equal(data.labels, [[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1]])


def test_a_split_file_gives_every_group_its_part_and_the_table_has_precedence(folder, tmp_path):
    config = PictureConfig(root=folder, size=16, group_pattern=r"/(p\d+)_")
    split = tmp_path / "split.yaml"
    split.write_text("train: [p0, p1, p2, stranger]\nvalidation: [p3]\ntest: [p4, p5]\n")
    data = load_pictures(config.model_copy(update={"split_file": split}))
    for part, groups in (("train", {"p0", "p1", "p2"}), ("validation", {"p3"}), ("test", {"p4", "p5"})):
        assert {data.groups[index] for index in data.parts[part]} == groups
    (tmp_path / "split.csv").write_text(
        "subject,part\n" + "".join(f"p{n},{'val' if n else 'test'}\n" for n in range(6))
    )
    data = load_pictures(config.model_copy(update={"split_file": tmp_path / "split.csv"}))
    assert {data.groups[index] for index in data.parts["test"]} == {"p0"}
    assert len(data.parts["train"]) == 0

    rows = [
        {"file": name, "class": "x", "patient": group, "part": "train" if group == "p4" else ""}
        for name, group in zip(data.names, data.groups, strict=True)
    ]
    named = {"index": table(folder / "index.csv", rows), "group": "patient", "split": "part", "split_file": split}
    data = load_pictures(config.model_copy(update=named))
    assert {data.groups[index] for index in data.parts["train"]} == {"p0", "p1", "p2", "p4"}
    assert {data.groups[index] for index in data.parts["test"]} == {"p5"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, r"split\.yaml\" does not exist"),
        ("train: [p0, p1, p2, p3, p4]", 'says nothing of "p5"'),
        ("train: [p0, p1, p2, p3, p4, p5]\ntest: [p3]", 'puts "p3" into train and test; choose one'),
        ("train: [p0]\nrest: [p1]", "must hold the lists train, validation and test"),
        ("train: [0, 1]", "put quotes around 0"),
    ],
)
def test_mistakes_in_the_split_file(folder, tmp_path, text, says):
    file = tmp_path / "split.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        load_pictures(PictureConfig(root=folder, size=16, group_pattern=r"/(p\d+)_", split_file=file))
    assert "\n" not in str(error.value)


def test_a_column_for_each_finding(folder):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))[:3]
    values = [("1", "0"), ("", "1.0"), ("-1", "")]
    rows = [{"file": file, "A": a, "B": b, "part": "train"} for file, (a, b) in zip(files, values, strict=True)]
    config = PictureConfig(index=table(folder / "index.csv", rows), labels=["A", "B"], split="part", size=16)
    data = load_pictures(config)
    np.testing.assert_array_equal(data.labels, [[1, 0], [np.nan, 1], [np.nan, np.nan]])
    assert {part: len(indices) for part, indices in data.parts.items()} == {"train": 3, "validation": 0, "test": 0}


def test_classes_that_are_too_rare_are_unknown_where_classes_exclude_each_other(folder):
    save(folder / "emu" / "x.png", 7)
    data = load_pictures(PictureConfig(root=folder, size=16, least_count=2))
    assert data.classes == ["cat", "dog"]
    assert np.isnan(data.labels[data.names.index("emu/x.png")]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": ["kind"]}, 'no column "kind"; it has file, class, patient, part'),
        ({"group": "person"}, 'no column "person"'),
        ({"index": Path("nowhere.csv")}, "nowhere.csv.*cannot be read"),
        ({"root": Path("nowhere")}, r"cat.*does not exist"),
        ({"split": "part"}, 'Row 3 of "index.csv" says split "verify"'),
        ({"split": "patient", "group": "class"}, 'puts "cat" into train and test'),
    ],
)
def test_mistakes_in_the_table(folder, change, says):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    rows = [
        {"file": files[0], "class": "cat", "patient": "train", "part": "train"},
        {"file": files[1], "class": "cat", "patient": "test", "part": "verify"},
    ]
    config = PictureConfig(index=table(folder / "index.csv", rows), size=16).model_copy(update=change)
    with pytest.raises(InputError, match=says) as error:
        load_pictures(config)
    assert "\n" not in str(error.value)


def test_other_mistakes(folder, tmp_path):
    with pytest.raises(InputError, match=r"name a folder in pictures.root"):
        load_pictures(PictureConfig())
    with pytest.raises(InputError, match="does not exist"):
        load_pictures(PictureConfig(root=tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no PNG"):
        load_pictures(PictureConfig(root=tmp_path / "empty"))
    (folder / "cat" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken.png.*damaged"):
        load_pictures(PictureConfig(root=folder))
    for pattern in ("(", "p\\d"):
        with pytest.raises(ValidationError, match="group_pattern"):
            PictureConfig(group_pattern=pattern)
    twice = [{"file": "a.png", "class": "x"}, {"file": "a.png", "class": "y"}]
    with pytest.raises(InputError, match=r"Row 3 .* contradicts"):
        load_pictures(PictureConfig(index=table(tmp_path / "t.csv", twice)))
    (tmp_path / "t.csv").write_text("file,class\na.png\n")
    with pytest.raises(InputError, match="too few columns"):
        load_pictures(PictureConfig(index=tmp_path / "t.csv"))


def test_the_cache_knows_what_shaped_it(folder, tmp_path):
    config = PictureConfig(root=folder, size=16, cache=tmp_path / "cache")
    first, again = load_pictures(config), load_pictures(config)
    np.testing.assert_array_equal(first.pictures, again.pictures)
    assert first.names == again.names
    load_pictures(config.model_copy(update={"size": 24}))
    save(folder / "cat" / "new.png", 99)
    assert len(load_pictures(config).names) == 13
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_digital_heads_are_labelled_by_their_lesions_and_volumes_cut_into_slices(tmp_path):
    head = phantom(seed=3, shape=(6, 32, 24), spacing=(6.0, 4.0, 20.0))
    (tmp_path / "volumes").mkdir()
    write_volume(head.t1, tmp_path / "volumes" / "head.nii.gz")
    data = load_pictures(PictureConfig(root=tmp_path / "volumes", labels=[], size=32, phantoms=4, phantom_slices=3))
    assert data.names[-1] == "phantom-3#2"
    cut = [index for index, name in enumerate(data.names) if name.startswith("head.nii.gz#")]
    assert 2 <= len(cut) <= 6
    assert np.isnan(data.labels[cut]).all()
    assert data.classes == ["lesions", "no lesions"]
    healthy = [index for index, group in enumerate(data.groups) if group in ("phantom-0", "phantom-2")]
    assert (data.labels[healthy] == [0, 1]).all()
    assert data.labels[:, 0][~np.isnan(data.labels[:, 0])].sum() > 0
    # The pixels are 6 mm wide and 4 mm high: 144 mm x 128 mm fill the square but for two rows at each end.
    assert (data.pictures[cut[0]][:1] == -1).all()


def test_samples_depend_on_seed_and_index_alone_and_each_picture_comes_once_a_turn():
    pictures = np.random.default_rng(0).uniform(-1, 1, (10, 16, 16)).astype(np.float16)
    chosen = np.array([1, 3, 5, 7])
    samples = RandomPictures(pictures, chosen, PictureAugmentConfig.model_validate({}), seed=5, length=12)
    backwards = [samples[index] for index in range(11, -1, -1)][::-1]
    for (picture, number), index in zip(backwards, range(12), strict=True):
        again, same = samples[index]
        assert picture.equal(again)
        assert number == same
        assert picture.shape == (1, 16, 16)
        assert picture.abs().max() <= 1
    for turn in range(3):
        assert sorted(number for _, number in backwards[4 * turn : 4 * turn + 4]) == [1, 3, 5, 7]
    with pytest.raises(InputError, match="No picture is left"):
        RandomPictures(pictures, chosen[:0], PLAIN, 1, 1)


def test_weights_decide_how_often_a_picture_is_drawn():
    pictures = np.zeros((4, 4, 4), np.float16)
    samples = RandomPictures(pictures, np.array([0, 2]), PLAIN, 1, 400, weights=np.array([3.0, 1.0]))
    drawn = [samples[index][1] for index in range(400)]
    assert set(drawn) == {0, 2}
    assert drawn.count(0) == pytest.approx(300, abs=30)


def test_augmentation():
    rng = np.random.default_rng(0)
    picture = rng.uniform(-1, 1, (16, 16)).astype(np.float32)
    np.testing.assert_allclose(augment_picture(picture, PLAIN, rng), picture, atol=1e-6)
    flipped = augment_picture(picture, PLAIN.model_copy(update={"flip": 1.0}), rng)
    np.testing.assert_allclose(flipped, picture[:, ::-1], atol=1e-5)
    brighter = augment_picture(picture, PLAIN.model_copy(update={"gamma": 0.5}), np.random.default_rng(1))
    assert ((brighter - picture) > -1e-6).all() or ((brighter - picture) < 1e-6).all()


@pytest.mark.parametrize(
    ("change", "moves"), [({"shift": 0.2}, True), ({"rotate_degrees": 60}, False), ({"scale": 0.3}, False)]
)
def test_geometry_moves_the_patient_and_leaves_black_behind(change, moves):
    square = np.full((40, 40), -1.0, np.float32)
    square[14:26, 14:26] = 1.0
    rows, columns = np.mgrid[:40, :40] - 19.5
    for seed in range(5):
        made = augment_picture(square, PLAIN.model_copy(update=change), np.random.default_rng(seed))
        assert not np.allclose(made, square, atol=1e-3)
        assert (made[0] == -1).all()
        light = (made + 1) / 2
        centre = np.hypot((light * rows).sum(), (light * columns).sum()) / light.sum()
        assert (centre > 0.5) == moves
        area = light.sum() / 144
        assert 0.45 < area < 1.75 if "scale" in change else area == pytest.approx(1, abs=0.02)
