"""Where radiographs and their reports come from."""

from pathlib import Path

from pydantic import Field

from .parts import Fraction, Part


class ReportDataConfig(Part):
    """Pictures (PNG, JPEG) with a report each; their split by patient."""

    root: Path | None = Field(None, description="folder of the pictures, searched with its subfolders")
    reports: Path | None = Field(
        None,
        description="a CSV table, or a folder of Open-i XML files; relative to root; none takes the text file beside "
        "each picture",
    )
    file: str = Field("file", description="column of the table: the picture, relative to root")
    text: list[str] = Field(
        ["text"], min_length=1, description="columns of the table that make up the report, such as findings, impression"
    )
    group: str | None = Field(
        "patient", description="column of the table whose pictures stay together; none makes each picture a patient"
    )
    split: str | None = Field(None, description="column of the table that says train, validation or test")
    split_file: Path | None = Field(
        None, description="file with the patients of every part: a run's split.yaml, or CSV subject,part"
    )
    licence: str | None = Field(None, description="column of the table with the licence of a picture, for the card")
    only: dict[str, list[str]] = Field({}, description="rows of the table to take: column and the values wanted")
    all_pictures: bool = Field(
        False, description="of an Open-i report take every picture, the lateral one too, instead of the first only"
    )
    skip_unusable: bool = Field(
        False, description="leave out reports without text and pictures that are missing or damaged instead of stopping"
    )
    validation: Fraction = Field(0.15, description="share of the pictures, by patient, that chooses the best epoch")
    test: Fraction = Field(0.15, description="share of the pictures, by patient, whose scores the card reports")
    split_seed: int = Field(1, ge=0, description="seed of the split, apart from the run's seed")
    cache: Path | None = Field(
        None, description="folder for prepared pictures and for features of reports, keyed by their parameters"
    )
