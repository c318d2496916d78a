"""What a generator's own judge looks at: maps of the realism logit over pictures that were made and over real ones.

A map of one picture says little about a judge; what it always looks at, and whether that differs between made and real
pictures, shows in averages over many, and in how the heat divides over air, skull and brain.

The maps are HiResCAM's (Draelos and Carin, 2020, arXiv:2011.08891) unless another method is asked for. A judge of
convolutions and leaky ReLUs without normalisation is linear between its kinks, and there these maps divide the logit,
up to biases, over the places of the layer. Grad-CAM averages the gradient over the picture first; with features below
0, as leaky ReLUs give, that can leave every place of every picture below 0, whatever the judge thinks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk

from . import cam, headparts
from .card import GenerationCard
from .errors import InputError
from .explainer import FLAT, Explainer, joined, largest
from .generate import check_seed
from .inference import Cancel, Progress, part, pick_device, tell
from .modality import modality
from .package import Package
from .pictures import PictureStack, stacked
from .provenance import provenance
from .sampling import draw_noise, draw_pictures, judge
from .subjects import Pictures
from .volume import check_volume

MOST = 1000
"""Pictures of a kind: averages hardly change beyond."""


@dataclass(frozen=True)
class Share:
    """How much of the heat lies in one part of the head.

    Attributes:
        heat: The share of what raises the logit, mean over the pictures where anything does; NaN where there is none.
        spread: The standard deviation of that over these pictures.
        against, against_spread: The same of what lowers the logit; NaN with methods that do not show it.
        area: The share of a picture's pixels, mean over all pictures.
    """

    heat: float
    spread: float
    against: float
    against_spread: float
    area: float

    @property
    def preference(self) -> float:
        """Heat share over area share: above 1 the heat prefers this part, 1 is what an even map has. NaN without
        area."""
        return self.heat / self.area if self.area > 0 else float("nan")


@dataclass(frozen=True)
class JudgedPictures:
    """Pictures and what their judge saw in them. "Heat" is what raises the logit: what looks real to the judge.

    Attributes:
        title: What the pictures are, for people.
        pictures: float32 (n, size, size) in [-1, 1].
        raw: float32 (n, size, size), the signed maps; below 0 lies what lowers the logit.
        heat: The positive part of `raw`, 0..1; 1 is the largest value of `raw` of the generated and real pictures
            together, so all of them can be compared.
        scores: float32 (n,), the realism logits; above 0 the judge takes a picture for real.
        average_picture: float32 (size, size), the mean of the pictures.
        average: float32 (size, size), -1..1: the mean of `raw`, over the largest absolute value of the means of the
            generated and of the real pictures; so the two averages can be compared, but not with `heat`.
        parts: uint8 (n, size, size), the labels of `headparts`.
        shares: By part, in the order of `headparts.NAMES`; those of heat sum to 1, as do those against and of area.
    """

    title: str
    pictures: np.ndarray
    raw: np.ndarray
    heat: np.ndarray
    scores: np.ndarray
    average_picture: np.ndarray
    average: np.ndarray
    parts: np.ndarray
    shares: dict[str, Share]


@dataclass(frozen=True)
class SelfExplanation:
    """What `explain_generator` gives.

    Attributes:
        generated: The pictures that the generator made.
        real: The real ones, where there were any.
        warnings: Sentences for people.
        provenance: Model, method, layer, counts, seed, software, date, notice.
    """

    generated: JudgedPictures
    real: JudgedPictures | None = None
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)


def explain_generator(
    package: Package,
    real: np.ndarray | Sequence[np.ndarray] | sitk.Image | None = None,
    count: int = 64,
    seed: int = 1,
    method: str = "hirescam",
    layer: str | Sequence[str] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> SelfExplanation:
    """Find where the discriminator of a generator sees what looks real to it, in made and in real pictures.

        found = mt.explain_generator(mt.load_package("brain_mri"), real=pictures)
        found.generated.shares["brain"].preference

    Args:
        package: A package for generation with its discriminator.
        real: Pictures as `prepare_picture` makes them, float (n, size, size) in [-1, 1]; or a volume, whose telling
            axial slices are taken. Pictures that the discriminator was trained with say less than held-back ones.
        count: Pictures to make.
        seed: Decides them, as in `generate`.
        method: One of `cam.METHODS`.
        layer: Dotted name of a layer of the discriminator, or several; None is its own choice.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        progress: Called with (fraction 0..1, stage, done, total) after every batch.
        cancel: Asked before every batch; True stops.

    Raises:
        InputError: The package makes no pictures from noise, the real pictures do not fit it, a number, the method, the
            layer or the device cannot be used, or the maps are flat.
        PackageError: The package has no discriminator.
        OutOfMemory: Not even one picture fits.
        Cancelled: `cancel` said so.
    """
    card = package.card
    if not isinstance(card, GenerationCard):
        raise InputError(f'"{card.name}" makes no pictures from noise, its task is {card.task}; choose another model.')
    cam.check_method(method)
    if not 1 <= count <= MOST:
        raise InputError(f"{count:,} generated pictures cannot be explained together; ask for 1 to {MOST:,}.")
    check_seed(seed)
    chosen = pick_device(device)
    latent = int(package.generator(chosen).latent)  # type: ignore[arg-type]
    package.discriminator(chosen)  # refused before any work is done
    warnings: list[str] = []
    given = None if real is None else _real(real, card.picture.size, warnings)
    if card.target != "T1":
        warnings.append(
            "The parts of the head are found by rules for T1 slices; on other pictures their shares mislead."
        )
    noise = draw_noise(count, latent, seed)
    made, chosen = draw_pictures(package.generator, noise, None, chosen, warnings, part(progress, 0, 0.1), cancel)

    sets = [made] if given is None else [made, given]
    values, scores, begun, total = [], [], 0, sum(map(len, sets))
    for pictures in sets:
        start, share = 0.1 + 0.75 * begun / total, 0.75 * len(pictures) / total
        image = stacked(pictures, card.picture)
        subject = Pictures("discriminator", package, pictures, image, 0, "realism", "pictures")
        explainer = Explainer(subject, method, layer, chosen, warnings, cancel)
        # Of each picture's own logit: the explainer asks for the mean of all, and the two sets differ in number.
        values.append(explainer.run(part(progress, start, 0.9 * share)) * np.float32(subject.terms()))
        explainer.refuse_flat()
        chosen, layers = explainer.device, explainer.layers
        step = part(progress, start + 0.9 * share, 0.1 * share)
        scores.append(judge(package.discriminator, pictures, None, chosen, warnings, step, cancel)[:, 0])
        begun += len(pictures)
    scales = np.max([largest(one) for one in values], axis=0)
    raws = [joined(one, scales) for one in values]
    highest = max(float(raw.max()) for raw in raws)
    if highest <= np.finfo(np.float32).tiny:
        raise InputError(FLAT)
    strongest = max(float(np.abs(raw.mean(axis=0)).max()) for raw in raws)
    found = []
    for kind, pictures, raw, logits in zip(("synthetic", "real"), sets, raws, scores, strict=False):
        found.append(_judged(f"{kind} {modality(card.target).title}", pictures, raw, logits, highest, strongest))
        cold = int((found[-1].heat.max(axis=(1, 2)) <= 0).sum())
        if cold:
            advice = "" if method == "hirescam" else "; compare it with hirescam"
            warnings.append(
                f"By {method} nothing in {cold} of {len(pictures)} {kind} pictures raises the logit; "
                f"the shares leave them out{advice}."
            )
    tell(progress, 1.0, "Done", total, total)
    facts = {
        **provenance(package, chosen),
        "method": method,
        "layer": ", ".join(layers),
        "explained": "realism",
        "grad_cam": version("grad-cam"),
        "seed": str(seed),
        "count": str(count),
        "count_real": str(total - count),
    }
    return SelfExplanation(found[0], found[1] if len(found) > 1 else None, warnings, facts)


def _real(given: np.ndarray | Sequence[np.ndarray] | sitk.Image, size: int, warnings: list[str]) -> np.ndarray:
    """Real pictures as the discriminator sees them, float32 (n, size, size)."""
    if isinstance(given, sitk.Image):
        check_volume(given, "The real volume")
        stack = PictureStack(given, size)
        pictures = stack.pictures
        if stack.warning is not None:
            warnings.append(stack.warning)
    else:
        shapes = sorted({np.shape(one) for one in given})
        if shapes != [(size, size)]:
            what = "none" if not shapes else " and ".join(str(shape) for shape in shapes[:3])
            raise InputError(
                f"The real pictures must be some of {size} x {size} pixels, not {what}; prepare each with "
                "prepare_picture."
            )
        pictures = np.asarray(given, dtype=np.float32)
        if not np.abs(pictures).max() <= 1 + 1e-5:  # NaN too
            raise InputError("The real pictures hold values outside -1..1; prepare each with prepare_picture.")
    if len(pictures) > MOST:
        raise InputError(f"{len(pictures):,} real pictures are too many; give at most {MOST:,}.")
    return pictures


def _judged(
    title: str, pictures: np.ndarray, raw: np.ndarray, scores: np.ndarray, highest: float, strongest: float
) -> JudgedPictures:
    """Everything about one set; `highest` is what becomes 1 in single maps, `strongest` in the average."""
    parts = np.stack([headparts.label(picture) for picture in pictures])
    return JudgedPictures(
        title=title,
        pictures=pictures,
        raw=raw,
        heat=np.clip(raw / np.float32(highest), 0, 1),
        scores=scores,
        average_picture=pictures.mean(axis=0),
        average=raw.mean(axis=0) / np.float32(strongest),
        parts=parts,
        shares=_shares(raw, parts),
    )


def _shares(raw: np.ndarray, parts: np.ndarray) -> dict[str, Share]:
    """How maps and area (n, size, size) of pictures divide over the parts of the head."""
    signs = [np.maximum(sign * raw, 0) for sign in (1, -1)]
    shares = {}
    for number, name in enumerate(headparts.NAMES):
        inside = parts == number
        (heat, spread), (against, against_spread) = (_part(one, inside) for one in signs)
        shares[name] = Share(heat, spread, against, against_spread, float(inside.mean()))
    return shares


def _part(heat: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the share of each picture's heat that lies inside; NaN if none has heat."""
    whole = heat.sum(axis=(1, 2), dtype=np.float64)
    warm = whole > 0
    if not warm.any():
        return float("nan"), float("nan")
    each = (heat * inside).sum(axis=(1, 2), dtype=np.float64)[warm] / whole[warm]
    return float(each.mean()), float(each.std())
