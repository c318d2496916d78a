"""The text encoder: a real, tiny BERT; and everything that must not be loaded."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from MRITranslateLib.errors import InputError
from MRITranslateLib.text import load_text_encoder
from Testing.MRITranslateLib.checkpoints import tiny_bert

REPORT = "The lungs are clear. There is no pleural effusion."


@pytest.fixture
def folder(tmp_path):
    return tiny_bert(tmp_path / "bert")


def change_json(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes))


def change_weights(folder, change):
    file = folder / "model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file, metadata={"format": "pt"})


def test_a_text_becomes_the_mean_of_its_tokens(folder):
    from transformers import BertModel, BertTokenizerFast

    encoder = load_text_encoder(folder)
    features, truncated = encoder.encode([REPORT])
    assert features.shape == (1, encoder.features) == (1, 32)
    assert features.dtype == np.float32
    assert truncated == [False]
    assert encoder.warning(truncated) is None
    tokens = BertTokenizerFast.from_pretrained(folder)(REPORT, return_tensors="pt")
    with torch.no_grad():
        states = BertModel.from_pretrained(folder).eval()(**tokens).last_hidden_state
    np.testing.assert_allclose(features, states.mean(1).numpy(), atol=1e-6)


def test_features_do_not_depend_on_the_texts_beside_and_leave_the_random_stream_alone(folder):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    encoder = load_text_encoder(folder)
    alone = encoder.encode([REPORT]).values
    assert torch.rand(3).equal(expected)
    among = encoder.encode(["Opacity in the left lower lobe.", REPORT, "Clear " * 90]).values
    assert np.array_equal(alone[0], among[1])
    again = load_text_encoder(folder)
    assert np.array_equal(again.encode([REPORT]).values, alone)
    assert again.digest == encoder.digest
    assert not np.allclose(among[0], among[1])


def test_half_precision_and_older_names_of_weights_are_read(folder):
    expected = load_text_encoder(folder).encode([REPORT]).values

    def older(state):
        for key in list(state):
            name = key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            state[f"bert.{name}"] = state.pop(key).half()
        state["bert.embeddings.position_ids"] = torch.arange(512)[None]

    change_weights(folder, older)
    encoder = load_text_encoder(folder)
    answer = encoder.encode([REPORT]).values
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=5e-3)


def test_a_long_text_is_cut_with_a_warning(folder):
    encoder = load_text_encoder(folder)
    long = "clear " * 600
    features, truncated = encoder.encode([REPORT, long])
    assert truncated == [False, True]
    assert encoder.warning(truncated) == "1 of 2 reports are longer than 512 tokens; the end was left out."
    assert encoder.tokenise(long).ids.shape == (1, 512)
    assert np.array_equal(encoder.encode(["clear " * 510]).values[0], features[1])


def test_words_can_be_attributed(folder):
    encoder = load_text_encoder(folder)
    tokens = encoder.tokenise(REPORT)
    assert [REPORT[first:last] for first, last in tokens.spans[1:5]] == ["The", "lungs", "are", "clear"]
    leaves = encoder.embed(tokens).clone().requires_grad_()
    encoder.pool(encoder.contextual(leaves))[:, 0].sum().backward()
    assert leaves.grad.shape == (1, len(tokens.spans), 32)
    assert bool((leaves.grad.norm(dim=-1) > 0).all())


def test_lower_case_is_as_the_tokeniser_says(folder):
    assert load_text_encoder(folder).tokenise("LUNGS").ids.equal(load_text_encoder(folder).tokenise("lungs").ids)
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    change_json(file, normalizer=data["normalizer"] | {"lowercase": False})
    (folder / "tokenizer_config.json").unlink()
    cased = load_text_encoder(folder)
    assert not cased.tokenise("LUNGS").ids.equal(cased.tokenise("lungs").ids)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: change_weights(f, lambda s: s.pop("encoder.layer.1.output.dense.weight")), "lacks 1 of its weights"),
        (lambda f: change_weights(f, lambda s: s["embeddings.LayerNorm.weight"].fill_(torch.nan)), "NaN or infinite"),
        (
            lambda f: change_weights(f, lambda s: s.update({"embeddings.LayerNorm.weight": torch.ones(31)})),
            "do not fit each other",
        ),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "pickle.*convert it to model.safetensors",
        ),
        (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100_000), "do not fit each other"),
        (lambda f: (f / "config.json").unlink(), "config.json.*missing"),
        (lambda f: (f / "config.json").write_text("{"), "no valid JSON"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "no valid JSON"),
        (lambda f: change_json(f / "config.json", model_type="gpt2"), "only BERT is read"),
        (lambda f: change_json(f / "config.json", num_hidden_layers=10**9), "num_hidden_layers.*1 to 48"),
        (lambda f: change_json(f / "config.json", hidden_size="32"), "hidden_size"),
        (lambda f: change_json(f / "config.json", hidden_size=33), "no multiple"),
        (lambda f: change_json(f / "config.json", hidden_size=1024, num_hidden_layers=24), "out of proportion"),
        (lambda f: change_json(f / "config.json", hidden_act="os.system"), "unknown activation"),
        (lambda f: change_json(f / "config.json", vocab_size=10), "do not fit|word pieces"),
        (lambda f: (f / "tokenizer.json").unlink(), "no usable tokenizer.json or vocab.txt"),
        (
            lambda f: change_json(
                f / "tokenizer.json", pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}}
            ),
            "not the WordPiece tokeniser",
        ),
        (lambda f: change_json(f / "tokenizer.json", model={"type": "BPE"}), "not the WordPiece tokeniser"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), "adapter"),
    ],
)
def test_what_is_no_whole_bert_is_refused(folder, damage, says):
    damage(folder)
    with pytest.raises(InputError, match=says) as caught:
        load_text_encoder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no/such_model", "nothing-here", "no/../such", "https://huggingface.co/x/y"])
def test_a_name_that_is_not_cached_is_refused_and_nothing_is_downloaded(name, monkeypatch):
    import socket

    def refuse(*arguments):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(InputError, match=r"There is no text encoder.*nothing is downloaded"):
        load_text_encoder(name)


def test_a_cached_name_is_found(tmp_path, monkeypatch):
    import huggingface_hub.constants
    from huggingface_hub import file_download

    snapshot = tiny_bert(tmp_path / "models--clinic--bert" / "snapshots" / "abc123")
    (tmp_path / "models--clinic--bert" / "refs").mkdir()
    (tmp_path / "models--clinic--bert" / "refs" / "main").write_text("abc123")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(file_download.constants, "HF_HUB_CACHE", str(tmp_path))
    assert load_text_encoder("clinic/bert").digest == load_text_encoder(snapshot).digest


@pytest.mark.parametrize(("text", "says"), [("", "empty"), (" \n\t", "empty"), ("a" * 100_001, "100,001 characters")])
def test_reports_that_say_nothing_or_too_much_are_refused(folder, text, says):
    with pytest.raises(InputError, match=says):
        load_text_encoder(folder).encode([text])


def test_transformers_is_imported_late():
    code = "import sys, MRITranslateLib.text; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120, check=True)
    assert done.stdout.strip() == "False"
