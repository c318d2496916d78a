"""What the DCGAN recipe may be told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from MRITranslateLib.card import ModalityName, NetworkCard

from .parts import AboutConfig, Fraction, Part, Positive
from .pictures import PictureAugmentConfig, PictureConfig
from .run import RunConfig


class GeneratorPackageConfig(AboutConfig):
    """The package of a generator."""

    target: ModalityName = Field(description="modality of the pictures: T1, T2, FLAIR, PD, CT or CXR")


class RealAugmentConfig(PictureAugmentConfig):
    """Random changes of the real pictures that the generator learns as well, so none but the flip by default."""

    rotate_degrees: float = Field(0.0, ge=0, le=180, description="largest rotation")
    scale: Fraction = Field(0.0, description="largest relative change of size")
    shift: Fraction = Field(0.0, description="largest shift, share of the picture")
    gamma: Fraction = Field(0.0, description="largest relative change of the contrast curve's exponent")
    brightness: Fraction = Field(0.0, description="largest relative change of the scale of intensities")
    noise: Fraction = Field(0.0, description="largest standard deviation of the noise, range 0..1")


class DiffAugmentConfig(Part):
    """Random changes that the discriminator sees real and generated pictures through; 0 leaves one out."""

    brightness: Fraction = Field(0.5, description="largest change of all values, range -1..1")
    contrast: Fraction = Field(0.5, description="largest relative change of the deviation from the mean")
    translation: Fraction = Field(0.125, description="largest shift, share of the picture")
    cutout: Fraction = Field(0.5, description="side of the blanked square, share of the picture")


class DCGANLossConfig(Part):
    """The adversarial loss: binary cross-entropy on logits, the generator's in its non-saturating form."""

    real_label: Fraction = Field(1.0, description="what a real picture counts as; 0.9 is one-sided label smoothing")
    r1: float = Field(
        0.0, ge=0, description="half the weight of the squared gradient at real pictures (Mescheder et al., ICML 2018)"
    )
    r1_every: Positive = Field(
        1, description="steps between two such penalties, each as many times heavier (lazy, Karras et al., CVPR 2020)"
    )


class QualityConfig(Part):
    """How generated pictures are compared with real ones."""

    feature_package: str | None = Field(
        None, description="classification package that gives the features; none takes a network of random weights"
    )
    count: int = Field(200, ge=8, le=50_000, description="pictures generated to be measured")
    choose_by: Literal["kid", "fid", "last"] = Field(
        "kid",
        description="the figure whose lowest value chooses the weights; last takes the last ones, for where so few "
        "pictures are held back that a figure would choose by chance",
    )

    def better(self, scores: Mapping[str, float]) -> float:
        """By what a validation with these figures surpasses others; infinite where the last one counts."""
        return -scores[self.choose_by] if self.choose_by in scores else float("inf")


class DCGANConfig(RunConfig):
    """A DCGAN run: pictures from noise (Radford et al., ICLR 2016), with what makes it work on few pictures."""

    package: GeneratorPackageConfig = Field(description="what is exported")
    pictures: PictureConfig = Field(
        default_factory=lambda: PictureConfig.model_validate({}), description="what is trained on; labels are not used"
    )
    augment: RealAugmentConfig = Field(
        default_factory=lambda: RealAugmentConfig.model_validate({}), description="changes that the generator learns"
    )
    diffaugment: DiffAugmentConfig = Field(
        default_factory=lambda: DiffAugmentConfig.model_validate({}), description="changes that it does not learn"
    )
    network: NetworkCard = Field(
        NetworkCard(name="dcgan_generator"), description="generator; its size is that of the pictures"
    )
    discriminator: NetworkCard = Field(
        NetworkCard(name="dcgan_discriminator", parameters={"norm": "none", "spectral": True}),
        description="discriminator; its size is that of the pictures",
    )
    discriminator_rate: float = Field(
        1.0, gt=0, description="learning rate of the discriminator relative to the generator's"
    )
    loss: DCGANLossConfig = Field(default_factory=lambda: DCGANLossConfig.model_validate({}), description="loss")
    quality: QualityConfig = Field(default_factory=lambda: QualityConfig.model_validate({}), description="validation")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's peak learning rate")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "linear", description="fall of the learning rate: a cosine to 1 %, linear to 0 over the second half, or none"
    )
    batch_size: Positive = Field(32, description="pictures per step, over all processes together")
    gradient_clip: float = Field(100.0, gt=0, description="largest gradient norm; here only against explosions")
    ema: Fraction = Field(0.999, description="decay of the averaged weights that are validated and exported")
    output: Path = Field(Path("runs/dcgan"), description="folder of the run")
