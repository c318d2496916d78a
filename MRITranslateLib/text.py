"""Reports as vectors: a frozen BERT (Devlin et al., NAACL 2019) read from a local checkpoint, never from the network.

A checkpoint is foreign data. Its configuration is read as numbers, its vocabulary as a list of word pieces, its weights
from safetensors; all are bounded before anything is built, and none of them is code.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from .errors import InputError

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
"""What `Training.language` writes and a package of the report -> radiograph family carries in its folder `text`."""
MOST_TOKENS = 512
_MOST_CHARACTERS = 100_000
_MOST_WEIGHT_BYTES = 2 * 1024**3
_MOST_TEXT_BYTES = 16 * 1024**2
_BOUNDS = {
    "vocab_size": (5, 200_000),
    "hidden_size": (8, 1536),
    "num_hidden_layers": (1, 48),
    "num_attention_heads": (1, 48),
    "intermediate_size": (8, 6144),
    "max_position_embeddings": (8, 4096),
    "type_vocab_size": (1, 16),
    "pad_token_id": (0, 200_000),
}
"""Whole numbers of a BERT configuration, with what BERT-large and its relatives leave room for."""
_ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?\Z")


class Features(NamedTuple):
    """Reports as vectors.

    Attributes:
        values: float32 (n, features).
        truncated: For each text whether its end was left out.
    """

    values: np.ndarray
    truncated: list[bool]


@dataclass(frozen=True)
class Tokens:
    """A report in word pieces.

    Attributes:
        text: The report.
        ids: int64 (1, t), the special tokens at both ends included.
        spans: First and last character (exclusive) of each token in the text; (0, 0) for special tokens.
        truncated: Whether the end of the text was left out.
    """

    text: str
    ids: torch.Tensor
    spans: list[tuple[int, int]]
    truncated: bool


class TextEncoder:
    """A frozen BERT with its tokeniser, from `load_text_encoder`.

    Every text is encoded alone, without padding, so that its features do not depend on the texts beside it.

    Attributes:
        name: Folder or name it was loaded from.
        features: Length of a text's vector (the width of the BERT).
        max_tokens: Tokens after which a text is cut, at most 512.
        weights_sha256: SHA-256 of its model.safetensors, as a model card states it.
        digest: SHA-256 over configuration, vocabulary and weights: all that shapes its features.
    """

    def __init__(
        self, name: str, model: Any, tokeniser: Any, max_tokens: int, weights_sha256: str, digest: str
    ) -> None:
        self.name = name
        self.features = int(model.config.hidden_size)
        self.max_tokens = max_tokens
        self.weights_sha256 = weights_sha256
        self.digest = digest
        self._model = model.eval().requires_grad_(False)
        self._tokeniser = tokeniser

    def to(self, device: str | torch.device) -> "TextEncoder":
        """Move to a device; returns itself."""
        self._model.to(device)
        return self

    def encode(self, texts: Sequence[str], done: Callable[[int], None] = lambda count: None) -> Features:
        """The features of some reports: the mean over each one's tokens.

        Args:
            texts: Reports.
            done: Called after each report with the number of reports encoded.

        Raises:
            InputError: A text is empty or absurdly long.
        """
        values = np.zeros((len(texts), self.features), np.float32)
        truncated = []
        for row, text in enumerate(texts):
            tokens = self.tokenise(text)
            values[row] = self.features_of(tokens).float().cpu().numpy()[0]
            truncated.append(tokens.truncated)
            done(row + 1)
        return Features(values, truncated)

    def tokenise(self, text: str) -> Tokens:
        """Cut a text into at most `max_tokens` word pieces.

        Raises:
            InputError: The text is empty or absurdly long.
        """
        if not text.strip():
            raise InputError("The report is empty; write what the picture should show.")
        if len(text) > _MOST_CHARACTERS:
            raise InputError(f"The report has {len(text):,} characters, more than {_MOST_CHARACTERS:,}; shorten it.")
        pieces = self._tokeniser(
            text,
            truncation=True,
            max_length=self.max_tokens,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        spans = [(int(first), int(last)) for first, last in pieces["offset_mapping"][0]]
        return Tokens(text, torch.tensor(pieces["input_ids"][:1]), spans, len(pieces["input_ids"]) > 1)

    def masked(self, tokens: Tokens) -> Tokens:
        """The same number of word pieces with every one masked: a report of this length that says nothing."""
        special = torch.tensor([[first == last for first, last in tokens.spans]])
        mask = self._tokeniser.mask_token_id
        return replace(tokens, ids=torch.where(special, tokens.ids, mask))

    def features_of(self, tokens: Tokens) -> torch.Tensor:
        """What `encode` makes of these word pieces: (1, features), without a gradient."""
        with torch.inference_mode():
            return self.pool(self.contextual(self.embed(tokens)))

    def embed(self, tokens: Tokens) -> torch.Tensor:
        """Word-piece embeddings (1, t, features) before position and context: the leaves of word attributions."""
        return self._model.get_input_embeddings()(tokens.ids.to(self._model.device))

    def contextual(self, embeddings: torch.Tensor) -> torch.Tensor:
        """What BERT makes of the output of `embed`: (1, t, features), differentiable."""
        return self._model(inputs_embeds=embeddings).last_hidden_state

    @staticmethod
    def pool(contextual: torch.Tensor) -> torch.Tensor:
        """The mean over the tokens: (1, t, features) to (1, features)."""
        return contextual.mean(dim=1)

    def warning(self, truncated: Sequence[bool]) -> str | None:
        """A sentence about the texts that were cut, if any."""
        count = sum(truncated)
        if not count:
            return None
        which = "The report is" if len(truncated) == 1 else f"{count} of {len(truncated)} reports are"
        return f"{which} longer than {self.max_tokens} tokens; the end was left out."


def load_text_encoder(name_or_folder: str | os.PathLike[str]) -> TextEncoder:
    """Load a BERT from a checkpoint folder, or by its name if it lies in the cache of Hugging Face, always offline.

    Args:
        name_or_folder: A folder with config.json, model.safetensors and tokenizer.json or vocab.txt; or a name such as
            "emilyalsentzer/Bio_ClinicalBERT".

    Raises:
        InputError: There is no such checkpoint, it is no BERT, it has no safetensors weights, weights are missing or
            of other shapes than the configuration says, or a size is absurd.
    """
    folder = _locate(name_or_folder)
    config = _read_config(folder)
    _check_weights(folder, config)
    lower_case = _check_vocabulary(folder)
    # Building may draw random numbers; the caller's stream must not depend on when an encoder is loaded.
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        from transformers import BertConfig, BertModel, BertTokenizerFast

        options = {} if lower_case is None else {"do_lower_case": lower_case}
        try:
            tokeniser = BertTokenizerFast.from_pretrained(str(folder), local_files_only=True, **options)
            model, found = BertModel.from_pretrained(
                str(folder),
                config=BertConfig(**config),
                add_pooling_layer=False,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
        # What transformers raises over damaged files is anything: OSError, SafetensorError, RuntimeError, KeyError, ...
        except Exception as error:
            raise InputError(
                f'The text encoder "{folder.name}" cannot be loaded: its files do not fit each other; '
                "save it again with save_pretrained."
            ) from error
    wrong = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if wrong:
        raise InputError(
            f'The text encoder "{folder.name}" lacks {len(wrong)} of its weights (such as {wrong[0][:80]}); '
            "get the whole checkpoint of a BERT."
        )
    model = model.float()
    if not all(bool(torch.isfinite(values).all()) for values in model.state_dict().values()):
        raise InputError(f'The text encoder "{folder.name}" holds NaN or infinite weights; get it again.')
    if len(tokeniser) > config["vocab_size"]:
        raise InputError(
            f'The vocabulary of "{folder.name}" has {len(tokeniser)} word pieces, its network {config["vocab_size"]}; '
            "take both from the same checkpoint."
        )
    longest = min(MOST_TOKENS, config["max_position_embeddings"])
    return TextEncoder(str(name_or_folder), model, tokeniser, longest, *_digests(folder))


def _locate(name_or_folder: str | os.PathLike[str]) -> Path:
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder.resolve()
    name = str(name_or_folder)
    if _NAME.match(name) and ".." not in name:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(name, "config.json")
        if isinstance(cached, str):
            return Path(cached).parent
    raise InputError(
        f'There is no text encoder "{name}": neither a folder of that path nor a checkpoint of that name in the cache '
        "of Hugging Face; nothing is downloaded."
    )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MOST_TEXT_BYTES:
            raise InputError(f'"{file.name}" of the text encoder "{file.parent.name}" is absurdly large; get it again.')
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise InputError(
            f'"{file.name}" of the text encoder "{file.parent.name}" is missing or no valid JSON; '
            "give the folder of a BERT checkpoint."
        )
    return data


def _read_config(folder: Path) -> dict[str, Any]:
    """The numbers of a BERT configuration; whatever else the file says is not taken over."""
    data = _read_json(folder / "config.json")
    if data.get("model_type") != "bert":
        raise InputError(
            f'The text encoder "{folder.name}" is of the type {str(data.get("model_type"))[:40]!r}; only BERT is read.'
        )
    config: dict[str, Any] = {}
    for key, (least, most) in _BOUNDS.items():
        value = data.get(key, {"pad_token_id": 0, "type_vocab_size": 2}.get(key))
        if type(value) is not int or not least <= value <= most:
            raise InputError(f'{key} of the text encoder "{folder.name}" must be {least} to {most}, not {value!r:.40}.')
        config[key] = value
    if config["hidden_size"] % config["num_attention_heads"]:
        raise InputError(f'hidden_size of the text encoder "{folder.name}" is no multiple of num_attention_heads.')
    epsilon, activation = data.get("layer_norm_eps", 1e-12), data.get("hidden_act", "gelu")
    if not isinstance(epsilon, float) or not 0 < epsilon < 1 or activation not in _ACTIVATIONS:
        raise InputError(f'The text encoder "{folder.name}" has an unknown activation or layer_norm_eps.')
    if data.get("position_embedding_type", "absolute") != "absolute":
        raise InputError(f'The text encoder "{folder.name}" does not use absolute positions, as a BERT does.')
    return config | {"layer_norm_eps": epsilon, "hidden_act": activation}


def _check_weights(folder: Path, config: dict[str, Any]) -> None:
    """Refuse pickles, and a file out of proportion to the configuration, before memory is taken for either."""
    if (folder / "adapter_config.json").exists():
        raise InputError(f'"{folder.name}" holds an adapter, not a whole text encoder; merge and save it first.')
    weights = folder / "model.safetensors"
    if weights.is_file():
        width, inner = config["hidden_size"], config["intermediate_size"]
        block = 4 * width**2 + 2 * width * inner
        count = config["num_hidden_layers"] * block + config["vocab_size"] * width
        if not count <= weights.stat().st_size <= _MOST_WEIGHT_BYTES:
            raise InputError(
                f'The weights of the text encoder "{folder.name}" are cut off or out of proportion to its config.json; '
                "get the whole checkpoint of a BERT."
            )
        return
    if (folder / "pytorch_model.bin").exists():
        raise InputError(
            f'The text encoder "{folder.name}" has only pytorch_model.bin, a pickle, which can run foreign code and is '
            "never opened; convert it to model.safetensors with the Space safetensors/convert of Hugging Face, or "
            "where you trust it with BertModel.from_pretrained(FOLDER).save_pretrained(NEW, safe_serialization=True)."
        )
    raise InputError(
        f'The text encoder "{folder.name}" has no model.safetensors; give the folder of a whole checkpoint.'
    )


def _check_vocabulary(folder: Path) -> bool | None:
    """Whether tokenizer.json brings text to lower case; None where there is only vocab.txt, whose settings lie beside.

    Only BERT's own rules are let through: a foreign pattern could keep the tokeniser busy for ever.
    """
    if not (folder / "tokenizer.json").is_file():
        vocabulary = folder / "vocab.txt"
        if not vocabulary.is_file() or vocabulary.stat().st_size > _MOST_TEXT_BYTES:
            raise InputError(f'The text encoder "{folder.name}" has no usable tokenizer.json or vocab.txt.')
        return None
    data = _read_json(folder / "tokenizer.json")
    kinds = [
        part.get("type") if isinstance(part := data.get(key), dict) else None
        for key in ("model", "normalizer", "pre_tokenizer")
    ]
    if kinds != ["WordPiece", "BertNormalizer", "BertPreTokenizer"]:
        raise InputError(
            f'tokenizer.json of the text encoder "{folder.name}" is not the WordPiece tokeniser of a BERT.'
        )
    return bool(data["normalizer"].get("lowercase", True))


def _digests(folder: Path) -> tuple[str, str]:
    """SHA-256 of the weights, and of everything together."""
    parts = {}
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                parts[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return parts["model.safetensors"], hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """transformers reports every unused key and draws bars; what matters of it is raised instead."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
