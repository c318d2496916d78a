"""A small BERT checkpoint for tests: a real network of random weights with a real tokeniser."""

from pathlib import Path

import torch

TEXT = "The lungs are clear. There is no pleural effusion. Heart size normal. Opacity in the left or right lower lobe."


def tiny_bert(folder: Path, seed: int = 1, width: int = 32) -> Path:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json to `folder`, which is returned."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    pieces = BertWordPieceTokenizer(lowercase=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces.train_from_iterator([*TEXT.split(), letters], vocab_size=200, min_frequency=1, show_progress=False)
    pieces.save(str(folder / "tokenizer.json"))
    BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder
