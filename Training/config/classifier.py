"""What the classifier recipe may be told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from MRITranslateLib.card import ModalityName, NetworkCard

from .parts import AboutConfig, Fraction, Part, Positive
from .pictures import PictureAugmentConfig, PictureConfig
from .run import RunConfig


class ClassifierPackageConfig(AboutConfig):
    """The package of a classifier."""

    source: ModalityName = Field(description="modality of the pictures: T1, T2, FLAIR, PD, CT or CXR")


class ClassificationLossConfig(Part):
    """Cross-entropy: of a softmax where classes exclude each other, else of a sigmoid for each, over known labels."""

    balance: Literal["sampling", "weights", "none"] = Field(
        "sampling", description="against rare classes being ignored: draw them more often, weigh them more, or nothing"
    )
    label_smoothing: Fraction = Field(0.05, description="share of the truth given to all classes alike")


class ClassifierConfig(RunConfig):
    """A classifier of pictures; what Grad-CAM explains and what perceptual losses and FID take their features from."""

    package: ClassifierPackageConfig = Field(description="what is exported")
    pictures: PictureConfig = Field(description="what is trained on")
    augment: PictureAugmentConfig = Field(
        default_factory=lambda: PictureAugmentConfig.model_validate({}), description="changes of the training pictures"
    )
    network: NetworkCard = Field(
        NetworkCard(name="densenet121"),
        description="densenet121 or resnet_classifier; its classes are those of the data",
    )
    loss: ClassificationLossConfig = Field(
        default_factory=lambda: ClassificationLossConfig.model_validate({}), description="loss"
    )
    bootstrap: Positive = Field(1000, description="resamples of the patients for the confidence intervals of the card")
    batch_size: Positive = Field(16, description="pictures per step, over all processes together")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's peak learning rate")
    gradient_clip: float = Field(5.0, gt=0, description="largest gradient norm")
    ema: Fraction = Field(0.99, description="decay of the averaged weights that are validated and exported")
    output: Path = Field(Path("runs/classifier"), description="folder of the run")
