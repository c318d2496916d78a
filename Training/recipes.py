"""The recipes, by the name of their command."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .config.attention_unet import AttentionUNetConfig
from .config.classifier import ClassifierConfig
from .config.cyclegan import CycleGANConfig
from .config.dcgan import DCGANConfig
from .config.federated import FederatedConfig
from .config.pix2pix import Pix2PixConfig
from .config.report_gan import ReportGANConfig
from .config.run import RunConfig


@dataclass(frozen=True)
class Recipe:
    """One way to train.

    Attributes:
        config: What it may be told.
        module: The module beside this one with its `setup`, `fit` and `export`; loaded only to train, since it imports
            torch.
        summary: One line for `--help`.
        example: A configuration in `Training/configs`.
        folds: Whether it can be cross-validated: it trains one translator on pairs.
    """

    config: type[RunConfig]
    module: str
    summary: str
    example: str
    folds: bool = False

    @property
    def data(self) -> str:
        """The section of the configuration that says where the data are."""
        return "pictures" if "pictures" in self.config.model_fields else "data"

    def load(self) -> Any:
        """Import the recipe's module."""
        return import_module(f".{self.module}", __package__)


RECIPES: dict[str, Recipe] = {
    "pix2pix": Recipe(
        Pix2PixConfig, "pix2pix", "Paired translation with a conditional PatchGAN", "flair_to_t1.yaml", folds=True
    ),
    "cyclegan": Recipe(
        CycleGANConfig, "cyclegan", "Translation both ways without pairs, two packages", "t1_t2_cyclegan.yaml"
    ),
    "attention-unet": Recipe(
        AttentionUNetConfig,
        "attention_unet",
        "Paired translation by a U-Net with attention gates",
        "t1_to_t2_attention.yaml",
        folds=True,
    ),
    "dcgan": Recipe(DCGANConfig, "dcgan", "Pictures from noise, learnt from a few hundred", "brain_mri_dcgan.yaml"),
    "classifier": Recipe(
        ClassifierConfig, "classifier", "Classes or findings of pictures, by DenseNet or ResNet", "brain_tumour.yaml"
    ),
    "federated": Recipe(FederatedConfig, "federated", "pix2pix over several hospitals", "federated.yaml"),
    "report-gan": Recipe(
        ReportGANConfig, "report_gan", "Chest X-rays of reports, by BERT and a matching-aware GAN", "chest_xray.yaml"
    ),
}
