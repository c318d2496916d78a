"""The parts that configurations are made of."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from MRITranslateLib.card import LicenceCard, ModalityName, Slug

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


def _as_list(value: Any) -> Any:
    """A list as it is, one value as a list, nothing as an empty one."""
    return value if isinstance(value, list | tuple) else [] if value is None else [value]


Paths = Annotated[list[Path], BeforeValidator(_as_list)]
"""Any number of files or folders; a single one may be written without brackets."""


class Part(BaseModel):
    """A section of a configuration: unknown keys and values that are no numbers are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class AboutConfig(Part):
    """What an exported package is called and says of itself."""

    name: Slug = Field(description="name of the model, lower case and underscores")
    title: str = Field(description="name for people")
    version: str = Field("0.1.0", description="version of the model")
    intended_use: str = Field(description="one sentence")
    limits: list[str] = Field([], description="what the model must not be trusted with")
    licence: LicenceCard = Field(description="licences of the weights and of the training data")
    data: str = Field(description="one sentence on the training data, with credit")


class PackageConfig(AboutConfig):
    """The package of a translator."""

    source: ModalityName = Field(description="modality of the input: T1, T2, FLAIR, PD or CT")
    target: ModalityName = Field(description="modality of the output")
    inverse: Slug | None = Field(None, description="name of the package that goes the other way")
    held_out: Paths = Field(
        [],
        description="packages of split runs of this recipe: their scores on unseen subjects are quoted in the card",
    )


class AugmentConfig(Part):
    """Random changes of the training slices: geometry for both images, intensity for the input only."""

    flip: Fraction = Field(0.5, description="probability of a left-right flip")
    rotate_degrees: float = Field(12.0, ge=0, le=180, description="largest rotation")
    scale: Fraction = Field(0.12, description="largest relative change of size")
    elastic_mm: float = Field(3.0, ge=0, le=10, description="largest displacement of the smooth deformation")
    curve: Fraction = Field(0.0, description="spread of the slopes (log) of a random rising contrast curve")
    nulling: float = Field(
        0.0, ge=0, le=0.9, description="brightest signal that may sink to nothing, as fluid does by inversion"
    )
    gamma: Fraction = Field(0.35, description="largest relative change of the contrast curve's exponent")
    brightness: Fraction = Field(0.15, description="largest relative change of the scale of intensities")
    bias_field: Fraction = Field(0.25, description="largest coefficient of the multiplicative bias field")
    noise: Fraction = Field(0.03, description="largest standard deviation of the noise, input range 0..1")
    blur_mm: float = Field(0.8, ge=0, le=5, description="largest standard deviation of the blur")
    ghosting: Fraction = Field(0.2, description="largest modulation of k-space lines by periodic motion")
