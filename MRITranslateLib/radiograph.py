"""Make chest X-rays from a report, and say what the model's own judge thinks of them."""

import hashlib
import os
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from .card import RadiographCard
from .errors import InputError
from .generate import check_count, check_seed
from .inference import Cancel, Progress, part, pick_device, tell
from .package import Package
from .pictures import stacked
from .provenance import marked, provenance
from .reading import find_text_encoder, read_features
from .sampling import draw_noise, draw_pictures, judge

_REALISM, _MATCH = 0, 1


@dataclass(frozen=True)
class Radiograph:
    """What `radiograph` gives.

    Attributes:
        image: The X-rays as the slices of a volume, one for one X-ray, float32 from 0 (air) to 255, in LPS: seen from
            the front as usual, the patient's right on the left.
        pictures: The same in network units: float32 (count, size, size) in [-1, 1].
        realism: The discriminator's logit for each; above 0 it takes the picture for real. Empty where the package has
            no discriminator.
        match: Its logit for the match with the report; above 0 it finds the report's words in the picture.
        warnings: Sentences for people.
        provenance: Model, hash of the weights, seed, SHA-256 of the report (not the report), device, software, date,
            notice.
    """

    image: sitk.Image
    pictures: np.ndarray
    realism: list[float] = field(default_factory=list)
    match: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)


def radiograph(
    text: str,
    package: Package,
    seed: int = 1,
    count: int = 1,
    text_encoder: str | os.PathLike[str] | None = None,
    device: str = "auto",
    allow_many: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Radiograph:
    """Make chest X-rays of what a report says. None shows a person; findings of the report may be missing.

        xray = mt.radiograph("Bilateral patchy opacities. AP projection.", mt.load_package("chest_xray"), seed=1)
        mt.write_volume(xray.image, "synthetic_xray.nii.gz")

    Args:
        text: The report, in the language of the training reports; more than the model's tokens are left out with a
            warning.
        package: A package for radiographs, from `load_package`.
        seed: Decides; on one device the same report and seed give the same pictures.
        count: Number of pictures, which differ in what the report leaves open.
        text_encoder: Folder or cached name of a BERT checkpoint, for a package that comes without its language model.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        allow_many: Make more than 10,000.
        progress: Called with (fraction 0..1, stage, done, total) after every batch.
        cancel: Asked before every batch; True stops.

    Raises:
        InputError: The package makes no X-rays, the report is empty or absurdly long, the text encoder cannot be used,
            or a number makes no sense.
        OutOfMemory: Not even one picture fits.
        Cancelled: `cancel` said so.
    """
    card = package.card
    if not isinstance(card, RadiographCard):
        raise InputError(f'"{card.name}" makes no X-rays of reports, its task is {card.task}; choose another model.')
    check_count(count, card.picture, allow_many)
    check_seed(seed)
    chosen = pick_device(device)
    warnings: list[str] = []
    tell(progress, 0.0, "Reading the report", 0, 1)
    encoder = find_text_encoder(package, text_encoder)
    features = read_features(encoder, text, warnings).expand(count, -1)
    noise = draw_noise(count, int(package.generator(chosen).latent), seed)  # type: ignore[arg-type]
    pictures, chosen = draw_pictures(
        package.generator, noise, features, chosen, warnings, part(progress, 0.1, 0.8), cancel
    )
    realism, match = [], []
    if package.has_discriminator:
        verdict = judge(package.discriminator, pictures, features, chosen, warnings, part(progress, 0.9, 0.1), cancel)
        realism, match = verdict[:, _REALISM].tolist(), verdict[:, _MATCH].tolist()
    facts = {
        **provenance(package, chosen),
        "seed": str(seed),
        "count": str(count),
        "text_encoder": f"{encoder.weights_sha256[:12]}, {encoder.features} features",
        "report_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    tell(progress, 1.0, "Done", count, count)
    return Radiograph(marked(stacked(pictures, card.picture), facts), pictures, realism, match, warnings, facts)
