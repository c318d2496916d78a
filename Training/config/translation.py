"""What the recipes that make translators share: package, data, grid, intensity, augmentation."""

from pydantic import Field

from MRITranslateLib.card import GridCard, IntensityCard, NetworkCard

from .data import DataConfig
from .parts import AugmentConfig, PackageConfig, Positive
from .run import RunConfig


class TranslationConfig(RunConfig):
    """A run that makes a translator; `grid` says 2-D, 2.5-D (neighbouring slices) or 3-D."""

    package: PackageConfig = Field(description="what is exported")
    data: DataConfig = Field(description="what is trained on")
    grid: GridCard = Field(GridCard(), description="the model's grid")
    intensity: IntensityCard = Field(description="normalisation of input and output")
    network: NetworkCard = Field(description="generator: registry name and parameters")
    augment: AugmentConfig = Field(default_factory=lambda: AugmentConfig.model_validate({}), description="augmentation")
    crop: Positive = Field(160, description="rows and columns of a training crop")
