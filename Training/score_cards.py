"""Measure the scores on translators' cards again, from weights and images, beside what they have to beat.

    python -m Training.score_cards --data FOLDER

FOLDER holds a folder per subject with t1.nii.gz, t2.nii.gz, flair.nii.gz. Digital heads are made. The exit code is 1
where a card says something else than what is measured, or states a score on a subject that the measured weights have
seen.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from MRITranslateLib.catalog import list_models
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import Package, load_package

from .recompute import FOLDS, Check, Scans, check_card
from .scoretables import as_markdown, as_text, table

Data = Annotated[
    Path | None,
    typer.Option(envvar="MRITRANSLATE_DATA", help="A folder per subject with t1.nii.gz, t2.nii.gz, flair.nii.gz."),
]
Names = Annotated[list[str] | None, typer.Option("--package", help="Name or folder; all built-in translators if none.")]
Folds = Annotated[Path, typer.Option(help="Folder of the packages that the scores of left-out subjects are of.")]
_BEGIN, _END = "<!-- scores:begin -->", "<!-- scores:end -->"
_SECTION = re.compile(r"^### `(.+?)`.*?(?=^### |\Z)", re.DOTALL | re.MULTILINE)
PICTURES = "images/models"
"""Where a document finds the figures of the models."""


def translators(names: Sequence[str] | None) -> list[Package]:
    """The packages of these names or folders, or all built-in ones that translate.

    Raises:
        InputError: One is not there or broken.
    """
    if not names:
        names = [model.name for model in list_models() if model.built_in and model.task == "translation"]
    return [load_package(name) for name in names]


def main(
    data: Data = None,
    package: Names = None,
    folds: Folds = FOLDS,
    against: Annotated[
        list[Path] | None, typer.Option(help="Package to compare with on the subjects that it has not seen.")
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
    tables: Annotated[
        Path | None,
        typer.Option(help=f"Markdown file that gets the tables between {_BEGIN} and {_END}; others there stay."),
    ] = None,
) -> None:
    """Measure the scores on the cards of translators again, and compare."""
    packages = translators(package)
    rivals = [load_package(folder) for folder in against or []]
    if tables is not None:
        _between(tables)  # before any work
    scans, found = Scans(data), {}
    for one in packages:
        checks = check_card(one, scans, folds, rivals=rivals)
        found[one.card.name] = checks
        typer.echo(report(one, checks) + "\n")
    if as_json is not None:
        as_json.write_text(json.dumps([_facts(name, checks) for name, checks in found.items()], indent=2) + "\n")
    if tables is not None:
        write_tables(tables, packages, found)
    if any(check.differences for checks in found.values() for check in checks):
        raise typer.Exit(1)


def report(package: Package, checks: Sequence[Check]) -> str:
    """A table, and below it what does not agree with the card."""
    card = package.translation_card()
    lines = [f"{card.name}, {card.title}", as_text(table(card, checks))]
    for check in checks:
        whom = f"{check.stated.family} ({', '.join(check.stated.subjects)})"
        lines += [f"! {whom}: {sentence}." for sentence in check.differences]
    if not checks:
        lines.append("! The card states no scores.")
    elif not any(check.differences for check in checks):
        lines.append("The card says the same.")
    return "\n".join(lines)


def write_tables(file: Path, packages: Sequence[Package], found: dict[str, list[Check]]) -> None:
    """Write the tables of some packages between the marks in a Markdown file, each with its figure if there is one.

    The tables of other packages, which stand there already, stay; all are sorted by name.

    Raises:
        InputError: The file has no marks.
    """
    before, now, after = _between(file)
    parts = {section[1]: section[0].rstrip() + "\n" for section in _SECTION.finditer(now)}
    for package in packages:
        card = package.translation_card()
        part = f"### `{card.name}`: {card.title}\n\n{as_markdown(table(card, found[card.name]))}\n"
        picture = f"{PICTURES}/{card.name}.png"
        if (file.parent / picture).is_file():
            part += f"\n![Best, median and worst left-out case of {card.name}]({picture})\n"
        parts[card.name] = part
    tables = "\n".join(parts[name] for name in sorted(parts))
    file.write_text(f"{before}{_BEGIN}\n\n{tables}\n{_END}{after}", encoding="utf-8", newline="\n")


def _between(file: Path) -> tuple[str, str, str]:
    """What stands before, between and after the marks."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.fullmatch(f"(.*?){re.escape(_BEGIN)}(.*?){re.escape(_END)}(.*)", text, re.DOTALL)
    if found is None:
        raise InputError(f'"{file}" lacks the marks {_BEGIN} and {_END}; put them where the tables are to be.')
    return found[1], found[2], found[3]


def _facts(name: str, checks: Sequence[Check]) -> dict[str, Any]:
    entries = [
        {
            "family": check.stated.family,
            "weights": check.stated.weights or name,
            "card": check.stated.metrics,
            "subjects": {
                case.subject: {"measured": case.values, "yardsticks": case.yardsticks} for case in check.cases
            },
            "differences": check.differences,
        }
        for check in checks
    ]
    return {"package": name, "scores": entries}


def run(command: Any) -> None:
    """Run a function as a command; bad input gets one sentence and exit code 2."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except InputError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    run(main)
