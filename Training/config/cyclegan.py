"""What the CycleGAN recipe may be told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from MRITranslateLib.card import NetworkCard, Slug

from .parts import AugmentConfig, Fraction, Part, Paths
from .translation import TranslationConfig


class ReverseConfig(Part):
    """The package of the way back, from the target to the source; the rest it shares with `package`."""

    name: Slug = Field(description="name of the model, lower case and underscores")
    title: str = Field(description="name for people")
    intended_use: str = Field(description="one sentence")
    init: Path | None = Field(None, description="package whose weights the way back starts from (fine-tuning)")
    held_out: Paths = Field([], description="as package.held_out, for the way back")


class CycleLossConfig(Part):
    """Weights of the generators' losses."""

    adversarial: float = Field(1.0, gt=0, description="least-squares PatchGAN loss")
    cycle: float = Field(10.0, ge=0, description="mean absolute error after the way there and back")
    identity: float = Field(
        5.0, ge=0, description="mean absolute change of an image that has the target's contrast already"
    )


class GeometryConfig(AugmentConfig):
    """Random changes of the training slices; of geometry only, since the discriminators would take changed intensities
    for the real ones, and the generators would have to hide them to bring them back."""

    gamma: Fraction = Field(0.0, description="largest relative change of the contrast curve's exponent")
    brightness: Fraction = Field(0.0, description="largest relative change of the scale of intensities")
    bias_field: Fraction = Field(0.0, description="largest coefficient of the multiplicative bias field")
    noise: Fraction = Field(0.0, description="largest standard deviation of the noise, input range 0..1")
    blur_mm: float = Field(0.0, ge=0, le=5, description="largest standard deviation of the blur")
    ghosting: Fraction = Field(0.0, description="largest modulation of k-space lines by periodic motion")


class CycleGANConfig(TranslationConfig):
    """A CycleGAN run: translation both ways without pairs (Zhu et al., ICCV 2017)."""

    reverse: ReverseConfig = Field(description="package of the way back")
    discriminator: NetworkCard = Field(description="PatchGAN of one channel: registry name and parameters")
    loss: CycleLossConfig = Field(
        default_factory=lambda: CycleLossConfig.model_validate({}), description="loss weights"
    )
    pool: int = Field(
        50, ge=0, le=1000, description="generated images that each discriminator is reminded of; 0 is none"
    )
    augment: AugmentConfig = Field(
        default_factory=lambda: GeometryConfig.model_validate({}), description="augmentation"
    )
    paired: bool = Field(
        True,
        description="validation and test subjects with both images show one anatomy on one grid and give scores; say "
        "false where equal names mean nothing",
    )
    learning_rate: float = Field(2e-4, gt=0, description="Adam's peak learning rate")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "linear", description="fall of the learning rate: a cosine to 1 %, linear to 0 over the second half, or none"
    )
    output: Path = Field(Path("runs/cyclegan"), description="folder of the run")
