"""From a target to what is explained: the places it means on the model's grid, the logit it means, what it is held
against."""

from difflib import get_close_matches

import numpy as np
import SimpleITK as sitk

from . import intensity
from .card import ClassificationCard, GenerationCard, RadiographCard, TranslationCard
from .domain import check, check_domain, check_intensity, thinned
from .errors import InputError
from .modality import modality
from .package import Package
from .pictures import PictureStack, stacked
from .preparation import Preparation
from .reading import find_text_encoder, read_features
from .sampling import draw_noise, draw_pictures
from .subjects import Judged, Mistaken, Pictures, Subject, Translated
from .targets import ClassScore, Error, Match, Realism, Region, Target, Voxel
from .volume import check_volume, like, same_grid


def subjects(
    image: sitk.Image, package: Package, target: Target, device: str, warnings: list[str]
) -> tuple[Subject, Subject | None]:
    """What a target means for an image and a package, and what is to be judged beside it.

    Args:
        device: On which pictures to be judged beside it are made.
        warnings: Gets sentences for people.

    Raises:
        InputError: The image or the target cannot be used, or the target is none of this kind of package.
        PackageError: The package has no discriminator, or no language model.
    """
    check_volume(image)
    if not isinstance(target, Target):
        raise InputError(
            "Only a Region, Voxel, Error, Realism, ClassScore or Match can be explained; give one of these as target."
        )
    card = package.card
    kinds: tuple[type, ...] = _KINDS[card.task]
    if not isinstance(target, kinds):
        raise InputError(
            f'"{card.name}" is a model for {card.task}; of it {_either([kind.__name__ for kind in kinds])} '
            f"can be explained, not {type(target).__name__}."
        )
    if isinstance(target, Realism | Match):
        package.discriminator(device)  # refused before any work is done
    if isinstance(card, TranslationCard):
        return _translated(image, package, card, target, warnings)
    return _pictures(image, package, card, target, device, warnings)


_KINDS: dict[str, tuple[type, ...]] = {
    "translation": (Region, Voxel, Error, Realism),
    "generation": (Realism,),
    "radiograph": (Realism, Match),
    "classification": (ClassScore,),
}


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


# -- translations


def _translated(
    image: sitk.Image, package: Package, card: TranslationCard, target: Target, warnings: list[str]
) -> tuple[Subject, Subject | None]:
    warnings += check_domain(image, card)
    preparation = Preparation(image, card)
    warnings += check_intensity(thinned(preparation.array), preparation.source, card)
    if isinstance(target, Region):
        return Translated(image, package, preparation, _region(target.mask, preparation, image), "region"), None
    if isinstance(target, Voxel):
        index = (target.i, target.j, target.k)
        if any(not 0 <= n < extent for n, extent in zip(index, image.GetSize(), strict=True)):
            raise InputError(
                f"The voxel {index} lies outside the image of {image.GetSize()} voxels; choose one inside."
            )
        where = np.zeros(preparation.array.shape, dtype=bool)
        where[preparation.grid.index(*index)] = True
        return Translated(image, package, preparation, where, f"voxel {index}"), None
    if isinstance(target, Error):
        truth = _truth(target.reference, preparation, image)
        everywhere = like(np.ones(image.GetSize()[::-1], dtype=np.uint8), image)
        inside = preparation.bring(everywhere, "nearest") > 0.5  # the padding has no truth
        return Mistaken(image, package, preparation, inside, truth), None
    reference = target.reference if isinstance(target, Realism) else None
    beside = None
    if reference is not None:
        beside = Judged(reference, package, preparation, _truth(reference, preparation, image))
    return Judged(image, package, preparation), beside


def _region(mask: sitk.Image, preparation: Preparation, image: sitk.Image) -> np.ndarray:
    if mask.GetNumberOfComponentsPerPixel() != 1 or not same_grid(mask, image):
        raise InputError(
            "The region does not lie on the input's grid; draw it on the input volume or resample it to that."
        )
    inside = sitk.GetArrayFromImage(mask) != 0
    if not inside.any():
        raise InputError("The region is empty; mark at least one voxel.")
    where = preparation.bring(like(inside.astype(np.uint8), image), "nearest") > 0.5
    if not where.any():
        # Thinner than the model's pixels: every voxel counts for the pixel that it lies in.
        for k, j, i in np.argwhere(inside):
            where[preparation.grid.index(int(i), int(j), int(k))] = True
    return where


def _truth(reference: sitk.Image, preparation: Preparation, image: sitk.Image) -> np.ndarray:
    """A real image of the target contrast in network units on the model's grid."""
    card = preparation.card
    check_volume(reference, "The reference")
    if not same_grid(reference, image):
        raise InputError("The reference does not lie on the input's grid; resample it to the input volume first.")
    normaliser = intensity.fit(card.intensity.target, sitk.GetArrayViewFromImage(reference))
    return normaliser.apply(preparation.bring(reference, background=modality(card.target).background))


# -- pictures


def _pictures(
    image: sitk.Image,
    package: Package,
    card: GenerationCard | RadiographCard | ClassificationCard,
    target: Target,
    device: str,
    warnings: list[str],
) -> tuple[Subject, Subject | None]:
    stack = PictureStack(image, card.picture.size)
    if stack.warning is not None:
        warnings.append(stack.warning)
    if isinstance(card, ClassificationCard):
        assert isinstance(target, ClassScore)
        domain = check(image, package)
        if domain.outcome == "refuse":
            raise InputError(domain.reasons[0])
        warnings += domain.reasons
        number = _class(target.name, card)
        return Pictures("classifier", package, stack, image, number, f"class {target.name}", "given picture"), None
    assert isinstance(target, Realism | Match)
    if isinstance(target, Realism) and target.reference is not None:
        raise InputError(
            "The real image of this model is the one that is explained; leave the reference out, pictures that the "
            "model makes are shown beside it."
        )
    condition = None
    if isinstance(card, RadiographCard):
        if target.report is None:
            raise InputError(f'"{card.name}" judges a picture together with its report; give the report.')
        condition = read_features(find_text_encoder(package, target.text_encoder), target.report, warnings)
    elif target.report is not None:
        raise InputError(f'"{card.name}" reads no reports; leave the report out.')
    logit, name = (1, "match with the report") if isinstance(target, Match) else (0, "realism")
    generator = package.generator(device)
    noise = draw_noise(len(stack.chosen), int(generator.latent), target.seed)  # type: ignore[arg-type]
    repeated = None if condition is None else condition.expand(len(noise), -1)
    made, _ = draw_pictures(package.generator, noise, repeated, device, warnings)
    picture = stacked(made, card.picture)
    real, synthetic = (f"{kind} {modality(card.target).title}" for kind in ("real", "synthetic"))
    asked = ("discriminator", package)
    return (
        Pictures(*asked, stack, image, logit, name, real, condition),
        Pictures(*asked, made, picture, logit, name, synthetic, condition),
    )


def _class(name: str, card: ClassificationCard) -> int:
    if name not in card.classes:
        near = get_close_matches(name, card.classes, 3, 0.4) or card.classes[:3]
        raise InputError(f'"{card.name}" knows no class "{name}"; use one such as {", ".join(near)}.')
    return card.classes.index(name)
