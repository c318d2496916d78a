"""What the pix2pix recipe may be told."""

from pathlib import Path

from pydantic import Field

from MRITranslateLib.card import NetworkCard

from .parts import Fraction, Part
from .translation import TranslationConfig


class LossConfig(Part):
    """Weights of the generator's losses; see `Training.losses`."""

    l1: float = Field(1.0, ge=0, description="mean absolute error")
    l2: float = Field(0.0, ge=0, description="mean squared error")
    adversarial: float = Field(0.01, ge=0, description="least-squares PatchGAN loss")
    adversarial_from_epoch: int = Field(0, ge=0, description="epochs of pure regression before the discriminator joins")
    feature_matching: float = Field(
        0.0, ge=0, description="mean absolute difference of the discriminator's features of truth and output"
    )
    perceptual: float = Field(0.0, ge=0, description="mean absolute difference of a classifier's features")
    perceptual_package: str | None = Field(
        None, description="classification package that gives the perceptual features: a name or a folder"
    )
    background: Fraction = Field(0.1, description="weight of pixels outside the patient")


class Pix2PixConfig(TranslationConfig):
    """A pix2pix run: paired translation with a conditional PatchGAN (Isola et al., CVPR 2017)."""

    discriminator: NetworkCard = Field(description="PatchGAN: registry name and parameters")
    loss: LossConfig = Field(default_factory=lambda: LossConfig.model_validate({}), description="loss weights")
    output: Path = Field(Path("runs/pix2pix"), description="folder of the run")
