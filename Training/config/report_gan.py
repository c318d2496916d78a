"""What the report-gan recipe may be told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from MRITranslateLib.card import NetworkCard

from .dcgan import DiffAugmentConfig, QualityConfig
from .parts import AboutConfig, Fraction, Part, Positive
from .pictures import PictureAugmentConfig
from .reports import ReportDataConfig
from .run import RunConfig

_NO_FLIP = {"flip": 0, "rotate_degrees": 4, "scale": 0.05, "shift": 0.03, "gamma": 0.1, "brightness": 0.05, "noise": 0}
"""The heart is on the left, and reports say which side."""


class LanguageConfig(Part):
    """The small BERT that is pre-trained on the training reports where no text encoder is named."""

    vocabulary: int = Field(3000, ge=100, le=30_000, description="word pieces at most")
    width: int = Field(192, ge=8, le=512, description="length of a token's vector, and of a report's")
    layers: int = Field(4, ge=1, le=12, description="transformer layers")
    heads: int = Field(4, ge=1, le=16, description="attention heads; must divide the width")
    steps: Positive = Field(1000, description="steps of masked-language modelling")
    batch_size: Positive = Field(16, description="reports per step")
    tokens: int = Field(128, ge=8, le=512, description="tokens of a training sample; longer reports are cut at random")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's peak learning rate")
    masked: float = Field(0.15, gt=0, lt=1, description="share of the tokens that are to be guessed")


class TextConfig(Part):
    """How a report becomes a vector."""

    encoder: str | None = Field(
        None,
        description="folder of a BERT checkpoint, or its name in the cache of Hugging Face (such as "
        "emilyalsentzer/Bio_ClinicalBERT); none pre-trains a small one on the training reports",
    )
    language: LanguageConfig = Field(
        default_factory=lambda: LanguageConfig.model_validate({}), description="the small BERT"
    )


class ReportLossConfig(Part):
    """Weights of the generator's losses."""

    adversarial: float = Field(1.0, ge=0, description="the picture looks real")
    match: float = Field(1.0, ge=0, description="the picture shows what the report says; the discriminator's too")
    l1: float = Field(1.0, ge=0, description="mean absolute difference to the report's picture")
    perceptual: float = Field(0.0, ge=0, description="difference to the report's picture in a classifier's features")
    perceptual_package: str | None = Field(
        None, description="classification package that gives the perceptual features: a name or a folder"
    )
    r1: float = Field(0.0, ge=0, description="squared gradient of the realism at real pictures (Mescheder et al. 2018)")
    r1_every: Positive = Field(
        1, description="steps between two such penalties, each as many times heavier (lazy, Karras et al., CVPR 2020)"
    )


class ConsistencyConfig(Part):
    """Whether generated pictures show what held-back reports ask for, by a classifier of findings."""

    package: str = Field(description="classification package of chest X-rays that looks for them: a name or a folder")
    labels: list[str] = Field(
        ["finding"], min_length=1, description="columns of the table of reports that name what their pictures show"
    )
    separator: str | None = Field(
        ",", min_length=1, description="what separates several names in a cell; none takes columns with 1, 0 or nothing"
    )
    normal: str = Field("No Finding", description="name that stands for none of the others")
    pictures: Positive = Field(8, description="pictures generated of each report")


class ReportGANConfig(RunConfig):
    """A run that makes chest X-rays of reports: BERT, residual generator, matching-aware discriminator."""

    package: AboutConfig = Field(description="what is exported")
    data: ReportDataConfig = Field(
        default_factory=lambda: ReportDataConfig.model_validate({}), description="what is trained on"
    )
    size: int = Field(256, ge=16, le=512, description="rows and columns of a picture: a power of 2, such as 128 or 256")
    text: TextConfig = Field(default_factory=lambda: TextConfig.model_validate({}), description="the text encoder")
    augment: PictureAugmentConfig = Field(
        default_factory=lambda: PictureAugmentConfig.model_validate(_NO_FLIP),
        description="changes of the real pictures, which the generator learns as well",
    )
    diffaugment: DiffAugmentConfig = Field(
        default_factory=lambda: DiffAugmentConfig.model_validate({}), description="changes that it does not learn"
    )
    network: NetworkCard = Field(
        NetworkCard(name="report_generator"), description="generator; size and features are filled in"
    )
    discriminator: NetworkCard = Field(
        NetworkCard(name="report_discriminator"), description="discriminator; size and features are filled in"
    )
    discriminator_rate: float = Field(
        1.0, gt=0, description="learning rate of the discriminator relative to the generator's"
    )
    loss: ReportLossConfig = Field(
        default_factory=lambda: ReportLossConfig.model_validate({}), description="loss weights"
    )
    quality: QualityConfig = Field(default_factory=lambda: QualityConfig.model_validate({}), description="validation")
    consistency: ConsistencyConfig | None = Field(
        None, description="finding asked for against finding seen, measured of the exported package"
    )
    learning_rate: float = Field(2e-4, gt=0, description="Adam's peak learning rate")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "linear", description="fall of the learning rate: a cosine to 1 %, linear to 0 over the second half, or none"
    )
    batch_size: Positive = Field(16, description="pictures per step, over all processes together")
    gradient_clip: float = Field(100.0, gt=0, description="largest gradient norm; here only against explosions")
    ema: Fraction = Field(0.998, description="decay of the averaged weights that are validated and exported")
    output: Path = Field(Path("runs/report_gan"), description="folder of the run")
