"""How close a synthetic volume is to the true one, by the protocols of the field.

* ``plain``, MR. Intensities have no unit, so each volume is divided by the 99.8th percentile of its own values in the
  foreground; data range 1. The foreground is the mask, or else the reference above 5 % of the 99.8th percentile of its
  positive values. ``mae``, ``psnr``, ``ssim`` (7 x 7 x 7 uniform) and ``ms_ssim`` (five scales as SynthRAD2025 defines
  it; NaN in a mask too small for the coarsest) are given as they are and (``..._affine``) after one global
  least-squares fit ``a * prediction + b`` to the reference in the foreground; ``ncc`` is Pearson's correlation.
  ``dice_foreground`` and ``hd95_foreground`` (mm) compare the foregrounds of both; ``dice_dark``, ``dice_middle`` and
  ``dice_bright`` the tissue classes that two multi-Otsu thresholds of the reference part. With the `source` image,
  ``psnr_oracle`` is the best that any intensity map of the source can reach: the mean reference for each of 256 levels
  of the source, fitted on this very volume; ``psnr_gain`` is what the prediction has above it.
* ``plain``, CT. Hounsfield units, clipped to [-1024, 3071] for PSNR and (MS-)SSIM; data range 4095. The foreground is
  the mask, or else where the reference exceeds -500 HU. ``me`` is the mean of prediction minus reference. ``mae_air``,
  ``mae_soft_tissue``, ``mae_bone`` and ``me_...`` are taken where the reference shows air (below -200 HU), soft tissue
  or bone (above 250 HU), in the mask or else inside the patient's outline; ``dice_...`` and ``hd95_...`` (mm) compare
  what both show of it in the mask or else the whole volume.
* ``synthrad2023`` (doi 10.1002/mp.16529) and ``synthrad2025``, CT only. The challenges' evaluation code, figure for
  figure; the mask is the body outline, or else the whole volume.
* ``brasyn``, MR only: in the style of the BraTS challenge's image synthesis (arXiv 2305.09011). Each volume is clipped
  to its 0.5th (at least 0) and 99.5th percentile and scaled to 0 to 1; the mask is the tumour. ``ssim_tumour`` and
  ``ssim_healthy`` (11 x 11 x 11 Gaussian) are taken over the whole volume with the other part set to 0,
  ``psnr_tumour`` in the tumour and ``psnr_healthy`` in the foreground outside it.

The 95 % Hausdorff distance and the thresholds are those of `overlap`.
"""

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .modality import MODALITIES
from .resampling import on_grid, uncovered
from .scoring.protocols import KINDS_OF, Volumes, score
from .scoring.regions import regions_of
from .scoring.scores import Scores
from .scoring.similarity import Cancel
from .volume import check_volume, same_grid

PROTOCOLS = tuple(KINDS_OF)
KINDS = ("MR", "CT")


def evaluate(
    reference: sitk.Image,
    prediction: sitk.Image,
    modality: str = "MR",
    mask: sitk.Image | None = None,
    protocol: str = "plain",
    source: sitk.Image | None = None,
    resample: bool = False,
    cancel: Cancel | None = None,
) -> Scores:
    """Compare a prediction with the truth.

    Args:
        reference: The true volume, 3-D scalar; HU for CT.
        prediction: The synthetic volume on the same grid.
        modality: "MR" or "CT".
        mask: Label image on the same grid; its nonzero voxels count (`brasyn`: are the tumour).
        protocol: "plain", "brasyn", "synthrad2023" or "synthrad2025", see above.
        source: What the prediction was made from, on the same grid; adds the best intensity map as a yardstick (MR).
        resample: Bring a prediction and a source that lie on another grid to the reference's, linearly, and leave out
            what the prediction does not reach; the fact "resampled" says so. Otherwise they are refused.
        cancel: Asked now and then whether to stop.

    Raises:
        Cancelled: `cancel` said so.
        InputError: Volumes that no figure can be given for: other grids, constant, not finite, an empty mask, ...
    """
    kind = check_request(modality, protocol)
    if source is not None and (kind != "MR" or protocol != "plain"):
        raise InputError("The yardstick from the input image is that of MR and plain; leave the input image out.")
    check_volume(reference, "The reference")
    volumes = {"The prediction": prediction, "The input image": source}
    for what, image in volumes.items():
        if image is not None:
            check_volume(image, what)
    refuse_other_grids(reference, {"The mask": mask} if resample else {**volumes, "The mask": mask})
    covered, resampled = None, []
    for what, image in volumes.items():
        if image is None or same_grid(reference, image):
            continue
        volumes[what], reached = on_reference(image, reference, kind)
        if reached is not None:
            covered = reached if covered is None else covered & reached
        resampled.append(f"{what.lower()} from {_grid(image)}")
    truth = sitk.GetArrayViewFromImage(reference)
    made, input_image = (None if image is None else sitk.GetArrayViewFromImage(image) for image in volumes.values())
    region = None if mask is None else sitk.GetArrayViewFromImage(mask) != 0
    regions = regions_of(truth, kind, protocol, region, covered)
    assert made is not None
    scores = score(Volumes(truth, made, regions, reference.GetSpacing(), input_image, cancel), kind, protocol)
    if resampled:
        left_out = "" if covered is None else f"; {uncovered(covered)} of it is not reached and left out"
        scores.facts["resampled"] = f"{', '.join(resampled)} to {_grid(reference)}, linearly{left_out}"
    return scores


def check_request(modality: str, protocol: str) -> str:
    """The kind ("MR" or "CT") of a modality that a protocol scores.

    Raises:
        InputError: It does not, or there is none of that name.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f'There is no protocol "{protocol}"; use one of {", ".join(PROTOCOLS)}.')
    kind = modality.upper()
    if kind not in KINDS:
        raise InputError(f'"{modality}" cannot be evaluated; use modality MR or CT.')
    if kind not in KINDS_OF[protocol]:
        (other,) = KINDS_OF[protocol]
        raise InputError(
            f"The protocol {protocol} scores {other}; use modality {other}, or the protocol plain for {kind}."
        )
    return kind


def on_reference(
    image: sitk.Image, reference: sitk.Image, kind: str, shift: sitk.Image | None = None
) -> tuple[sitk.Image, np.ndarray | None]:
    """A volume on the grid of the reference, by linear interpolation, and where it reaches: None for everywhere.

    Args:
        image: 3-D scalar.
        reference: Gives the grid.
        kind: "MR" or "CT", for the value where the volume does not reach.
        shift: See `on_grid`.

    Raises:
        InputError: It reaches nowhere.
    """
    moved, covered = on_grid(image, reference, MODALITIES["CT"].background if kind == "CT" else 0.0, shift)
    return moved, None if covered.all() else covered


def refuse_other_grids(reference: sitk.Image, images: Mapping[str, sitk.Image | None]) -> None:
    """Refuse volumes, called by what they are, that do not lie on the reference's grid.

    Raises:
        InputError: One does not.
    """
    for what, image in images.items():
        if image is not None and not same_grid(reference, image):
            remedy = (
                "draw it on the reference" if what == "The mask" else "give --resample (resample=True) to resample it"
            )
            raise InputError(
                f"{what} lies on another grid than the reference ({_grid(image)} against {_grid(reference)}); {remedy}."
            )


def _grid(image: sitk.Image) -> str:
    size = " x ".join(map(str, image.GetSize()))
    spacing = " x ".join(f"{value:.4g}" for value in image.GetSpacing())
    return f"{size} voxels of {spacing} mm"
