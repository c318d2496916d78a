"""Where the pictures of a classifier or a generator come from."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from .parts import Fraction, Part, Positive


class PictureConfig(Part):
    """Pictures (PNG, JPEG), axial slices of volumes, digital heads; their labels; their split by group, which is by
    patient where patients are known."""

    root: Path | None = Field(
        None, description="folder of pictures or volumes; where nothing else names the classes, a folder per class"
    )
    index: Path | None = Field(
        None, description="CSV table with a column file, relative to root or to the table, and columns named below"
    )
    labels: list[str] = Field(
        ["class"],
        description="columns of the table with labels: one with names of classes, several with 1, 0 or nothing, or "
        "with a separator any number with names",
    )
    separator: str | None = Field(
        None,
        min_length=1,
        description="what separates several findings of one picture, such as a comma; they need not exclude, and an "
        "empty cell leaves those of its column unknown",
    )
    normal: str = Field("No Finding", description="finding that stands for none of the others")
    least_count: Positive = Field(1, description="classes with fewer pictures are left out")
    group: str | None = Field(None, description="column of the table, such as patient, whose pictures stay together")
    group_pattern: str | None = Field(
        None, description="regular expression whose first bracket finds the patient in a file's name"
    )
    split: str | None = Field(None, description="column of the table that says train, validation or test")
    split_file: Path | None = Field(
        None, description="file with the groups of every part: a report-gan run's split.yaml, or CSV subject,part"
    )
    only: dict[str, list[str]] = Field({}, description="rows of the table to take: column and the values wanted")
    validation: Fraction = Field(0.15, description="share of the pictures that chooses the best epoch")
    test: Fraction = Field(0.15, description="share of the pictures whose scores the card reports")
    split_seed: int = Field(1, ge=0, description="seed of the split, apart from the run's seed")
    size: int = Field(256, ge=16, le=1024, description="rows and columns of a prepared picture")
    phantoms: int = Field(0, ge=0, le=1000, description="digital heads; every second one has lesions")
    phantom_contrast: Literal["t1", "t2", "flair", "pd"] = Field("flair", description="contrast of the digital heads")
    phantom_slices: Positive = Field(8, description="slices of a digital head, 8 mm apart")
    cache: Path | None = Field(None, description="folder for prepared pictures, keyed by their parameters")

    @field_validator("group_pattern")
    @classmethod
    def _finds_a_group(cls, pattern: str | None) -> str | None:
        try:
            groups = re.compile(pattern or "()").groups
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from None
        if groups == 0:
            raise ValueError("put the part that names the patient into brackets")
        return pattern

    @property
    def multi_label(self) -> bool:
        """Whether one picture may have several of the classes, or none."""
        return self.separator is not None or len(self.labels) > 1


class PictureAugmentConfig(Part):
    """Random changes of the training pictures."""

    flip: Fraction = Field(0.5, description="probability of a left-right flip")
    rotate_degrees: float = Field(10.0, ge=0, le=180, description="largest rotation")
    scale: Fraction = Field(0.1, description="largest relative change of size")
    shift: Fraction = Field(0.05, description="largest shift, share of the picture")
    gamma: Fraction = Field(0.25, description="largest relative change of the contrast curve's exponent")
    brightness: Fraction = Field(0.15, description="largest relative change of the scale of intensities")
    noise: Fraction = Field(0.02, description="largest standard deviation of the noise, range 0..1")
