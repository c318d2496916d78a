"""Make pictures of one contrast from random numbers, and the way from one such picture to another."""

from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from .card import GenerationCard, PictureCard
from .errors import InputError
from .inference import Cancel, Progress, part, pick_device, tell
from .package import Package
from .pictures import stacked
from .provenance import marked, provenance
from .sampling import draw_noise, draw_pictures, judge, noise_between

MOST = 10_000
"""Pictures that are made without being asked twice."""
_MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Generated:
    """What `generate` gives.

    Attributes:
        image: The pictures as the slices of a volume, float32 from 0 to 255, in LPS: rows run from front to back,
            columns from the patient's right to the left. They are no neighbours of each other.
        pictures: The same in network units: float32 (count, size, size) in [-1, 1].
        realism: The discriminator's logit for each; above 0 it takes the picture for real. Empty where the package has
            no discriminator.
        warnings: Sentences for people.
        provenance: Model, hash of the weights, seed, truncation, device, software, date, notice.
    """

    image: sitk.Image
    pictures: np.ndarray
    realism: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, str] = field(default_factory=dict)


def generate(
    package: Package,
    count: int = 16,
    seed: int = 1,
    truncation: float | None = None,
    towards: int | None = None,
    device: str = "auto",
    allow_many: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Generated:
    """Make pictures from noise. No picture shows a person, and none may be used as if it did.

        images = mt.generate(mt.load_package("brain_mri"), count=16, seed=1)
        mt.write_volume(images.image, "synthetic.nii.gz")

    Args:
        package: A package for generation, from `load_package`.
        count: Number of pictures.
        seed: Decides them; on one device the same seed gives the same pictures, and the first ones stay the same
            when more are asked for.
        truncation: Largest random number: from 2 (hardly any effect) down to 0.5 pictures become more usual and more
            alike. None leaves the numbers as they are.
        towards: Another seed: the pictures are those on the way from the first picture of `seed` to that of `towards`.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        allow_many: Make more than 10,000.
        progress: Called with (fraction 0..1, stage, done, total) after every batch.
        cancel: Asked before every batch; True stops.

    Raises:
        InputError: The package makes no pictures from noise, or a number makes no sense.
        OutOfMemory: Not even one picture fits.
        Cancelled: `cancel` said so.
    """
    card = package.card
    if not isinstance(card, GenerationCard):
        raise InputError(f'"{card.name}" makes no pictures from noise, its task is {card.task}; choose another model.')
    check_count(count, card.picture, allow_many)
    check_seed(seed)
    chosen = pick_device(device)
    warnings: list[str] = []
    latent = int(package.generator(chosen).latent)  # type: ignore[arg-type]
    if towards is None:
        noise = draw_noise(count, latent, seed, truncation)
    else:
        check_seed(towards)
        if count < 2 or towards == seed:
            raise InputError("The way between two pictures needs two different seeds and at least 2 pictures.")
        ends = [draw_noise(1, latent, end, truncation)[0] for end in (seed, towards)]
        noise = noise_between(ends[0], ends[1], count)
    pictures, chosen = draw_pictures(package.generator, noise, None, chosen, warnings, part(progress, 0, 0.9), cancel)
    realism = (
        judge(package.discriminator, pictures, None, chosen, warnings, part(progress, 0.9, 0.1), cancel)[:, 0].tolist()
        if package.has_discriminator
        else []
    )
    facts = {**provenance(package, chosen), "seed": str(seed), "count": str(count)}
    facts |= {} if truncation is None else {"truncation": f"{truncation:g}"}
    facts |= {} if towards is None else {"towards": str(towards)}
    tell(progress, 1.0, "Done", count, count)
    return Generated(marked(stacked(pictures, card.picture), facts), pictures, realism, warnings, facts)


def check_many(count: int, allow_many: bool) -> None:
    """Refuse numbers of pictures that make no sense, or that nobody can have meant.

    Raises:
        InputError: Says what to do.
    """
    if count < 1:
        raise InputError(f"{count} pictures are none; ask for at least 1.")
    if count > MOST and not allow_many:
        raise InputError(f"{count:,} pictures are very many; confirm that you want more than {MOST:,} (--yes).")


def check_count(count: int, card: PictureCard, allow_many: bool) -> None:
    """As `check_many`; and refuse what would not fit into memory at once.

    Raises:
        InputError: Says what to do.
    """
    check_many(count, allow_many)
    needed = 8 * count * card.size**2
    if needed > _MOST_BYTES:
        most = _MOST_BYTES // (8 * card.size**2)
        raise InputError(
            f"{count:,} pictures at once take {needed / 2**30:,.0f} GiB of memory; make at most {most:,} with a seed, "
            "and others with further seeds."
        )


def check_seed(seed: int) -> None:
    """Refuse what cannot start the random numbers.

    Raises:
        InputError: Says what to do.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"The seed must be a whole number from 0 to {2**32 - 1}.")
