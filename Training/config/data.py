"""Where the training data of a translator come from."""

import re
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from .parts import Fraction, Part

FIRST_SEED = 1000
"""Of the digital heads added to the training subjects, so that test heads can have small seeds."""


class DataConfig(Part):
    """Where the images come from: a folder per subject, two folders of files, a table, or digital heads.

    An image is a volume (NIfTI, NRRD, MetaImage), a folder with one DICOM series, or a picture (PNG, JPEG, TIFF), which
    is a slice of its own. Subjects are never split between training, validation and test.
    """

    root: Path | None = Field(
        None, description="folder of the data: a folder per subject, unless source_folder is given"
    )
    source_file: str = Field("t1.nii.gz", description="input in every subject's folder: a file or a DICOM folder")
    target_file: str = Field("t2.nii.gz", description="truth in every subject's folder: a file or a DICOM folder")
    source_folder: str | None = Field(
        None,
        description="folder below root that holds the inputs themselves (files or DICOM folders), instead of a folder "
        "per subject; trainA brings valA and testA along as parts of their own",
    )
    target_folder: str | None = Field(
        None, description="its counterpart; files of the same name, whatever their extension, are pairs"
    )
    index: Path | None = Field(
        None,
        description="CSV table of the images instead of folders: columns subject, source, target and perhaps split; "
        "files relative to the table, below its folder or below root",
    )
    subject_pattern: str | None = Field(
        None,
        description="regular expression whose first group is the subject in a file's path below root (without "
        "extension), such as (p\\d+)_slice; the whole file name otherwise",
    )
    leave_out: list[str] = Field([], description="subjects to ignore")
    train: list[str] | None = Field(
        None,
        description="subjects to train on; phantom-N is the digital head of seed N; all that are left if not given",
    )
    validation: list[str] = Field([], description="subjects that choose the best epoch")
    test: list[str] = Field([], description="subjects whose scores the card reports; seen by nothing before that")
    folds: list[list[str]] = Field(
        [],
        description="groups of subjects for --cross-validate, which leaves one group after the other out of the "
        "training; without that flag all are trained on",
    )
    split: Path | None = Field(
        None, description="file with the parts instead of the three lists: a run's split.yaml, or CSV subject,part"
    )
    validation_share: Fraction = Field(0.0, description="share of the training subjects drawn for validation")
    test_share: Fraction = Field(0.0, description="share of the training subjects drawn for the test")
    split_seed: int = Field(0, ge=0, description="seed of that draw")
    phantoms: int = Field(0, ge=0, le=1000, description="digital heads added to the training subjects")
    label_maps: Path | None = Field(
        None,
        description="folder of label maps (NIfTI, numbers of MRITranslateLib.phantom.TISSUES) to make heads from; "
        "labels-NAME-N is head N of NAME.nii.gz",
    )
    label_heads: int = Field(0, ge=0, le=1000, description="heads made from label maps added to the training subjects")
    resolution: bool = Field(
        False,
        description="digital heads to train on have slices 1 to 6 mm apart; some are blurred, input and truth alike",
    )
    phantom_share: Fraction = Field(
        0.3, description="share of the training slices cut from digital heads, beside subjects"
    )
    phantom_shape: tuple[int, int, int] = Field(
        (48, 256, 256), description="slices, rows and columns of a digital head"
    )
    least_tissue: Fraction = Field(
        0.02, description="slices with a smaller share of the patient are background and not trained on"
    )
    cache: Path | None = Field(
        None, description="folder for prepared volumes, read from there as needed: memory stays small"
    )
    check_alignment: bool = Field(True, description="refuse pairs that fit better when shifted")

    @property
    def added_heads(self) -> list[str]:
        """Names of the digital heads that `phantoms` adds."""
        return [f"phantom-{FIRST_SEED + number}" for number in range(self.phantoms)]

    @property
    def training_subjects(self) -> list[str]:
        """The subjects that are named to train on, the added digital heads included."""
        return (self.train or []) + self.added_heads

    @field_validator("subject_pattern")
    @classmethod
    def _has_a_group(cls, value: str | None) -> str | None:
        try:
            if value is not None and re.compile(value).groups < 1:
                raise ValueError("put what names the subject in parentheses, such as (p\\d+)_slice")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from None
        return value

    @model_validator(mode="after")
    def _one_of_each(self) -> "DataConfig":
        if (self.source_folder is None) != (self.target_folder is None):
            raise ValueError("source_folder and target_folder belong together; give both")
        if self.index is not None and self.source_folder is not None:
            raise ValueError("give either index or source_folder and target_folder")
        if self.source_folder is not None and self.source_folder == self.target_folder:
            raise ValueError("source_folder and target_folder are the same")
        self._check_folds()
        if self.split is not None:
            listed = self.train is not None or self.validation or self.test
            if listed or self.validation_share or self.test_share:
                raise ValueError("split names the parts; leave out train, validation, test and their shares")
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on; lower them")
        return self

    def _check_folds(self) -> None:
        if not self.folds:
            return
        if self.split is not None or self.test or self.test_share:
            raise ValueError("folds say who is tested; leave out split, test and test_share")
        if len(self.folds) < 2 or not all(self.folds):
            raise ValueError("folds must be at least two lists of at least one subject each")
        names = [name for fold in self.folds for name in fold]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f'folds name "{twice}" twice; a subject is tested once')
        chooser = next((name for name in self.validation if name in names), None)
        if chooser is not None:
            raise ValueError(f'"{chooser}" is in validation and in a fold; who chooses the best epoch cannot be tested')
        outside = next((name for name in names if self.train is not None and name not in self.train), None)
        if outside is not None:
            raise ValueError(f'folds name "{outside}", who is not in train; add the subject there')
