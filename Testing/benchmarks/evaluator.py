"""One side of the benchmark of evaluation, in a process of its own: `mt.evaluate`, or the plain code of `synthrad`.

Started by `evaluate.py`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk

import MRITranslateLib as mt

from . import memory
from .sides import Turns
from .synthrad import synthrad2025

Scores = dict[str, float]
FILES = ("reference.mha", "prediction.mha", "mask.mha")


def product(images: list[sitk.Image], modality: str, protocol: str) -> Callable[[], Scores]:
    """What users call."""
    reference, prediction, mask = images
    evaluate = mt.evaluate  # loads its module, which is no part of a call
    return lambda: evaluate(reference, prediction, modality, mask, protocol=protocol).values


def plain(images: list[sitk.Image], modality: str, protocol: str) -> Callable[[], Scores]:
    """The reference; it knows nothing but the challenge of 2025."""
    if (modality, protocol) != ("CT", "synthrad2025"):
        raise ValueError(f"there is no reference for {modality} by {protocol}")
    truth, made, mask = (sitk.GetArrayViewFromImage(image) for image in images)
    return lambda: synthrad2025(truth, made, mask)


SIDES = {"product": product, "plain": plain}


def main(side: str, folder: str, modality: str, protocol: str) -> None:
    turns = Turns("cpu")
    images = [sitk.ReadImage(Path(folder) / modality / name) for name in FILES]
    repeat = SIDES[side](images, modality, protocol)
    while turns.wait():
        memory.reset_peak()
        before = memory.resident_bytes()
        scores = repeat()
        turns.tell(**scores, extra=memory.peak_bytes() - before)


if __name__ == "__main__":
    main(*sys.argv[1:5])
