"""The files that a package may hold, and how large each may be. Standard library only, as the catalog needs it."""

CARD = "model.json"
WEIGHTS = "weights.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
README = "README.md"
LICENCE = "LICENSE"

MOST_WEIGHTS_BYTES = 2 * 1024**3
"""Largest weights file that is opened at all."""
TEXT_WEIGHTS = "text/model.safetensors"
TEXT_NEEDED = ("text/config.json", TEXT_WEIGHTS, "text/tokenizer.json")
"""A language model in the packaged form that Hugging Face's tools write."""
TEXT = {
    "text/config.json": 1 << 20,
    TEXT_WEIGHTS: MOST_WEIGHTS_BYTES,
    "text/tokenizer.json": 16 << 20,
    "text/tokenizer_config.json": 1 << 20,
    "text/vocab.txt": 16 << 20,
}
"""Every file that may belong to a packaged language model, with the most bytes it may have."""
MOST_BYTES = {
    CARD: 1 << 20,
    WEIGHTS: MOST_WEIGHTS_BYTES,
    DISCRIMINATOR: MOST_WEIGHTS_BYTES,
    README: 1 << 20,
    LICENCE: 1 << 20,
    **TEXT,
}
"""Every file that a package may hold, with the most bytes it may have."""
ALL = tuple(MOST_BYTES)
