"""Scores during training: on the model's grid, of the averaged weights, per subject."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from MRITranslateLib.card import TranslationCard
from MRITranslateLib.translate import forward

from .data.pairs import PreparedPair

_BATCH = 8


def validate(
    network: nn.Module, pairs: Sequence[PreparedPair], card: TranslationCard, device: torch.device
) -> tuple[dict[str, float], np.ndarray]:
    """Translate whole subjects and compare.

    Figures are taken in the target's foreground, network units brought to 0..1; for MRI after one affine fit of
    intensities per subject, since its unit is arbitrary. The card's scores are measured on the original grid by
    `MRITranslateLib.evaluate`; these only steer the run.

    Returns:
        Mean "psnr" and "mae" and each subject's PSNR; and a picture (rows of input, output, truth) in 0..1.
    """
    scores: dict[str, float] = {}
    figures, pictures = [], []
    for pair in pairs:
        output = translate_prepared(network, pair.source, card, device)
        truth = (pair.target.astype(np.float32) + 1) / 2
        answer = (output + 1) / 2
        inside = truth > 0.05
        if card.target != "CT":
            slope, shift = np.polyfit(answer[inside], truth[inside], 1)
            answer = slope * answer + shift
        error = answer[inside] - truth[inside]
        psnr = float(-10 * np.log10(np.mean(error**2) + 1e-12))
        scores[f"psnr {pair.subject}"] = psnr
        figures.append((psnr, float(np.abs(error).mean())))
        middle = int(pair.slices[len(pair.slices) // 2])
        source = (pair.source[middle].astype(np.float32) + 1) / 2
        pictures.append(
            np.concatenate([source / max(1.0, np.percentile(source, 99.5)), answer[middle], truth[middle]], axis=1)
        )
    width = max(picture.shape[1] for picture in pictures)
    rows = [np.pad(picture, ((0, 0), (0, width - picture.shape[1]))) for picture in pictures]
    mean = np.mean(figures, axis=0)
    return {"psnr": float(mean[0]), "mae": float(mean[1])} | scores, np.concatenate(rows, axis=0)


def translate_prepared(
    network: nn.Module, source: np.ndarray, card: TranslationCard, device: torch.device
) -> np.ndarray:
    """All slices of a prepared volume through a generator: float32 (slices, rows, columns), network units."""
    reach = card.grid.context // 2
    parts = []
    for start in range(0, len(source), _BATCH):
        index = np.arange(start, min(start + _BATCH, len(source)))[:, None] + np.arange(-reach, reach + 1)[None]
        batch = source[np.clip(index, 0, len(source) - 1)].astype(np.float32)
        parts.append(forward(network, batch, str(device)))
    return np.concatenate(parts)
