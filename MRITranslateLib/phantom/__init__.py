"""A digital head: one seed, one person, in T1, T2, FLAIR, PD and CT with the truth about every voxel.

    from MRITranslateLib.phantom import phantom
    head = phantom(seed=1, shape=(96, 128, 128), lesions=3)
    head.t1, head.t2, head.flair, head.pd, head.ct, head.labels, head.lesions      # SimpleITK images on one grid

The head is a set of smooth implicit solids in MNI-like coordinates (anatomy after the MNI152 average), different for
every seed in pose, size, proportions, age-like traits, cortical folding and a smooth random deformation. It is an
invention: no person's data went into it.
"""

from .head import Phantom, phantom
from .signal import CONTRASTS, DEFAULTS, Acquisition, gradient_echo, inversion_recovery, spin_echo, tissue_signal
from .tissue import TISSUES, Tissue

__all__ = [
    "CONTRASTS",
    "DEFAULTS",
    "TISSUES",
    "Acquisition",
    "Phantom",
    "Tissue",
    "gradient_echo",
    "inversion_recovery",
    "phantom",
    "spin_echo",
    "tissue_signal",
]
