"""The model card: everything `model.json` may say, as typed, validated, immutable data.

Lengths are millimetres, axes are those of the LPS patient coordinate system.
"""

import json
from collections import Counter
from math import prod
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import PackageError, printable

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=4000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Parameter = bool | int | float | str | list[int] | None
Range = tuple[float, float]
Spacing = Annotated[float, Field(ge=0.05, le=20)]
WindowSize = Annotated[int, Field(ge=1, le=1024)]
ModalityName = Literal["T1", "T2", "FLAIR", "PD", "CT", "CXR"]
PLANE_AXES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""For each plane the LPS axis (x, y, z = 0, 1, 2) along which slices are stacked."""

_MOST_VOXELS = 2**24


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkCard(_Part):
    """A network of the registry and its parameters."""

    name: Slug
    parameters: dict[str, Parameter] = {}


class GridCard(_Part):
    """The grid a network sees: slices of `plane`, resampled in plane only and stacked as the scanner stacked them, or
    volumes of such slices, resampled along the slice axis too.

    Attributes:
        dimensions: 2 for a network of slices, 3 for one of volumes.
        spacing_mm: In-plane pixel spacing (row direction, column direction).
        slice_spacing_mm: 3-D only: distance of the slices.
        context: Odd number of neighbouring slices given as channels; 1 is plain 2-D. Always 1 in 3-D.
        size_multiple: Rows and columns, in 3-D slices too, are padded to a multiple of this.
        patch: 3-D only: slices, rows and columns of a training window, which is also the window of inference.
    """

    dimensions: Literal[2, 3] = 2
    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    spacing_mm: tuple[Spacing, Spacing] = (1.0, 1.0)
    slice_spacing_mm: Spacing | None = None
    context: Annotated[int, Field(ge=1, le=15)] = 1
    size_multiple: Annotated[int, Field(ge=1, le=256)] = 32
    patch: tuple[WindowSize, WindowSize, WindowSize] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "GridCard":
        if self.context % 2 == 0:
            raise ValueError("context must be odd")
        if self.dimensions == 2:
            if self.slice_spacing_mm is not None or self.patch is not None:
                raise ValueError("slice_spacing_mm and patch are for volumes; leave them out or set dimensions to 3")
            return self
        if self.slice_spacing_mm is None or self.patch is None:
            raise ValueError("with dimensions 3 give slice_spacing_mm and patch (slices, rows, columns)")
        if self.context != 1:
            raise ValueError("context must be 1 with dimensions 3; the network sees neighbouring slices anyway")
        if any(extent % self.size_multiple for extent in self.patch):
            raise ValueError(f"patch must be multiples of size_multiple, {self.size_multiple}")
        if prod(self.patch) > _MOST_VOXELS:
            raise ValueError(f"patch must hold at most {_MOST_VOXELS:,} voxels")
        return self


class NormaliserCard(_Part):
    """How intensities become network values and back; see `MRITranslateLib.intensity`."""

    name: Literal["foreground_percentile", "foreground_median", "window"]
    parameters: dict[str, float] = {}


class IntensityCard(_Part):
    """Normalisation of the network's input and of its output."""

    source: NormaliserCard
    target: NormaliserCard


class FileCard(_Part):
    """Size and hash of one file of the package."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]


class LicenceCard(_Part):
    """Licences of the weights and of the data they were trained on."""

    weights: Sentence
    data: Sentence


class TrainingCard(_Part):
    """What the weights were trained on and how."""

    data: Sentence
    subjects: list[str]
    validation_subjects: list[str] = []
    epochs: Annotated[int, Field(ge=0)]
    steps: Annotated[int, Field(ge=0)]
    loss: Sentence
    software: dict[str, str] = {}
    date: str


class ScoreCard(_Part):
    """Measured scores on one family of images.

    Attributes:
        family: What kind of images.
        subjects: Whom they show.
        protocol: How it was measured, in words.
        metrics: Figures by name, means over the subjects.
        weights: Name of the package whose weights were measured, where they are not the package's own: those of the
            same training without these subjects.
    """

    family: str
    subjects: list[str]
    protocol: Sentence
    metrics: dict[str, float]
    weights: Slug | Literal[""] = ""


class CalibrationCard(_Part):
    """How a map of doubt agreed with the true error where that was known.

    Attributes:
        method: Which map: the spread by "augmentation" or "dropout", or the difference after the "cycle" there and
            back.
        data: What the subjects were, and whether the weights had seen them.
        subjects: Their names.
        correlation: Spearman's, of map and absolute error in the foreground, mean over subjects.
        scale: Factor on the standard deviation; None for the cycle, which is none.
        coverage_95: Share of foreground voxels of other subjects than the scale was found on whose error is within
            1.96 standard deviations times the scale; None where there was but one subject.
        usual: 99.9th percentile in the foreground of the map as `MRITranslateLib.unusual` looks at it: in mm by which
            edges would have to move.
        usual_ml: Volume of the largest connected region above `usual` in any subject's map.
        weights: Name of the package whose weights were measured, where they are not the package's own; see `ScoreCard`.
    """

    method: Literal["augmentation", "dropout", "cycle"]
    data: Sentence
    subjects: Annotated[list[str], Field(min_length=1)]
    correlation: Annotated[float, Field(ge=-1, le=1)]
    scale: Annotated[float, Field(gt=0)] | None = None
    coverage_95: Annotated[float, Field(ge=0, le=1)] | None = None
    usual: Annotated[float, Field(ge=0)]
    usual_ml: Annotated[float, Field(ge=0)]
    weights: Slug | Literal[""] = ""


class DomainCard(_Part):
    """The range of the training inputs, per LPS axis (x, y, z), for the check of new inputs.

    Attributes:
        field_of_view_mm: Smallest and largest extent seen.
        spacing_mm: Smallest and largest voxel spacing seen.
        quantiles: Range over the training volumes of quantiles of the normalised foreground, keys such as "p50".
    """

    field_of_view_mm: tuple[Range, Range, Range]
    spacing_mm: tuple[Range, Range, Range]
    quantiles: dict[str, Range] = {}


class PictureCard(_Part):
    """The square grey pictures a network makes or sees: values in [-1, 1] by the rule of `MRITranslateLib.picture`.

    Attributes:
        size: Rows and columns.
        spacing_mm: Side of a pixel where the training pictures had one in common.
    """

    size: Annotated[int, Field(ge=16, le=1024)]
    spacing_mm: Annotated[float, Field(ge=0.01, le=20)] | None = None


class TextCard(_Part):
    """How a report becomes the numbers that a network is conditioned on.

    Attributes:
        encoder: "package": the language model lies in the package's folder `text`. "external": it could not be passed
            on, the user's own copy is asked for.
        source: Which language model it is and where it comes from.
        sha256: Of the `model.safetensors` of an external one, where only that very file will do.
        max_tokens: A longer report is cut there.
        features: Length of the vector that stands for a report.
    """

    encoder: Literal["package", "external"] = "package"
    source: Sentence
    sha256: Sha256 | None = None
    max_tokens: Annotated[int, Field(ge=8, le=512)] = 256
    features: Annotated[int, Field(ge=1, le=4096)]


class Card(_Part):
    """`model.json`: data, never code. What the cards of every task say; `parse_card` gives the task's own kind."""

    schema_version: Literal[1] = 1
    name: Slug
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    title: Annotated[str, Field(min_length=1, max_length=120)]
    task: Literal["translation", "generation", "radiograph", "classification"]
    network: NetworkCard
    discriminator: NetworkCard | None = None
    files: dict[str, FileCard] = {}
    licence: LicenceCard
    training: TrainingCard
    scores: list[ScoreCard] = []
    intended_use: Sentence
    limits: list[Sentence] = []


class TranslationCard(Card):
    """A network that turns the slices of one contrast into those of another.

    Attributes:
        inverse: Name of the package that goes the other way, if there is one.
        calibration: What each map of doubt is worth, at most one entry a method.
    """

    task: Literal["translation"] = "translation"
    source: ModalityName
    target: ModalityName
    inverse: Slug | None = None
    grid: GridCard
    intensity: IntensityCard
    domain: DomainCard
    calibration: list[CalibrationCard] = []

    @model_validator(mode="after")
    def _calibrated_once(self) -> "TranslationCard":
        methods = [entry.method for entry in self.calibration]
        if len(set(methods)) != len(methods):
            raise ValueError("calibration must name each method once")
        return self

    def calibrated(self, method: str) -> CalibrationCard | None:
        """What is known of one kind of map."""
        return next((entry for entry in self.calibration if entry.method == method), None)

    @property
    def judged_channels(self) -> int:
        """Channels that the discriminator takes: those of input and output, or, unconditional, the output's alone."""
        alone = self.discriminator is not None and self.discriminator.parameters.get("in_channels") == 1
        return 1 if alone else self.grid.context + 1


class GenerationCard(Card):
    """A network that makes pictures of one contrast from random numbers, (n, latent) to (n, 1, size, size)."""

    task: Literal["generation"] = "generation"
    target: ModalityName
    picture: PictureCard


class RadiographCard(Card):
    """A network that makes chest X-rays from random numbers (n, latent) and a report's features (n, features)."""

    task: Literal["radiograph"] = "radiograph"
    target: Literal["CXR"] = "CXR"
    picture: PictureCard
    text: TextCard


class ClassificationCard(Card):
    """A network that tells what a picture shows, (n, 1, size, size) to one logit per class.

    Attributes:
        classes: Names of the classes in the order of the logits.
        multi_label: Whether a picture may show several (sigmoid) or exactly one (softmax).
    """

    task: Literal["classification"] = "classification"
    discriminator: None = None
    source: ModalityName
    picture: PictureCard
    classes: Annotated[list[Annotated[str, Field(min_length=1, max_length=80)]], Field(min_length=1, max_length=1000)]
    multi_label: bool = False

    @model_validator(mode="after")
    def _different(self) -> "ClassificationCard":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must differ from each other")
        if len(self.classes) == 1 and not self.multi_label:
            raise ValueError("a single class says nothing unless multi_label is true")
        return self


AnyCard = TranslationCard | GenerationCard | RadiographCard | ClassificationCard
_KINDS: dict[str, type[AnyCard]] = {
    "translation": TranslationCard,
    "generation": GenerationCard,
    "radiograph": RadiographCard,
    "classification": ClassificationCard,
}


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {next(key for key, count in counts.items() if count > 1)!r} appears twice")
    return unique


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def parse_card(text: str, where: str) -> AnyCard:
    """Validate the text of a `model.json`; a card that names no task is a translation's.

    Args:
        text: JSON.
        where: Name of the package for error messages.

    Raises:
        PackageError: Names the first field that is wrong and says what is wrong with it, in one printable line.
    """
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _refused(where, f"not valid JSON ({_short(error)}); get the package again") from None
    task = data.get("task", "translation") if isinstance(data, dict) else "translation"
    if not isinstance(task, str) or task not in _KINDS:
        known = ", ".join(_KINDS)
        raise _refused(where, f"wrong at task: it is none of {known}; get the package again, or a newer MRITranslate")
    try:
        return _KINDS[task].model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _refused(where, f"wrong at {_short(field)}: {_short(first['msg'])}; get the package again") from None


def _short(text: object) -> str:
    """What the file holds may be quoted there."""
    return printable(text, 200)


def _refused(where: str, why: str) -> PackageError:
    return PackageError(f'model.json of "{_short(where)}" is {why}.')
