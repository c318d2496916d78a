"""Which places of the input a synthetic image, or its realism, rests on: class activation maps on the input's grid.

Grad-CAM (Selvaraju et al., ICCV 2017) and its relatives answer for one number. For a translator that number must be a
chosen one: the mean over a region, a voxel, the error against a reference, or the discriminator's judgement; for a
classifier it is the logit of a class. Maps are kept unscaled over all slices and scaled once per volume, so that slices
can be compared. Where the network is one of volumes, the maps of its windows are joined with the weights that join its
answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk

from . import cam
from .errors import InputError
from .explainer import FLAT, Explainer, joined, largest
from .faithfulness import Faithfulness
from .inference import Cancel, Progress, part, pick_device, tell
from .levels import LevelRow, Levels, Segments, label_map, shares, table
from .package import Package
from .provenance import provenance
from .questions import subjects
from .targets import Target
from .volume import like

_LEVELS = Levels()


@dataclass(frozen=True)
class Beside:
    """A second image that was judged by the same network, and its maps, on that image's own grid.

    Attributes:
        image: What was judged.
        heatmap, raw: As of `Explanation`; both heat maps have one scale, so that colours mean the same.
        score: The discriminator's mean answer to this image; what it means is said at `Package.discriminator`.
        title: What it is, for people.
    """

    image: sitk.Image
    heatmap: sitk.Image
    raw: sitk.Image
    score: float
    title: str


@dataclass(frozen=True)
class Explanation:
    """What `explain` gives; all images lie on the input's grid.

    Attributes:
        heatmap: float32, 0..1; 1 is the volume's maximum of `raw`, and what lowers the target is 0.
        raw: float32, the signed map before that. Slices and windows that the target does not touch are 0.
        levels: uint8 labels, see `levels.label_map`.
        level_names: Names of the labels, that of 0 first.
        table: For each level its volume, heat and intensity.
        shares: The part of the heat in each segment, where segments were given; see `levels.share_sentence`.
        faithfulness: The checks of the map, where they were asked for.
        beside: With Realism and Match a second image and its maps, where there is one.
        warnings: Sentences for people.
        provenance: Model, method, layer, software, date, notice.
    """

    heatmap: sitk.Image
    raw: sitk.Image
    levels: sitk.Image
    level_names: list[str]
    table: list[LevelRow] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    faithfulness: Faithfulness | None = None
    beside: Beside | None = None
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)


def explain(
    image: sitk.Image,
    package: Package,
    target: Target,
    method: str = "gradcam",
    layer: str | Sequence[str] | None = None,
    device: str = "auto",
    levels: Levels = _LEVELS,
    segments: Segments | None = None,
    check: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Explanation:
    """Find the places that raise a number which a network answers with.

    "gradcam" averages the gradient over the slice: it shows all places with the features that matter for the target.
    "hirescam" and "layercam" keep the gradient at its place: they show from where the target itself is reached.
    A map belongs to the slice whose synthetic values are explained; with neighbouring slices as channels (2.5-D) it
    stands for that slice and its neighbours together.

    Args:
        image: 3-D scalar volume, any grid. For a translation the source contrast; for the other packages a volume whose
            slices are pictures, see `pictures.PictureStack`.
        package: From `load_package`.
        target: What is explained: Region, Voxel, Error or Realism of a translation, Realism of a generation, Realism or
            Match of a radiograph, ClassScore of a classification.
        method: One of `cam.METHODS`. The raw maps of those in `cam.SIGNED` are below 0 where the target is lowered.
        layer: Dotted name of a layer of the network that is asked (for Realism and Match: the discriminator); None is
            the network's own choice. Of several layers each map is divided by its maximum over the volume, then the
            mean is taken.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        levels: Where the levels of the label map begin.
        segments: Anatomy on the input's grid that the heat is to be divided over.
        check: Also test the map, see `faithfulness.check_map`; takes much longer than the map itself.
        progress: Called with (fraction 0..1, stage, done, total) after every batch.
        cancel: Asked before every batch; True stops.

    Raises:
        InputError: The image, target, method, layer or device cannot be used, or the map is flat.
        PackageError: Realism was asked of a package without discriminator.
        OutOfMemory: Not even one slice or window fits.
        Cancelled: `cancel` said so.
    """
    cam.check_method(method)
    warnings: list[str] = []
    chosen = pick_device(device)
    subject, other = subjects(image, package, target, chosen, warnings)
    share = 0.3 if check else 0.98
    part_of_other = 0.0 if other is None else len(other.touched) / (len(subject.touched) + len(other.touched))
    explainer = Explainer(subject, method, layer, chosen, warnings, cancel)
    values = explainer.run(part(progress, 0, share * (1 - part_of_other)))
    explainer.refuse_flat()
    scales = largest(values)
    second = None
    if other is not None:
        second = Explainer(other, method, layer, explainer.device, warnings, cancel)
        found = second.run(part(progress, share * (1 - part_of_other), share * part_of_other))
        scales = np.maximum(scales, largest(found))
        other_raw = other.restore(joined(found, scales))
    array = joined(values, scales)
    raw = subject.restore(array)
    highest = max(_highest(raw), 0.0 if second is None else _highest(other_raw))
    if _highest(raw) <= np.finfo(np.float32).tiny:
        raise InputError(FLAT)
    heatmap = _scaled(raw, highest)
    faithful = explainer.check(array, part(progress, share, 0.98 - share)) if check else None
    if method == "eigencam":
        warnings.append("EigenCAM shows what dominates the layer, whatever the target; compare it with gradcam.")
    facts = {
        **provenance(package, explainer.device),
        "method": method,
        "layer": ", ".join(explainer.layers),
        "explained": subject.name,
        "grad_cam": version("grad-cam"),
    }
    if subject.judged:
        facts["score"] = f"{explainer.score():.4g}"
    beside = None
    if second is not None and other is not None:
        beside = Beside(other.image, _scaled(other_raw, highest), other_raw, second.score(), other.title)
        facts |= {"beside": beside.title, "score_beside": f"{beside.score:.4g}"}
    labels, names = label_map(heatmap, levels)
    tell(progress, 1.0, "Done", len(subject.touched), len(subject.touched))
    return Explanation(
        heatmap=heatmap,
        raw=raw,
        levels=labels,
        level_names=names,
        table=table(labels, names, heatmap, image),
        shares={} if segments is None else shares(heatmap, segments),
        faithfulness=faithful,
        beside=beside,
        warnings=warnings,
        provenance=facts,
    )


def _highest(raw: sitk.Image) -> float:
    return float(sitk.GetArrayViewFromImage(raw).max())


def _scaled(raw: sitk.Image, highest: float) -> sitk.Image:
    """The positive part over what is to be 1."""
    array = sitk.GetArrayViewFromImage(raw) / np.float32(highest)
    return like(np.clip(array, 0, 1, out=array), raw)
