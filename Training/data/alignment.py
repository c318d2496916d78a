"""Are the two images of a pair in register? Pix2pix learns a shift as readily as a contrast, so this is asked first."""

import numpy as np
import SimpleITK as sitk

from MRITranslateLib.errors import InputError

from .pairs import Pair

_BINS = 48
_SHIFT_MM = 4.0


def normalised_mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """(H(a) + H(b)) / H(a, b) of two equal-shaped arrays (Studholme et al. 1999); 1 means independent."""
    edges = [np.unique(np.percentile(array, np.linspace(0, 100, _BINS + 1))) for array in (first, second)]
    if min(len(edge) for edge in edges) < 3:
        return 1.0
    joint = np.histogram2d(first.ravel(), second.ravel(), bins=edges)[0]
    joint /= joint.sum()

    def entropy(p: np.ndarray) -> float:
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    return (entropy(joint.sum(0)) + entropy(joint.sum(1))) / entropy(joint)


def check_alignment(pair: Pair) -> dict[str, float]:
    """Compare the pair as it is with the pair shifted by 4 mm to each side, in plane.

    Returns:
        "aligned" and "best shifted": normalised mutual information.

    Raises:
        InputError: The pair fits better when shifted.
    """
    source, target = (sitk.GetArrayViewFromImage(image) for image in (pair.source, pair.target))
    step = max(1, source.shape[0] // 24)
    source, target = source[::step].astype(np.float32), target[::step].astype(np.float32)
    shifts = [max(1, round(_SHIFT_MM / spacing)) for spacing in pair.source.GetSpacing()[1::-1]]  # rows, columns
    margin = [(slice(s, -s) if n > 4 * s else slice(None)) for s, n in zip(shifts, source.shape[1:], strict=True)]
    inner = source[:, margin[0], margin[1]]
    aligned = normalised_mutual_information(inner, target[:, margin[0], margin[1]])
    shifted = max(
        normalised_mutual_information(inner, np.roll(target, sign * shifts[axis], axis + 1)[:, margin[0], margin[1]])
        for axis in (0, 1)
        for sign in (-1, 1)
    )
    if shifted > aligned:
        raise InputError(
            f"The two images of {pair.subject} fit better when shifted by {_SHIFT_MM:g} mm; register them first "
            "(or say --data.check_alignment false)."
        )
    return {"aligned": aligned, "best shifted": shifted}
