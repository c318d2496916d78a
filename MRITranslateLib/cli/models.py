"""`mritranslate models`: the packages there are."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .shared import SETTINGS, Json, progress_bar, report

app = typer.Typer(help="List, inspect, check, add, download, export and remove model packages.", **SETTINGS)
Catalogue = Annotated[
    str,
    typer.Option(metavar="URL", envvar="MRITRANSLATE_CATALOGUE", help="Address of the catalogue, https://..."),
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model or folder of a package.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the models that are built in and those in your folder."""
    from ..catalog import list_models, models_folder

    models = list_models()
    if as_json:
        entries = [{**vars(model), "folder": str(model.folder)} for model in models]
        report({"models": entries, "folder": str(models_folder())}, as_json, "")
        return
    width = max([len(model.name) for model in models], default=0)
    for model in models:
        about = model.broken or f"{model.about}, {model.title}, {model.version}"
        state = "broken: " if model.broken else ""
        typer.echo(f"{model.name:{width}}  {state}{about} ({'built in' if model.built_in else 'yours'})")
    if not models:
        typer.echo(f'No model is installed; add one with "mritranslate models add" (to {models_folder()}).')


@app.command()
def show(model: ModelName, as_json: Json = False) -> None:
    """Print a model's card: data, licence, scores, limits."""
    from ..catalog import card_text

    folder = _model_folder(model)
    if as_json:
        from ..catalog import read_card_text

        card = json.loads(read_card_text(folder))
        report({"folder": str(folder), "card": card}, as_json, "")
    else:
        typer.echo(card_text(folder), nl=False)


@app.command()
def verify(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model or folder of a package.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Check every model that is built in or in your folder.")] = False,
    as_json: Json = False,
) -> None:
    """Check a package completely: card, hashes, tensor shapes, values, licence."""
    from ..package import load_package

    if every == bool(model):
        raise InputError("Give either the name of a model, or --all.")
    if every:
        _verify_all(as_json)
        return
    package = load_package(model)
    package.verify()
    facts = {"model": package.card.name, "folder": str(package.folder), "verified": True}
    report(facts, as_json, f"{package.card.name} {package.card.version} is complete and unaltered.")


@app.command()
def add(
    source: Annotated[Path, typer.Argument(help="Folder of a model package, or its .zip file.")],
    as_json: Json = False,
) -> None:
    """Copy a checked package into your folder of models."""
    from ..catalog import add_model

    with progress_bar(not as_json) as progress:
        added = add_model(source, progress=progress)
    report({"model": added.name, "folder": str(added)}, as_json, f"Added {added.name}: {added}")


@app.command()
def catalogue(catalogue: Catalogue, as_json: Json = False) -> None:
    """List the models that a catalogue on the Internet offers."""
    from ..catalog import list_models
    from ..download import read_catalogue

    entries = read_catalogue(catalogue)
    if as_json:
        report({"entries": [vars(entry) for entry in entries]}, as_json, "")
        return
    installed = {model.name for model in list_models()}
    width = max([len(entry.name) for entry in entries], default=0)
    for entry in entries:
        way = " to ".join(name for name in (entry.source, entry.target) if name)
        here = ", installed" if entry.name in installed else ""
        about = f"{way}, {entry.title}, {entry.version}, {entry.bytes / 1e6:.1f} MB, {entry.licence}{here}"
        typer.echo(f"{entry.name:{width}}  {about}")
    if not entries:
        typer.echo("The catalogue is empty.")


@app.command()
def download(
    name: Annotated[
        str, typer.Argument(help='Name of a model of the catalogue (see "mritranslate models catalogue").')
    ],
    catalogue: Catalogue,
    as_json: Json = False,
) -> None:
    """Download a model, check it and add it; what broke off or was interrupted is resumed."""
    from ..catalog import check_free_name
    from ..download import choose, download_model, read_catalogue

    check_free_name(name)
    with progress_bar(not as_json) as progress:
        added = download_model(choose(read_catalogue(catalogue), name), progress)
    report({"model": added.name, "folder": str(added)}, as_json, f"Added {added.name}: {added}")


@app.command()
def export(
    model: ModelName,
    monai_bundle: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder for the MONAI bundle.")],
    as_json: Json = False,
) -> None:
    """Write a translation model as a MONAI bundle, for MONAI's tools."""
    from ..bundle import export_bundle
    from ..package import load_package

    package = load_package(model)
    written = export_bundle(package, monai_bundle)
    facts = {"model": package.card.name, "bundle": str(written)}
    report(facts, as_json, f"MONAI bundle of {package.card.name}: {written}")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of a model in your folder.")],
    as_json: Json = False,
) -> None:
    """Delete a package from your folder of models; built-in ones stay."""
    from ..catalog import remove_model

    remove_model(name)
    report({"model": name, "removed": True}, as_json, f"Removed {name}.")


def _verify_all(as_json: bool) -> None:
    """A line for every model; the exit code is 1 if one is broken."""
    from ..catalog import list_models
    from ..package import load_package

    entries = []
    for model in list_models():
        broken = model.broken
        if broken is None:
            try:
                load_package(model.folder).verify()
            except InputError as error:
                broken = str(error)
        entries.append({"model": model.name, "folder": str(model.folder), "verified": broken is None, "broken": broken})
        if not as_json:
            what = f"{model.version} is complete and unaltered." if broken is None else f"broken: {broken}"
            typer.echo(f"{model.name} {what}")
    if as_json:
        report({"models": entries}, as_json, "")
    elif not entries:
        typer.echo("No model is installed.")
    if not all(entry["verified"] for entry in entries):
        raise typer.Exit(1)


def _model_folder(model: str) -> Path:
    from ..catalog import find, list_models

    if any(entry.name == model for entry in list_models()) or not Path(model).is_dir():
        return find(model)
    return Path(model).resolve()
