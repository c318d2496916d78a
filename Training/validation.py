"""Scores during training: of the weights that would be exported, on the model's grid, per subject.

Compared are the prepared truth and the network's answer, both brought from network units to what `translate` gives: HU,
or a signal from 0 up. The figures are those of `MRITranslateLib.evaluate`, protocol plain, but for the grid and the CT
window, beyond which the prepared truth is cut:

* psnr, ssim and mae in the truth's foreground. MR: truth above 5 % of its 99.8th percentile; that percentile is 1, the
  data range; after one affine fit of the answer's intensities per subject, since MR has no unit. CT: truth above
  -500 HU; mae in HU, data range 4095 HU.
* dice of tissue classes, their mean, and each as "dice_" and its name. MR: "dark", "middle" and "bright" tissue in the
  foreground, told apart in truth and fitted answer by the two thresholds of multi-Otsu (Liao 2001) on the truth's
  foreground. CT: "air" below -500 HU, "bone" from 250 HU up and "soft" tissue between, from the first to the last voxel
  of the foreground along every row and column. A class that neither of the two has is left out.

The card's scores are measured on the original grids; these only steer the run.
"""

import math
from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import torch
from torch import nn

from MRITranslateLib import intensity
from MRITranslateLib.card import TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.figure import CT_RANGE
from MRITranslateLib.inference import run_network
from MRITranslateLib.modality import modality
from MRITranslateLib.scoring.overlap import BONE_HU
from MRITranslateLib.scoring.protocols import RANGES, TISSUES, clipped, mr_thresholds, plain_scores, tissue_dice
from MRITranslateLib.scoring.regions import BODY_HU, full_scale, mr_foreground, outline
from MRITranslateLib.scoring.similarity import WINDOW
from MRITranslateLib.scoring.voxelwise import affine_fit

from .data.pairs import PreparedPair
from .measures import means
from .samples import Samples, heat

_LEAST = 0.05
"""Share of a CT window that must be exceeded where the window begins above air."""
MOST_PICTURES = 6
_LOW, _HIGH = RANGES["plain"]
_CLASS = "dice_"
_HALF = 0.5
"""Share of the display's range at which the picture of the difference is brightest."""


def validate(
    network: nn.Module, pairs: Sequence[PreparedPair], card: TranslationCard, device: torch.device
) -> tuple[dict[str, float], Samples]:
    """Translate whole subjects and compare.

    Returns:
        The means "psnr", "ssim", "mae", "dice" and "dice_..." over subjects, and the first four of each subject, "psnr
        NAME", as means over their examinations; and pictures of at most six examinations.

    Raises:
        InputError: The network's answer is not finite.
    """
    scores: dict[str, list[dict[str, float]]] = {}
    pictures: list[tuple[int, str, list[np.ndarray]]] = []
    for pair in pairs:
        output = translate_prepared(network, pair.source, card, device)
        if not np.isfinite(output).all():
            raise InputError(
                f"The network's answer for {pair.subject} is not finite; lower learning_rate and --resume from the "
                "last checkpoint."
            )
        compared = _Compared(pair, output, card)
        found = scores.setdefault(pair.subject, [])
        found.append(compared.scores())
        # One picture of everybody before the second of anybody.
        pictures = sorted([*pictures, (len(found), pair.name or pair.subject, compared.pictures())], key=itemgetter(0))
        del pictures[MOST_PICTURES:]
    single = {subject: means(found) for subject, found in scores.items()}
    together = means(list(single.values()))
    each = {
        f"{name} {subject}": found[name]
        for name in together
        if not name.startswith(_CLASS)
        for subject, found in single.items()
        if name in found
    }
    down, across = card.grid.spacing_mm
    reach = f"{_HALF * 100:g} %" if _kind(card.target) == "MR" else f"{_HALF * (CT_RANGE[1] - CT_RANGE[0]):g} HU"
    columns = (
        f"{card.source}, input",
        f"{card.target}, synthetic",
        f"{card.target}, truth",
        f"difference, 0 to {reach}",
    )
    _, names, tiles = zip(*pictures, strict=True)
    return together | each, Samples(columns, names, tiles, 1, down / across)


def translate_prepared(
    network: nn.Module, source: np.ndarray, card: TranslationCard, device: torch.device
) -> np.ndarray:
    """A prepared volume through a generator, by the engine's own loop: float32 (slices, rows, columns), network
    units."""
    array = source.astype(np.float32)
    return run_network(lambda where: network.to(where), array, card.grid, str(device), [])[0]


class _Compared:
    """Truth and answer of one subject in the unit of their scores, cut to the head.

    Args:
        pair: Prepared.
        output: The network's answer to all of it, network units.
        card: Of the network.
    """

    def __init__(self, pair: PreparedPair, output: np.ndarray, card: TranslationCard) -> None:
        self._pair, self._card, self._kind = pair, card, _kind(card.target)
        target = intensity.unfitted(card.intensity.target)
        truth = target.invert(pair.target)
        if self._kind == "CT":
            low, high = target.bounds
            body = max(BODY_HU, low + _LEAST * (high - low))
            self._thresholds = [body, max(body, BONE_HU)]
            inside = truth > body
        else:
            inside = mr_foreground(truth)
        self._box = _bounds(inside)
        self._inside = inside[self._box]
        self._truth = truth[self._box]
        self._made = self._answer = target.invert(output[self._box])
        if self._kind == "MR":
            self._truth /= np.float32(full_scale(self._truth, self._inside))
            slope, offset = affine_fit(self._truth, self._answer, self._inside)
            self._made = self._answer * np.float32(slope) + np.float32(offset)

    def scores(self) -> dict[str, float]:
        """psnr, ssim, mae, dice and the Dice of each tissue class."""
        truth, made, scale = self._truth, self._made, 1.0
        if self._kind == "CT":
            truth, made, scale = clipped(truth, _LOW, _HIGH), clipped(made, _LOW, _HIGH), _HIGH - _LOW
        found = plain_scores(truth, made, self._inside, scale)
        found = {name: found[name] for name in ("psnr", "ssim", "mae")}
        dice = self._dice()
        if dice:
            found["dice"] = float(np.mean(list(dice.values())))
        return found | {_CLASS + name: value for name, value in dice.items()}

    def _dice(self) -> dict[str, float]:
        """By class; a class that neither the truth nor the answer shows has none."""
        names: Sequence[str]
        thresholds: list[float] | None
        if self._kind == "CT":
            names, thresholds, region = ("air", "soft", "bone"), self._thresholds, outline(self._inside)
        else:
            names, thresholds, region = TISSUES, mr_thresholds(self._truth, self._inside), self._inside
        if thresholds is None:
            return {}
        found = tissue_dice(self._truth, self._made, region, thresholds)
        return {name: value for name, value in zip(names, found, strict=True) if not math.isnan(value)}

    def pictures(self) -> list[np.ndarray]:
        """Input, answer, truth and difference in the middle slice of the patient, cut to the head: answer and truth in
        one scale, MR by one factor alone, so that air stays as dark as the network made it."""
        middle = int(self._pair.slices[len(self._pair.slices) // 2])
        row = min(max(middle - self._box[0].start, 0), len(self._truth) - 1)
        head = _bounds(self._inside[row : row + 1], least=0.1)[1:]
        source = intensity.unfitted(self._card.intensity.source).invert(self._pair.source[middle][self._box[1:]])[head]
        if _kind(self._card.source) == "CT":
            low, high = CT_RANGE
        else:
            low, high = 0.0, float(np.percentile(source, 99.5)) or 1.0
        shown = (source - low) / (high - low)
        low, high = CT_RANGE if self._kind == "CT" else (0.0, 1.0)
        made, truth = self._answer[row][head], self._truth[row][head]
        if self._kind == "MR":
            made = made * np.float32(_factor(self._truth[self._inside], self._answer[self._inside]))
        made, truth = ((array - low) / (high - low) for array in (made, truth))
        return [shown, made, truth, heat(np.abs(made.clip(0, 1) - truth.clip(0, 1)) / _HALF)]


def _kind(name: str) -> str:
    return "CT" if modality(name).kind == "CT" else "MR"


def _bounds(inside: np.ndarray, least: float = 0.0) -> tuple[slice, slice, slice]:
    """The box that holds a mask, and half a window of SSIM more.

    Args:
        inside: The mask.
        least: Planes that hold no more than this share of the fullest parallel plane are passed over: noise in air.
    """
    places = []
    for axis in range(3):
        counts = inside.sum(axis=tuple({0, 1, 2} - {axis}))
        filled = np.flatnonzero(counts > least * counts.max())
        places.append(slice(max(0, int(filled[0]) - WINDOW // 2), int(filled[-1]) + WINDOW // 2 + 1))
    return places[0], places[1], places[2]


def _factor(truth: np.ndarray, made: np.ndarray) -> float:
    """The factor that brings values nearest to the truth, by least squares."""
    power = float(np.dot(made, made))
    return float(np.dot(truth, made)) / power if power > 0 else 1.0
