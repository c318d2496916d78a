"""Where the training data of a translator come from."""

from pathlib import Path

from pydantic import Field

from .parts import Fraction, Part

_FIRST_SEED = 1000
"""Of the digital heads added to the training subjects, so that test heads can have small seeds."""


class DataConfig(Part):
    """Where the pairs come from. Subjects are never split between training, validation and test."""

    @property
    def training_subjects(self) -> list[str]:
        """The subjects to train on, the added digital heads included."""
        return self.train + [f"phantom-{_FIRST_SEED + number}" for number in range(self.phantoms)]

    root: Path | None = Field(None, description="folder that holds one folder per subject")
    source_file: str = Field("t1.nii.gz", description="file name of the input in every subject's folder")
    target_file: str = Field("t2.nii.gz", description="file name of the truth in every subject's folder")
    train: list[str] = Field([], description="subjects to train on; phantom-N is the digital head of seed N")
    validation: list[str] = Field([], description="subjects that choose the best epoch")
    test: list[str] = Field([], description="subjects whose scores the card reports; seen by nothing before that")
    phantoms: int = Field(0, ge=0, le=1000, description="digital heads added to the training subjects")
    phantom_share: Fraction = Field(
        0.3, description="share of the training slices cut from digital heads, beside subjects"
    )
    phantom_shape: tuple[int, int, int] = Field(
        (48, 256, 256), description="slices, rows and columns of a digital head"
    )
    cache: Path | None = Field(None, description="folder for prepared volumes, keyed by their parameters")
    check_alignment: bool = Field(True, description="refuse pairs that fit better when shifted")
