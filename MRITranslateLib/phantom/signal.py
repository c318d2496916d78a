"""MR signal equations and the acquisition parameters of each contrast.

Magnitude signal for unit receiver gain, times in ms, flip angle in degrees (Bernstein, King and Zhou, Handbook of MRI
Pulse Sequences, 2004, chapter 14):

    spin echo           PD (1 - exp(-TR/T1)) exp(-TE/T2)
    inversion recovery  PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2)
    spoiled gradient    PD sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE/T2*),  E1 = exp(-TR/T1)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .tissue import TISSUES, Tissue

Sequence = Literal["spin_echo", "turbo_spin_echo", "inversion_recovery", "gradient_echo"]


@dataclass(frozen=True)
class Acquisition:
    """How one MR contrast is acquired.

    Attributes:
        sequence: which signal equation; `turbo_spin_echo` and `inversion_recovery` (FLAIR) read a train of echoes, so
            fat stays bright.
        tr, te, ti: repetition, (effective) echo and inversion time in ms.
        flip: flip angle in degrees, for the gradient echo.
        noise: standard deviation of each receiver channel as a fraction of the mean signal of white matter.
        bias: receive inhomogeneity; 0.2 varies the sensitivity smoothly by about +-20 %.
        blur: full width at half maximum, in mm, of the point spread beyond the voxel.
        fat_suppression: share of the fat signal that a saturation or water-excitation pulse removes, 0 to 1.
        gain: receiver gain, signal units per unit of proton density.
    """

    sequence: Sequence = "spin_echo"
    tr: float = 500.0
    te: float = 15.0
    ti: float = 0.0
    flip: float = 90.0
    noise: float = 0.02
    bias: float = 0.12
    blur: float = 0.0
    fat_suppression: float = 0.0
    gain: float = 1000.0


CONTRASTS: tuple[str, ...] = ("t1", "t2", "flair", "pd")

DEFAULTS: Mapping[str, Acquisition] = {
    "t1": Acquisition("gradient_echo", tr=18.0, te=5.0, flip=27.0),
    "t2": Acquisition("turbo_spin_echo", tr=4500.0, te=100.0),
    "flair": Acquisition("inversion_recovery", tr=9000.0, te=120.0, ti=2480.0),
    "pd": Acquisition("turbo_spin_echo", tr=3000.0, te=15.0),
}


FAT_SUPPRESSED: Mapping[str, float] = {"t1": 0.15, "t2": 0.25, "flair": 0.4, "pd": 0.25}
"""How often `randomised_acquisition` suppresses fat."""


def spin_echo(density: float, t1: float, t2: float, tr: float, te: float) -> float:
    """Spin-echo signal; times in ms."""
    return density * (1.0 - math.exp(-tr / t1)) * math.exp(-te / t2)


def inversion_recovery(density: float, t1: float, t2: float, tr: float, te: float, ti: float) -> float:
    """Magnitude of the inversion-recovery spin echo; times in ms."""
    return density * abs(1.0 - 2.0 * math.exp(-ti / t1) + math.exp(-tr / t1)) * math.exp(-te / t2)


def gradient_echo(density: float, t1: float, t2_star: float, tr: float, te: float, flip: float) -> float:
    """Spoiled gradient-echo (FLASH) signal; times in ms, flip angle in degrees."""
    recovery, angle = math.exp(-tr / t1), math.radians(flip)
    return density * math.sin(angle) * (1.0 - recovery) / (1.0 - math.cos(angle) * recovery) * math.exp(-te / t2_star)


def tissue_signal(tissue: Tissue, acquisition: Acquisition) -> float:
    """Noise-free signal of a voxel full of one tissue, in signal units."""
    a = acquisition
    if a.sequence == "spin_echo":
        signal = spin_echo(tissue.density, tissue.t1, tissue.t2, a.tr, a.te)
    elif a.sequence == "turbo_spin_echo":
        signal = spin_echo(tissue.density, tissue.t1, tissue.train_t2, a.tr, a.te)
    elif a.sequence == "inversion_recovery":
        signal = inversion_recovery(tissue.density, tissue.t1, tissue.train_t2, a.tr, a.te, a.ti)
    else:
        signal = gradient_echo(tissue.density, tissue.t1, tissue.t2_star, a.tr, a.te, a.flip)
    return a.gain * signal * (1.0 - a.fat_suppression * tissue.lipid)


def randomised_acquisition(contrast: str, generator: np.random.Generator) -> Acquisition:
    """A plausible protocol for one contrast, drawn at random: what differs between hospitals."""
    draw = generator.uniform
    common = {
        "noise": float(np.exp(draw(np.log(0.008), np.log(0.06)))),
        "bias": float(draw(0.03, 0.3)),
        "blur": float(max(0.0, draw(-1.0, 2.2))),
        "fat_suppression": float(draw(0.6, 0.95)) if draw() < FAT_SUPPRESSED[contrast] else 0.0,
        "gain": float(np.exp(draw(np.log(300.0), np.log(3000.0)))),
    }
    if contrast == "t1" and draw() < 0.5:
        acquisition = Acquisition(
            "gradient_echo", tr=draw(7.0, 30.0), te=draw(2.5, 6.0), flip=draw(15.0, 35.0), **common
        )
    elif contrast == "t1":
        acquisition = Acquisition("spin_echo", tr=draw(380.0, 700.0), te=draw(8.0, 18.0), **common)
    elif contrast == "t2":
        acquisition = Acquisition("turbo_spin_echo", tr=draw(3000.0, 6500.0), te=draw(80.0, 120.0), **common)
    elif contrast == "flair":
        # The inversion time that nulls CSF depends on TR; hospitals set it within some percent of that.
        tr = draw(8000.0, 11000.0)
        csf = next(tissue.t1 for tissue in TISSUES if tissue.name == "cerebrospinal fluid")
        null = csf * math.log(2.0 / (1.0 + math.exp(-tr / csf)))
        acquisition = Acquisition(
            "inversion_recovery", tr=tr, te=draw(85.0, 140.0), ti=null * draw(0.96, 1.04), **common
        )
    else:
        acquisition = Acquisition("turbo_spin_echo", tr=draw(2200.0, 4000.0), te=draw(10.0, 30.0), **common)
    return acquisition


def randomised_tissues(generator: np.random.Generator) -> tuple[Tissue, ...]:
    """The tissue table with each value moved by some percent: people, field strengths and calibrations differ."""

    def vary(tissue: Tissue) -> Tissue:
        if tissue.density == 0.0:
            return tissue
        t1, t2, density = np.exp(generator.normal(0.0, (0.08, 0.08, 0.03)))
        return replace(
            tissue,
            t1=tissue.t1 * float(t1),
            t2=tissue.t2 * float(t2),
            t2_star=tissue.t2_star * float(t2),
            train_t2=tissue.train_t2 * float(t2),
            density=min(tissue.density * float(density), 1.0),
            hounsfield=tissue.hounsfield * float(np.exp(generator.normal(0.0, 0.04))),
        )

    return tuple(vary(tissue) for tissue in TISSUES)
