"""The model card: everything `model.json` may say, as typed, validated, immutable data.

Lengths are millimetres, axes are those of the LPS patient coordinate system.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import PackageError

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=4000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Parameter = bool | int | float | str | list[int] | None
Range = tuple[float, float]
ModalityName = Literal["T1", "T2", "FLAIR", "PD", "CT", "CXR"]
PLANE_AXES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""For each plane the LPS axis (x, y, z = 0, 1, 2) along which slices are stacked."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkCard(_Part):
    """A network of the registry and its parameters."""

    name: Slug
    parameters: dict[str, Parameter] = {}


class GridCard(_Part):
    """The grid a network sees: slices of `plane`, resampled in plane only, stacked as the scanner stacked them.

    Attributes:
        spacing_mm: In-plane pixel spacing (row direction, column direction).
        context: Odd number of neighbouring slices given as channels; 1 is plain 2-D.
        size_multiple: Rows and columns are padded to a multiple of this.
    """

    dimensions: Literal[2] = 2
    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    spacing_mm: tuple[Annotated[float, Field(ge=0.05, le=20)], Annotated[float, Field(ge=0.05, le=20)]] = (1.0, 1.0)
    context: Annotated[int, Field(ge=1, le=15)] = 1
    size_multiple: Annotated[int, Field(ge=1, le=256)] = 32

    @model_validator(mode="after")
    def _odd(self) -> "GridCard":
        if self.context % 2 == 0:
            raise ValueError("context must be odd")
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
    """Measured scores on one family of images, with the subjects and the protocol they were measured by."""

    family: str
    subjects: list[str]
    protocol: Sentence
    metrics: dict[str, float]


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


class Card(_Part):
    """`model.json`: data, never code."""

    schema_version: Literal[1] = 1
    name: Slug
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    title: Annotated[str, Field(min_length=1, max_length=120)]
    task: Literal["translation"] = "translation"
    source: ModalityName
    target: ModalityName
    network: NetworkCard
    discriminator: NetworkCard | None = None
    grid: GridCard
    intensity: IntensityCard
    files: dict[str, FileCard] = {}
    licence: LicenceCard
    training: TrainingCard
    scores: list[ScoreCard] = []
    domain: DomainCard
    intended_use: Sentence
    limits: list[Sentence] = []


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} appears twice")
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def parse_card(text: str, where: str) -> Card:
    """Validate the text of a `model.json`.

    Args:
        text: JSON.
        where: Name of the package for error messages.

    Raises:
        PackageError: Names the first field that is wrong and says what is wrong with it.
    """
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise PackageError(f'model.json of "{where}" is not valid JSON ({error}); get the package again.') from None
    try:
        return Card.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PackageError(
            f'model.json of "{where}" is wrong at {field}: {first["msg"]}; get the package again.'
        ) from None
