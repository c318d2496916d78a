"""A small BERT of one's own, pre-trained on the training reports by masked-language modelling (Devlin et al., NAACL
2019): for packages that have to carry their text encoder, and for whoever has no clinical BERT.

Whole reports take part, so every position that occurs is trained. The result is a checkpoint folder like any other, in
float16: `MRITranslateLib.text.load_text_encoder` reads it.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from MRITranslateLib.errors import InputError
from MRITranslateLib.text import MOST_TOKENS, quiet_transformers

from .config.report_gan import LanguageConfig
from .session import Report, silent

MOST_PARAMETERS = 6_000_000
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_IGNORED = -100
"""What the cross-entropy leaves out."""
_REPORT_EVERY = 10
_STAGE = "Learning the reports' language"


def pretrain(texts: Sequence[str], folder: Path, config: LanguageConfig, seed: int, report: Report = silent) -> float:
    """Train a WordPiece vocabulary and a BERT, and write config.json, model.safetensors, tokenizer.json and
    tokenizer_config.json.

    The same texts, configuration and seed give the same files on one machine; the caller's random stream is untouched.

    Args:
        texts: Training reports.
        folder: Replaced in one step when all is done.
        config: Sizes and length of the training.
        seed: Of everything random.
        report: Told every ten steps.

    Returns:
        The mean loss over the last tenth of the steps: nats per masked token.

    Raises:
        InputError: The network is too large, or the folder cannot be written.
    """
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    tokenizer = _train_tokenizer(texts, config.vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.width % config.heads:
            raise InputError("text.language.width must be a multiple of text.language.heads.")
        network = BertForMaskedLM(
            BertConfig(
                vocab_size=tokenizer.get_vocab_size(),
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=4 * config.width,
                max_position_embeddings=MOST_TOKENS,
                pad_token_id=tokenizer.token_to_id("[PAD]"),
            )
        )
        size = sum(parameter.numel() for parameter in network.bert.parameters())
        if size > MOST_PARAMETERS:
            raise InputError(
                f"The language model would have {size:,} weights, more than {MOST_PARAMETERS:,}; lower "
                "text.language.width, layers or vocabulary."
            )
        loss = _fit(
            network, [encoding.ids for encoding in tokenizer.encode_batch(list(texts))], tokenizer, config, report
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".text-", dir=folder.parent) as temporary, quiet_transformers():
            made = Path(temporary) / "text"
            network.bert.half().save_pretrained(made, safe_serialization=True)
            tokenizer.save(str(made / "tokenizer.json"))
            BertTokenizerFast(tokenizer_file=str(made / "tokenizer.json")).save_pretrained(made)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(made, folder)
    except OSError as error:
        raise InputError(f'The text encoder cannot be written to "{folder}" ({error.strerror}); free space.') from None
    return loss


def _train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """BERT's tokenizer with word pieces of the texts.

    The trainer numbers the single letters within words in the order of a hash table, which differs between processes,
    and breaks ties by number. They are therefore handed to it as tokens that exist already.
    """
    from tokenizers import BertWordPieceTokenizer

    plain = BertWordPieceTokenizer(lowercase=True)
    letters = {letter for text in texts for letter in plain.normalize(text) if not letter.isspace()}
    known = [*_SPECIAL, *sorted(f"##{letter}" for letter in letters)]
    plain.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=known, show_progress=False)
    return BertWordPieceTokenizer(vocab=plain.get_vocab(), lowercase=True)


def _fit(network: Any, reports: list[list[int]], tokenizer: Any, config: LanguageConfig, report: Report) -> float:
    """The loop; returns the mean loss over the last tenth of the steps."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=0.01)
    warm = max(1, config.steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (config.steps - step) / max(1, config.steps - warm))
    )
    losses = []
    for step in range(config.steps):
        chosen = torch.randint(len(reports), (config.batch_size,)).tolist()
        ids, positions, attention = _batch([reports[index] for index in chosen], config.tokens)
        masked, labels = mask_tokens(ids, attention.bool(), tokenizer.get_vocab_size(), config.masked)
        answer = network(input_ids=masked, attention_mask=attention, position_ids=positions, labels=labels)
        if not torch.isfinite(answer.loss):
            raise InputError(
                f"The language model's loss became {answer.loss.item()}; lower text.language.learning_rate."
            )
        optimizer.zero_grad(set_to_none=True)
        answer.loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(answer.loss.item())
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == config.steps:
            report(_STAGE, step + 1, config.steps, {"loss": losses[-1]})
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def _batch(reports: list[list[int]], longest: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, true positions and attention mask (n, t); of a longer report a random part."""
    rows, starts = [], []
    for ids in reports:
        start = int(torch.randint(max(1, min(len(ids), MOST_TOKENS) - longest + 1), ()))
        rows.append(torch.tensor(ids[start : start + longest][: MOST_TOKENS - start]))
        starts.append(start)
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    attention = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    positions = torch.tensor(starts)[:, None] + torch.arange(padded.shape[1])
    return padded, positions.clamp_max(MOST_TOKENS - 1), attention


def mask_tokens(
    ids: torch.Tensor, real: torch.Tensor, vocabulary: int, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose tokens to be guessed; of these 80 % are masked, 10 % replaced at random, 10 % left as they are.

    Args:
        ids: int64 (n, t); ids below 5 are special tokens, in the order of BERT's, and never chosen.
        real: bool (n, t), False where there is padding.
        vocabulary: Number of word pieces.
        share: Of the tokens to be chosen; at least one in each row that has any.

    Returns:
        What the network sees and what it should answer (-100 where nothing is asked), both int64 (n, t).
    """
    words = real & (ids >= len(_SPECIAL))
    draw = torch.rand(ids.shape).masked_fill(~words, 2.0)
    chosen = (draw < share) | ((draw == draw.min(1, keepdim=True).values) & words)
    fate = torch.rand(ids.shape)
    seen = torch.where(chosen & (fate < 0.8), _SPECIAL.index("[MASK]"), ids)
    random = torch.randint(len(_SPECIAL), max(vocabulary, len(_SPECIAL) + 1), ids.shape)
    seen = torch.where(chosen & (fate >= 0.9), random, seen)
    return seen, torch.where(chosen, ids, _IGNORED)
