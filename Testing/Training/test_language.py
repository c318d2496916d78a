"""The small BERT of the reports: it learns, it is the same every time, and the engine reads it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from MRITranslateLib.errors import InputError
from MRITranslateLib.text import FILES, load_text_encoder
from Testing.Training.xrays import SIDES, SIZES, report
from Training.config.report_gan import LanguageConfig
from Training.language import mask_tokens, pretrain

TEXTS = [report(side, size, number) for side in SIDES for size in SIZES for number in range(7)]


def config(**changes):
    small = {"vocabulary": 120, "width": 32, "layers": 1, "heads": 2, "steps": 60, "batch_size": 8, "tokens": 16}
    return LanguageConfig.model_validate(small | {"learning_rate": 5e-3} | changes)


def test_the_loss_falls_and_the_engine_reads_the_result(tmp_path):
    losses = []
    torch.manual_seed(9)
    expected = torch.rand(2)
    torch.manual_seed(9)
    last = pretrain(TEXTS, tmp_path / "text", config(), 1, lambda stage, done, total, f: losses.append(f["loss"]))
    assert torch.rand(2).equal(expected)
    assert losses[0] > 3.0
    assert last < 0.6 * losses[0]
    assert {file.name for file in (tmp_path / "text").iterdir()} == set(FILES)
    encoder = load_text_encoder(tmp_path / "text")
    assert encoder.features == 32
    left, right, same = encoder.encode([TEXTS[0], TEXTS[20], TEXTS[0]]).values
    assert np.array_equal(left, same)
    assert np.abs(left - right).max() > 0.01
    assert sum(tensor.numel() for tensor in encoder._model.state_dict().values()) < 6_000_000


def test_the_same_seed_gives_the_same_files_in_another_process(tmp_path):
    code = f"""
from pathlib import Path
from Testing.Training.test_language import TEXTS, config
from Training.language import pretrain
pretrain(TEXTS, Path({str(tmp_path / "b")!r}), config(steps=3), 4)
"""
    pretrain(TEXTS, tmp_path / "a", config(steps=3), 4)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)
    pretrain(TEXTS, tmp_path / "c", config(steps=3), 5)
    one, other, third = (load_text_encoder(tmp_path / name) for name in "abc")
    assert one.digest == other.digest
    assert one.weights_sha256 != third.weights_sha256


def test_an_earlier_encoder_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "leftover").write_text("old")
    pretrain(TEXTS, tmp_path / "text", config(steps=1), 1)
    assert {file.name for file in (tmp_path / "text").iterdir()} == set(FILES)
    assert [file.name for file in tmp_path.iterdir()] == ["text"]


def test_only_real_words_are_masked_and_at_least_one_in_a_report():
    torch.manual_seed(1)
    ids = torch.tensor([[2, *range(10, 50), 3], [2, 7, 3, *[0] * 39]]).repeat(200, 1)
    real = ids != 0
    seen, labels = mask_tokens(ids, real, 60, 0.15)
    asked = labels != -100
    assert bool((asked.sum(1) >= 1).all())
    assert not bool((asked & (ids < 5)).any())
    assert labels[asked].equal(ids[asked])
    assert seen[~asked].equal(ids[~asked])
    long = asked[::2, 1:-1]
    assert float(long.float().mean()) == pytest.approx(0.15, abs=0.02)
    fates = seen[asked]
    assert float((fates == 4).float().mean()) == pytest.approx(0.8, abs=0.04)
    assert float((fates == ids[asked]).float().mean()) == pytest.approx(0.1, abs=0.04)
    assert int(seen.max()) < 60


@pytest.mark.parametrize(
    ("changes", "says"), [({"width": 33}, "multiple of text.language.heads"), ({"width": 512, "layers": 12}, "lower")]
)
def test_impossible_sizes_are_refused(tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        pretrain(TEXTS, tmp_path / "text", config(**changes), 1)
    assert not (tmp_path / "text").exists()
