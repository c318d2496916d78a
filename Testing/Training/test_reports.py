"""Radiographs with reports as training data: every source, the split, the caches, the samples; broken files."""

import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from MRITranslateLib.errors import InputError
from MRITranslateLib.text import load_text_encoder
from Testing.MRITranslateLib.checkpoints import tiny_bert
from Testing.MRITranslateLib.test_reports import OPEN_I
from Testing.Training.xrays import write_xrays
from Training.config.pictures import PictureAugmentConfig
from Training.config.reports import ReportDataConfig
from Training.data.pictures import RandomPictures
from Training.data.reports import RandomReports, encode_reports, load_reports

STILL = PictureAugmentConfig(flip=0, rotate_degrees=0, scale=0, shift=0, gamma=0, brightness=0, noise=0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return write_xrays(tmp_path_factory.mktemp("xrays"))


@pytest.fixture
def folder(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "xrays")


def config(folder, **changes):
    return ReportDataConfig.model_validate({"root": folder, "reports": "reports.csv"} | changes)


def rewrite(folder, change):
    table = folder / "reports.csv"
    table.write_text(change(table.read_text(encoding="utf-8")), encoding="utf-8")


def test_a_table_is_read_and_split_by_patient(folder):
    data = load_reports(config(folder, licence="licence"), 32)
    assert data.pictures.shape == (24, 32, 32)
    assert data.pictures.dtype == np.float16
    assert data.cases[0].text == "Opacity in the left lung. The heart is normal. Case 0."
    split = data.split()
    assert sorted(len(indices) for indices in data.parts.values())[-1] > 12
    assert all(split.values())
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not set(split[one]) & set(split[other])
    assert data.licences() == "CC BY 4.0 (18 pictures), CC BY-NC-SA 4.0 (6 pictures)"
    shuffled = "\n".join(
        [(lines := (folder / "reports.csv").read_text(encoding="utf-8").splitlines())[0], *lines[:0:-1]]
    )
    rewrite(folder, lambda text: shuffled)
    assert load_reports(config(folder), 32).split() == split


def test_columns_and_rows_are_chosen_by_name(folder):
    rewrite(folder, lambda text: text.replace("file,patient,text,kind", "picture,who,findings,impression"))
    names = {"file": "picture", "group": "who", "text": ["findings", "impression"]}
    data = load_reports(config(folder, only={"impression": ["note"]}, **names), 32)
    assert len(data.cases) == 18
    assert all(case.text.endswith(". note") for case in data.cases)


def test_the_table_may_say_the_split(folder):
    def with_split(text):
        lines = text.splitlines()
        parts = ["test" if ",p0," in line else "validation" if ",p1," in line else "Train" for line in lines[1:]]
        return "\n".join([lines[0] + ",part", *(f"{line},{part}" for line, part in zip(lines[1:], parts, strict=True))])

    rewrite(folder, with_split)
    split = load_reports(config(folder, split="part"), 32).split()
    assert (split["validation"], split["test"], len(split["train"])) == (["p1"], ["p0"], 10)


def test_a_split_can_be_given_back(folder, tmp_path):
    first = load_reports(config(folder, split_seed=7), 32).split()
    file = tmp_path / "split.yaml"
    file.write_text(yaml.safe_dump(first), encoding="utf-8")
    assert load_reports(config(folder, split_file=file), 32).split() == first
    file.write_text(yaml.safe_dump({"train": first["train"]}), encoding="utf-8")
    with pytest.raises(InputError, match=r'"split\.yaml" says nothing of "p'):
        load_reports(config(folder, split_file=file), 32)


def test_open_i_files_lead_to_their_pictures(tmp_path, folder):
    (folder / "deep").mkdir()
    for number in (1, 2):
        (folder / f"x0{number}.png").rename(folder / "deep" / f"CXR7_IM-2263-{number}001.png")
    reports = tmp_path / "ecgen"
    reports.mkdir()
    (reports / "7.xml").write_text(OPEN_I.format(findings="Clear lungs.", impression="Normal."))
    data = load_reports(config(folder, reports=reports, validation=0, test=0), 32)
    assert [(case.name, case.text, case.group) for case in data.cases] == [
        ("deep/CXR7_IM-2263-1001.png", "Clear lungs. Normal.", "7")
    ]
    assert len(load_reports(config(folder, reports=reports, all_pictures=True), 32).cases) == 2

    (reports / "8.xml").write_text(OPEN_I.format(findings="", impression=""))
    with pytest.raises(InputError, match=r'"8\.xml" has neither findings.*skip_unusable'):
        load_reports(config(folder, reports=reports), 32)
    (reports / "9.xml").write_text(OPEN_I.format(findings="Clear.", impression="").replace("CXR7", "CXR9"))
    data = load_reports(config(folder, reports=reports, skip_unusable=True), 32)
    assert len(data.cases) == 1
    assert ["8.xml" in data.skipped[0], "9.xml" in data.skipped[1]] == [True, True]


def test_text_files_lie_beside_their_pictures(folder):
    for number in range(4):
        (folder / f"x0{number}.txt").write_text(f"Case\n{number}.", encoding="utf-8")
    data = load_reports(config(folder, reports=None, validation=0, test=0), 32)
    assert [case.text for case in data.cases] == ["Case 0.", "Case 1.", "Case 2.", "Case 3."]


@pytest.mark.parametrize(
    ("damage", "changes", "says"),
    [
        (lambda f: None, {"root": None}, "--data FOLDER"),
        (lambda f: None, {"root": "nowhere"}, '"nowhere" does not exist'),
        (lambda f: None, {"reports": "no.csv"}, r"no\.csv.*cannot be read"),
        (lambda f: None, {"reports": None}, "no picture with a text file"),
        (lambda f: None, {"text": ["report"]}, 'no column "report"; it has file, patient, text'),
        (lambda f: None, {"only": {"kind": ["xray"]}}, "No picture with a report is left"),
        (lambda f: None, {"validation": 0.6, "test": 0.4}, "nothing to train on"),
        (lambda f: (f / "x03.png").unlink(), {}, r"x03\.png.*does not exist.*skip_unusable"),
        (lambda f: (f / "x03.png").write_bytes(b"\x89PNG"), {}, r"x03\.png.*damaged"),
        (lambda f: Image.new("L", (48, 48), 7).save(f / "x03.png"), {}, r"x03\.png.*value 7 everywhere"),
        (lambda f: rewrite(f, lambda t: t.replace("x05.png,p2,", "x05.png,p2,,")), {}, "Row 7.*too many columns"),
        (lambda f: rewrite(f, lambda t: t + '"x.png,p1'), {}, "cannot be read"),
        (lambda f: (f / "reports.csv").write_bytes(b"\xff\xfe\x00"), {}, "cannot be read"),
        (lambda f: (f / "empty").mkdir(), {"reports": "empty"}, "holds no XML file"),
        (lambda f: rewrite(f, lambda t: t + "x00.jpg,p1,,note,,\n"), {}, "Row 26.*has no report"),
    ],
)
def test_data_that_cannot_be_used_are_named(folder, damage, changes, says):
    damage(folder)
    with pytest.raises(InputError, match=says) as caught:
        load_reports(config(folder, **changes), 32)
    assert "\n" not in str(caught.value)


def test_unusable_pictures_can_be_left_out_and_the_cache_remembers_them(folder, tmp_path):
    (folder / "x03.png").write_bytes(b"\x89PNG")
    wanted = config(folder, skip_unusable=True, cache=tmp_path / "cache")
    first, again = load_reports(wanted, 32), load_reports(wanted, 32)
    assert len(first.cases) == 23
    assert first.skipped == again.skipped != []
    assert np.array_equal(first.pictures, again.pictures)
    assert [case.name for case in first.cases] == [case.name for case in again.cases]
    with pytest.raises(InputError, match="damaged"):
        load_reports(config(folder, cache=tmp_path / "cache"), 32)


def test_features_are_computed_once_for_each_text_and_encoder(tmp_path):
    texts = ["Clear lungs.", "Opacity on the left.", "Clear lungs."]
    encoder = load_text_encoder(tiny_bert(tmp_path / "one"))
    counts = []
    features = encode_reports(texts, encoder, tmp_path / "cache", lambda done, total: counts.append((done, total)))
    assert counts == [(1, 2), (2, 2)]
    assert np.array_equal(features[[0, 1]], encoder.encode(texts[:2]).values)
    assert np.array_equal(features[0], features[2])

    counts.clear()
    more = encode_reports([*texts, "Heart."], encoder, tmp_path / "cache", lambda done, total: counts.append(total))
    assert counts == [1]
    assert np.array_equal(more[:3], features)
    other = load_text_encoder(tiny_bert(tmp_path / "two", seed=2))
    assert not np.allclose(encode_reports(texts, other, tmp_path / "cache"), features)
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(b"damaged")
    assert np.array_equal(encode_reports(texts, encoder, tmp_path / "cache"), features)


def test_cut_reports_are_warned_of(tmp_path):
    encoder = load_text_encoder(tiny_bert(tmp_path / "bert"))
    with pytest.warns(UserWarning, match="1 of 2 reports are longer than 512 tokens"):
        encode_reports(["Clear.", "clear " * 600], encoder, None)


def test_samples_are_functions_of_the_seed_and_come_with_a_text_that_does_not_match(drawn):
    data = load_reports(config(drawn), 32)
    texts = [case.text for case in data.cases]
    features = np.arange(len(texts), dtype=np.float32)[:, None]
    train = data.parts["train"]

    def samples(seed):
        return RandomReports(RandomPictures(data.pictures, train, STILL, seed, 60), texts, features, train, 5, seed)

    first = samples(3)
    for index in (0, 7, 59):
        for one, other in zip(first[index], samples(3)[index], strict=True):
            assert one.equal(other)
    assert not first[7][3].equal(samples(4)[7][3])
    assert not first[7][3].equal(first[8][3])
    for index in range(60):
        picture, right, wrong, noise, choices = first[index]
        assert texts[int(right)] != texts[int(wrong)]
        assert {int(right), int(wrong)} <= set(train.tolist())
        assert picture.numpy() == pytest.approx(data.pictures[int(right)][None].astype(np.float32), abs=1e-3)
        assert (noise.shape, choices.shape) == ((5,), (2, 6))


def test_reports_that_all_say_the_same_are_refused(drawn):
    data = load_reports(config(drawn), 32)
    pictures = RandomPictures(data.pictures, np.arange(24), STILL, 1, 60)
    with pytest.raises(InputError, match="say the same"):
        RandomReports(pictures, ["Clear."] * 24, np.zeros((24, 1), np.float32), np.arange(24), 5, 1)
