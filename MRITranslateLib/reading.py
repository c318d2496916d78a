"""A report as the features that a model of radiographs was trained on: by the language model that its card names."""

import os

import torch

from .card import RadiographCard
from .errors import InputError
from .package import Package
from .text import TextEncoder, load_text_encoder


def find_text_encoder(package: Package, own: str | os.PathLike[str] | None = None) -> TextEncoder:
    """The language model of a package, or the user's own copy where the package could not bring it along.

    Args:
        package: Of radiographs.
        own: Folder of a BERT checkpoint, or its name in the cache of Hugging Face.

    Raises:
        InputError: The checkpoint cannot be used, is missing, or is another one than the model was trained with.
        PackageError: The package's own language model is incomplete or altered, or the package reads no text.
    """
    card = package.card
    if own is None:
        return package.text_encoder()
    if not isinstance(card, RadiographCard):
        raise InputError(f'"{card.name}" reads no reports; leave the text encoder out.')
    if card.text.encoder == "package":
        raise InputError(
            f'"{card.name}" was trained with the language model that it brings along and understands no other; leave '
            "the text encoder out, or train a model with yours (mritranslate-train report-gan --text.encoder)."
        )
    encoder = load_text_encoder(own)
    if card.text.sha256 is not None and encoder.weights_sha256 != card.text.sha256:
        raise InputError(
            f'"{card.name}" was trained with another text encoder than "{encoder.name}" ({card.text.source}); '
            "give the very same checkpoint."
        )
    if encoder.features != card.text.features:
        raise InputError(
            f'The text encoder "{encoder.name}" gives {encoder.features} features, "{card.name}" takes '
            f"{card.text.features}; give the checkpoint that it was trained with."
        )
    return encoder


def read_features(encoder: TextEncoder, report: str, warnings: list[str]) -> torch.Tensor:
    """The features of one report: float32 (features,).

    Args:
        encoder: Of `find_text_encoder`.
        report: Any text.
        warnings: Gets a sentence if the end had to be left out.

    Raises:
        InputError: The report is empty or absurdly long.
    """
    values, truncated = encoder.encode([report])
    if (warning := encoder.warning(truncated)) is not None:
        warnings.append(warning)
    return torch.from_numpy(values[0])
