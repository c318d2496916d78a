"""Reading what the index lists: pairs of images, or one side of them; digital heads are made instead."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import SimpleITK as sitk

from MRITranslateLib.errors import ConstantImage, InputError
from MRITranslateLib.volume import check_volume, read_volume, same_grid

from ..config.data import DataConfig
from .heads import make_head
from .index import Index, Scan, Side, as_index, is_phantom


@dataclass(frozen=True)
class Pair:
    """One examination's two images.

    Attributes:
        subject: Who is seen.
        source, target: Images on one grid.
        name: Of the examination; the subject where there is but one.
    """

    subject: str
    source: sitk.Image
    target: sitk.Image
    name: str = ""


def scans_of(index: Index, subject: str) -> tuple[Scan, ...]:
    """A subject's examinations; a digital head counts as one without files."""
    if is_phantom(subject):
        return (Scan(subject, subject, None, None),)
    if subject not in index.scans:
        raise InputError(f'There are no images of "{subject}"; correct the name.')
    return index.scans[subject]


def load_pairs(data: DataConfig | Index, source: str, target: str, subject: str) -> Iterator[Pair]:
    """Read a subject's examinations one after the other, or make the digital head of that seed.

    Args:
        data: Index of the run, or what describes it.
        source, target: Modalities, for digital heads.
        subject: One of the index's.

    Raises:
        InputError: A file is missing or unusable, or the two lie on different grids; the sentence names the file.
    """
    index = as_index(data)
    scans = scans_of(index, subject)
    for scan in scans:
        try:
            yield read_pair(index, source, target, scan)
        except ConstantImage:  # a black picture is a slice without a patient, unless it is all there is
            if len(scans) == 1:
                raise


def load_pair(data: DataConfig | Index, source: str, target: str, subject: str) -> Pair:
    """The first examination of a subject, for most subjects the only one; see `load_pairs`."""
    return next(load_pairs(data, source, target, subject))


def load_side(data: DataConfig | Index, modality: str, side: Side, subject: str) -> Iterator[sitk.Image]:
    """Read one side of a subject's examinations, those that have it; see `load_pairs`."""
    index = as_index(data, paired=False)
    for scan in scans_of(index, subject):
        if is_phantom(subject) or getattr(scan, side) is not None:
            yield read_side(index, modality, side, scan)


def read_pair(index: Index, source: str, target: str, scan: Scan) -> Pair:
    """One examination of `load_pairs`."""
    if is_phantom(scan.subject):
        with naming(scan.name):
            first, second = make_head(index, scan.subject, (source, target))
        return Pair(scan.subject, first, second, scan.name)
    first, second = (read_side(index, "", side, scan) for side in ("source", "target"))
    if not same_grid(first, second):
        raise InputError(f"{scan.name}: the two images lie on different grids; resample one to the other first.")
    return Pair(scan.subject, first, second, scan.name)


def read_side(index: Index, modality: str, side: Side, scan: Scan) -> sitk.Image:
    """One image of `load_side`."""
    if is_phantom(scan.subject):
        with naming(scan.name):
            return make_head(index, scan.subject, (modality,))[0]
    file = scan.source if side == "source" else scan.target
    if file is None:
        raise InputError(f"{scan.name}: there is no {side} image; add it, or name the subject in data.leave_out.")
    with naming(scan.name):
        image = read_volume(file)
        check_volume(image, f'"{file.name}"')
    return image


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of a scan before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error}") from None
