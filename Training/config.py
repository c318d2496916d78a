"""What a training run may be told: typed models, read from YAML, overridden from the command line, checked before any
work."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from MRITranslateLib.card import GridCard, IntensityCard, LicenceCard, ModalityName, NetworkCard, Slug
from MRITranslateLib.errors import InputError

_FIRST_SEED = 1000
"""Of the digital heads added to the training subjects, so that test heads can have small seeds."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class PackageConfig(_Part):
    """What the exported package is called and says of itself."""

    name: Slug = Field(description="name of the model, lower case and underscores")
    title: str = Field(description="name for people")
    version: str = Field("0.1.0", description="version of the model")
    source: ModalityName = Field(description="modality of the input: T1, T2, FLAIR, PD or CT")
    target: ModalityName = Field(description="modality of the output")
    intended_use: str = Field(description="one sentence")
    limits: list[str] = Field([], description="what the model must not be trusted with")
    held_out: Path | None = Field(
        None, description="package of a split run of this recipe: its scores on unseen subjects are quoted in the card"
    )
    licence: LicenceCard = Field(description="licences of the weights and of the training data")
    data: str = Field(description="one sentence on the training data, with credit")


class DataConfig(_Part):
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


class AugmentConfig(_Part):
    """Random changes of the training slices: geometry for both images, intensity for the input only."""

    flip: Fraction = Field(0.5, description="probability of a left-right flip")
    rotate_degrees: float = Field(12.0, ge=0, le=180, description="largest rotation")
    scale: Fraction = Field(0.12, description="largest relative change of size")
    gamma: Fraction = Field(0.35, description="largest relative change of the contrast curve's exponent")
    brightness: Fraction = Field(0.15, description="largest relative change of the scale of intensities")
    bias_field: Fraction = Field(0.25, description="largest coefficient of the multiplicative bias field")
    noise: Fraction = Field(0.03, description="largest standard deviation of the noise, input range 0..1")
    blur_mm: float = Field(0.8, ge=0, le=5, description="largest standard deviation of the blur, pixels")


class LossConfig(_Part):
    """Weights of the generator's losses; see `Training.losses`."""

    l1: float = Field(1.0, ge=0, description="mean absolute error")
    l2: float = Field(0.0, ge=0, description="mean squared error")
    adversarial: float = Field(0.01, ge=0, description="least-squares PatchGAN loss")
    adversarial_from_epoch: int = Field(0, ge=0, description="epochs of pure regression before the discriminator joins")
    background: Fraction = Field(0.1, description="weight of pixels outside the patient")


class Pix2PixConfig(_Part):
    """A pix2pix run: paired translation with a conditional PatchGAN (Isola et al., CVPR 2017)."""

    package: PackageConfig = Field(description="what is exported")
    data: DataConfig = Field(description="what is trained on")
    grid: GridCard = Field(GridCard(), description="the model's grid")
    intensity: IntensityCard = Field(description="normalisation of input and output")
    network: NetworkCard = Field(description="generator: registry name and parameters")
    discriminator: NetworkCard = Field(description="PatchGAN: registry name and parameters")
    augment: AugmentConfig = Field(default_factory=lambda: AugmentConfig.model_validate({}), description="augmentation")
    loss: LossConfig = Field(default_factory=lambda: LossConfig.model_validate({}), description="loss weights")
    epochs: Positive = Field(50, description="number of epochs")
    steps_per_epoch: Positive = Field(100, description="generator steps in an epoch")
    batch_size: Positive = Field(8, description="slices per step, over all devices")
    crop: Positive = Field(160, description="rows and columns of a training crop")
    learning_rate: float = Field(5e-4, gt=0, description="Adam's peak learning rate; falls to 1 % by a cosine")
    warm_up_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    ema: Fraction = Field(0.998, description="decay of the averaged weights that are validated and exported")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field("bf16-mixed", description="arithmetic")
    accelerator: str = Field("auto", description="auto, cpu, cuda or mps")
    devices: Positive = Field(1, description="processes on this machine")
    threads: int = Field(0, ge=0, description="CPU threads; 0 is torch's choice")
    init: Path | None = Field(None, description="package whose weights to start from (fine-tuning)")
    seed: int = Field(1, ge=0, description="seed of everything random")
    validate_every: Positive = Field(5, description="epochs between validations, checkpoints and sample pictures")
    output: Path = Field(Path("runs/pix2pix"), description="folder of the run")


def load_config(file: Path | None, overrides: Sequence[str]) -> Pix2PixConfig:
    """Read a YAML file and apply `--key value` pairs (dotted keys reach into sections: `--loss.l1 2`).

    Raises:
        InputError: The file is missing or no YAML, a key is unknown (the nearest valid one is named) or a value is
        wrong.
    """
    values: dict[str, Any] = {}
    if file is not None:
        if not file.is_file():
            raise InputError(f'The configuration "{file}" does not exist; check the path.')
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise InputError(f'"{file.name}" is not valid YAML: {" ".join(str(error).split())}.') from None
        if not isinstance(values, dict):
            raise InputError(f'"{file.name}" must hold keys and values, as the files in Training/configs do.')
    for key, text in _pairs(overrides):
        section = values
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise InputError(f"--{key}: {part} is a single value, not a section.")
        section[last] = yaml.safe_load(text)
    try:
        return Pix2PixConfig.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error)) from None


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    rest = list(arguments)
    while rest:
        key = rest.pop(0)
        if not key.startswith("--"):
            raise InputError(f'"{key}" stands alone; options are written --key value.')
        key, sign, text = key[2:].partition("=")
        if not sign:
            if not rest:
                raise InputError(f"--{key} needs a value.")
            text = rest.pop(0)
        pairs.append((key.replace("-", "_"), text))
    return pairs


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        near = get_close_matches(path[-1], _known_keys(path[:-1]), 1, cutoff=0.5)
        hint = f' did you mean "{near[0]}"?' if near else f" valid keys are {', '.join(_known_keys(path[:-1]))}."
        return f'The configuration has no key "{".".join(path)}";{hint}'
    return f"The configuration is wrong at {'.'.join(path)}: {first['msg']}."


def _known_keys(path: list[str]) -> list[str]:
    model: Any = Pix2PixConfig
    for part in path:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return []
        model = field.annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def describe_keys(model: type[BaseModel] = Pix2PixConfig, prefix: str = "") -> list[tuple[str, str, str]]:
    """Every key with its default and meaning, for `--help`."""
    rows: list[tuple[str, str, str]] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += describe_keys(inner, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _default(field), field.description or ""))
    return rows


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else str(field.get_default(call_default_factory=True))
