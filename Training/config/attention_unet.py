"""What the attention U-Net recipe may be told."""

from pathlib import Path

from pydantic import Field

from .parts import Fraction, Part
from .translation import TranslationConfig


class RegressionLossConfig(Part):
    """Weights of a regressor's losses; see `Training.losses`."""

    l1: float = Field(1.0, ge=0, description="mean absolute error")
    l2: float = Field(0.0, ge=0, description="mean squared error")
    background: Fraction = Field(0.1, description="weight of pixels outside the patient")
    coarse: float = Field(0.5, ge=0, description="weight of each coarser output relative to the next finer one")


class AttentionUNetConfig(TranslationConfig):
    """Supervised regression with attention gates; with `network.parameters.scales` above 1 at coarser outputs too."""

    loss: RegressionLossConfig = Field(
        default_factory=lambda: RegressionLossConfig.model_validate({}), description="loss weights"
    )
    output: Path = Field(Path("runs/attention-unet"), description="folder of the run")
