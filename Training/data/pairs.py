"""Paired and unpaired volumes, prepared exactly as the engine prepares an input: each file is read once, checked and
prepared, and from then on comes from the cache if there is one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MRITranslateLib import __version__, intensity
from MRITranslateLib.card import TranslationCard
from MRITranslateLib.errors import ConstantImage, InputError
from MRITranslateLib.geometry import patient_extent
from MRITranslateLib.preparation import Preparation

from ..config.data import DataConfig
from .alignment import draw_alignment, is_misaligned, measure_alignment, misalignment
from .cache import Cache, fingerprint, safe_name
from .heads import head_key
from .index import Index, Scan, Side, as_index, is_phantom
from .scans import Pair, naming, read_pair, read_side, scans_of

_TISSUE = -0.9
"""Network units above this are patient; air is at -1."""
_MOST_FIGURES = 100
"""Subjects whose alignment is drawn; beyond, only that of refused ones."""


@dataclass(frozen=True)
class PreparedPair:
    """One examination (or one picture) on the model's grid, float16 to keep many in memory.

    Attributes:
        subject: Who is seen; several pairs may be of one subject.
        source, target: (slices, rows, columns) in network units; mapped from disk where there is a cache.
        slices: Indices of the slices that hold enough of the patient to learn from.
        extent_mm, spacing_mm: Of the source image along the patient's x, y, z axes.
        name: Of the examination; the subject where there is but one.
        voxel_mm: Spacing of slices, rows and columns on the model's grid.
    """

    subject: str
    source: np.ndarray
    target: np.ndarray
    slices: np.ndarray
    extent_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    name: str = ""
    voxel_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class PreparedVolume:
    """One side of one examination on the model's grid, for unpaired training; float16 to keep many in memory.

    Attributes:
        subject: Who is seen; several volumes may be of one subject.
        array: (slices, rows, columns) in network units; mapped from disk where there is a cache.
        slices, extent_mm, spacing_mm, name, voxel_mm: As in `PreparedPair`.
    """

    subject: str
    array: np.ndarray
    slices: np.ndarray
    extent_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    name: str = ""
    voxel_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)


def prepare_pair(pair: Pair, card: TranslationCard, least_tissue: float = 0.02) -> PreparedPair:
    """Bring both images to the model's grid and to network units, the source exactly as `translate` will."""
    preparation = Preparation(pair.source, card)
    truth = sitk.GetArrayViewFromImage(pair.target)
    normaliser = intensity.fit(card.intensity.target, truth)
    background = float(normaliser.invert(np.array([-1.0], np.float32))[0])
    target = normaliser.apply(preparation.grid.forward(pair.target, background=background))
    return PreparedPair(
        pair.subject,
        preparation.array.astype(np.float16),
        target.astype(np.float16),
        _slices_with_tissue(target, least_tissue),
        *patient_extent(pair.source),
        pair.name or pair.subject,
        _voxel_mm(preparation),
    )


def prepare_volume(
    subject: str, image: sitk.Image, card: TranslationCard, side: Side, least_tissue: float = 0.02, name: str = ""
) -> PreparedVolume:
    """Bring one image to the model's grid and to network units, as a model with this side as its input does."""
    if side == "target":
        swapped = card.intensity.model_copy(update={"source": card.intensity.target})
        card = card.model_copy(update={"source": card.target, "intensity": swapped})
    preparation = Preparation(image, card)
    return PreparedVolume(
        subject,
        preparation.array.astype(np.float16),
        _slices_with_tissue(preparation.array, least_tissue),
        *patient_extent(image),
        name or subject,
        _voxel_mm(preparation),
    )


def prepare_all(
    data: DataConfig | Index,
    card: TranslationCard,
    subjects: Sequence[str],
    done: Callable[[str], None] = lambda subject: None,
    figures: Path | None = None,
) -> list[PreparedPair]:
    """Check and prepare many subjects in one pass, from the cache where the same preparation was made before.

    Args:
        data: Index of the run, or the configuration that describes it: what is checked and where the cache is.
        card: Grid and intensities.
        subjects: Real ones and digital heads.
        done: Called with each subject.
        figures: Folder for a picture of every subject's alignment.

    Returns:
        One prepared pair per examination or picture; pictures that show too little of the patient are left out.

    Raises:
        InputError: A file is missing, damaged or shows one value, a pair is out of register, or no slice shows enough
            of the patient. All subjects are looked at first, and the sentence says how many are concerned.
    """
    index = as_index(data)
    cache, prepared, refusals = Cache(index.data.cache), [], _Refusals()

    def make(scan: Scan) -> tuple[np.ndarray, dict[str, Any]]:
        pair = read_pair(index, card.source, card.target, scan)
        with naming(scan.name):
            ready = prepare_pair(pair, card, index.data.least_tissue)
        register = None if is_phantom(scan.subject) else measure_alignment(pair)
        return np.stack([ready.source, ready.target]), _facts(ready) | {"register": register}

    for number, subject in enumerate(subjects):
        with refusals.of(subject):
            found = []
            for scan, array, facts in _scans(index, card, subject, ("source", "target"), cache, make):
                register = facts.pop("register")
                found.append(
                    (PreparedPair(scan.subject, array[0], array[1], **_typed(facts), name=scan.name), register)
                )
            pairs = _with_tissue([pair for pair, _ in found], subject)
            if not is_phantom(subject):
                _look_at_register(index, found, figures, always=number < _MOST_FIGURES)
            prepared += pairs
        done(subject)
    refusals.tell()
    return prepared


def prepare_side(
    data: DataConfig | Index,
    card: TranslationCard,
    side: Side,
    subjects: Sequence[str],
    done: Callable[[str], None] = lambda subject: None,
) -> list[PreparedVolume]:
    """Prepare one side of many subjects, each image on a grid of its own: the engine's preparation of a model that
    takes this side as its input. Subjects without that side are passed over.

    Raises:
        InputError: As `prepare_all`, but for the pairs.
    """
    index = as_index(data, paired=False)
    cache, prepared, refusals = Cache(index.data.cache), [], _Refusals()
    modality = card.source if side == "source" else card.target

    def make(scan: Scan) -> tuple[np.ndarray, dict[str, Any]]:
        image = read_side(index, modality, side, scan)
        with naming(scan.name):
            ready = prepare_volume(scan.subject, image, card, side, index.data.least_tissue)
        return ready.array, _facts(ready)

    for subject in index.having(side, subjects):
        with refusals.of(subject):
            scans = _scans(index, card, subject, (side,), cache, make)
            found = [
                PreparedVolume(scan.subject, array, **_typed(facts), name=scan.name) for scan, array, facts in scans
            ]
            prepared += _with_tissue(found, subject)
        done(subject)
    refusals.tell()
    return prepared


def _scans(
    index: Index,
    card: TranslationCard,
    subject: str,
    sides: tuple[Side, ...],
    cache: Cache,
    make: Callable[[Scan], tuple[np.ndarray, dict[str, Any]]],
) -> Iterator[tuple[Scan, np.ndarray, dict[str, Any]]]:
    """Array and facts of each of a subject's scans, from the cache or made now."""
    scans = [scan for scan in scans_of(index, subject) if is_phantom(subject) or all(getattr(scan, s) for s in sides)]
    for scan in scans:
        key = [
            __version__,
            sides,
            (card.source, card.target),
            card.grid.model_dump(),
            card.intensity.model_dump(),
            index.data.least_tissue,
            head_key(index, subject) if is_phantom(subject) else [fingerprint(getattr(scan, side)) for side in sides],
            scan.name,
        ]
        try:
            entry = cache.read(scan.name, key)
            if entry is None:
                array, facts = make(scan)
                entry = cache.write(scan.name, key, array, facts), facts
        except ConstantImage:  # a black picture is a slice without a patient, unless it is all there is
            if len(scans) == 1:
                raise
            continue
        yield scan, *entry


def _look_at_register(
    index: Index, found: Sequence[tuple[PreparedPair, dict[str, Any]]], folder: Path | None, always: bool
) -> None:
    """Draw the worst of a subject's pairs, and refuse the subject if its pairs fit better when shifted."""
    measured = [register for _, register in found]
    refused = index.data.check_alignment and is_misaligned(measured)
    worst = max(found, key=lambda entry: misalignment([entry[1]]))[0]
    file = None if folder is None else folder / f"{safe_name(worst.subject)}.png"
    if file is not None and (refused or (always and not file.exists())):
        draw_alignment(worst, file)
    if refused:
        look = f" (see {file})" if file is not None else ""
        raise InputError(
            f"{worst.subject}: the two images fit better when shifted{look}; register them first, "
            "or say --data.check_alignment false."
        )


def _with_tissue(found: list[Any], subject: str) -> list[Any]:
    """Those that show the patient."""
    kept = [prepared for prepared in found if prepared.slices.size]
    if not kept:
        raise InputError(
            f"{subject}: no slice shows enough of the patient (data.least_tissue); put the subject into data.leave_out."
        )
    return kept


def _slices_with_tissue(array: np.ndarray, least: float) -> np.ndarray:
    return np.flatnonzero((array > _TISSUE).mean(axis=(1, 2)) > least)


def _voxel_mm(preparation: Preparation) -> tuple[float, float, float]:
    slices, rows, columns = (float(value) for value in preparation.grid.spacing_mm)
    return slices, rows, columns


def _facts(ready: PreparedPair | PreparedVolume) -> dict[str, Any]:
    """What the cache keeps beside the arrays, as JSON has it."""
    lengths = {key: list(getattr(ready, key)) for key in ("extent_mm", "spacing_mm", "voxel_mm")}
    return {"slices": ready.slices.tolist()} | lengths


def _typed(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: np.asarray(value, np.int64) if key == "slices" else tuple(value) for key, value in facts.items()}


class _Refusals:
    """What is wrong with which subjects: told once all have been looked at, so that they can be mended together."""

    def __init__(self) -> None:
        self._found: list[tuple[str, InputError]] = []

    @contextmanager
    def of(self, subject: str) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self._found.append((subject, error))

    def tell(self) -> None:
        if not self._found:
            return
        names = [subject for subject, _ in self._found[1:]]
        more = f"; neither can {len(names)} more be used: {', '.join(names[:5])}{', ...' if names[5:] else ''}."
        raise InputError(str(self._found[0][1]).removesuffix(".") + (more if names else "."))
