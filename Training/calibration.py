"""What a translator's maps of doubt are worth on validation subjects, for its card.

    python -m Training.calibration PACKAGE --data.root FOLDER --data.train [] --data.validation [p07, phantom-5]

measures it anew for a package that is there already. Its weights stay as they are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import SimpleITK as sitk
import typer
from pydantic import Field

from MRITranslateLib.calibration import calibrate
from MRITranslateLib.card import CalibrationCard, TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import Package, load_package, rewrite_card
from MRITranslateLib.uncertainty import dropout_layers

from .config.data import DataConfig
from .config.load import load_config
from .config.parts import Part
from .config.translation import TranslationConfig
from .data.index import Index, is_phantom, read_index
from .data.scans import load_pairs
from .export import readme

_MOST_SUBJECTS = 16
"""More take time and move no figure."""
_LEAST_SUBJECTS, _UNSEEN = 4, 101
"""From four on, scale and coverage are measured on different subjects. Nothing trains on digital heads from 101 to 999
unless it is told to."""
_Method = Literal["augmentation", "dropout", "cycle"]


class _Config(Part):
    data: DataConfig = Field(default_factory=lambda: DataConfig.model_validate({}), description="whom to measure on")


def measure_calibration(
    index: Index, package: Package, subjects: Sequence[str], inverse: Package | None = None
) -> list[CalibrationCard]:
    """An entry for each map that the package can give, measured as a user would get it; none without subjects.

    Args:
        index: Of the images.
        package: Of the exported weights.
        subjects: With both images; beyond 16 an even choice.
        inverse: The way back.
    """
    card = package.translation_card()
    count = min(len(subjects), _MOST_SUBJECTS)
    chosen = [subjects[number * len(subjects) // count] for number in range(count)]
    methods: list[_Method] = ["augmentation"]
    if dropout_layers(package.generator("cpu")):
        methods.append("dropout")
    if inverse is not None:
        methods.append("cycle")
    data = describe(card, chosen)
    return [calibrate(package, _pairs(index, card, chosen), method, data, inverse) for method in methods if chosen]


def held_out_calibration(config: TranslationConfig, index: Index) -> list[CalibrationCard]:
    """The same of the first split run of this recipe, on those whom its weights had never seen: more true of a new
    patient than of the package's own weights, which have since been trained on them. Further runs would take time and
    move little; where fewer than four were left out, unseen digital heads fill up."""
    if not config.package.held_out:
        return []
    split = load_package(config.package.held_out[0])
    tested = [subject for score in split.card.scores for subject in score.subjects]
    there = [subject for subject in tested if is_phantom(subject) or subject in index.scans]
    there += [f"phantom-{_UNSEEN + number}" for number in range(_LEAST_SUBJECTS - len(there)) if there]
    return [entry.model_copy(update={"weights": split.card.name}) for entry in measure_calibration(index, split, there)]


def describe(card: TranslationCard, subjects: Sequence[str]) -> str:
    """A sentence on who the subjects were, and whether the weights had seen them."""
    parts = []
    for one, many, heads in (("digital head", "digital heads", True), ("person", "people", False)):
        named = [name for name in subjects if is_phantom(name) == heads]
        seen = sum(name in card.training.subjects for name in named)
        chose = sum(name in card.training.validation_subjects for name in named)
        for count, fact in (
            (len(named) - seen - chose, "that the weights had never seen"),
            (chose, "that no weights were trained on, but by whom the best were chosen"),
            (seen, "that the weights were trained on: new ones will have larger errors"),
        ):
            if count:
                parts.append(f"{count} {one if count == 1 else many} {fact}")
    return "; ".join(parts) + "."


def _pairs(
    index: Index, card: TranslationCard, subjects: Sequence[str]
) -> Iterator[tuple[str, sitk.Image, sitk.Image]]:
    for subject in subjects:
        for pair in load_pairs(index, card.source, card.target, subject):
            yield subject, pair.source, pair.target


def main(
    context: typer.Context,
    package: Annotated[Path, typer.Argument(help="Folder of a translation's package; its card is written anew.")],
    inverse: Annotated[str | None, typer.Option(help="Name or folder of the model for the way back.")] = None,
) -> None:
    """Measure a package's calibration on data.validation and write it into its card."""
    index = read_index(load_config(_Config, None, context.args).data, trains=False)
    if not index.validation:
        raise InputError("Nobody to measure on; name subjects in --data.validation.")
    model = load_package(package)
    back = None if inverse is None else load_package(inverse)
    entries = measure_calibration(index, model, index.validation, back)
    card = model.translation_card().model_copy(update={"calibration": entries})
    rewrite_card(model.folder, card, readme(card))
    for entry in entries:
        typer.echo(entry.model_dump_json())


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
