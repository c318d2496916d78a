"""The worker's methods on the models themselves; see `jobs`. The arguments are the protocol's parameters, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Cancelled, InputError

Progress = Callable[[float, str, int, int], None]
Cancel = Callable[[], bool]


def verify(params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
    """Check one package, or all of them; a broken one is an answer, not an error."""
    from .. import catalog

    asked = params.get("model")
    models = [model for model in catalog.list_models() if asked in (None, model.name)]
    if asked is not None and not models:
        catalog.find(asked)  # says which names there are
    progress(0.0, "Checking the packages", 0, len(models))
    from ..package import Package

    answers = []
    for done, model in enumerate(models):
        if cancel():
            raise Cancelled
        progress(done / len(models), f"Checking {model.title}", done, len(models))
        try:
            if model.broken is None:
                Package(model.folder).verify()
            problem = model.broken
        except InputError as error:
            problem = str(error)
        sentence = problem or f"{model.name} {model.version} is complete and unaltered."
        answers.append({"name": model.name, "ok": problem is None, "sentence": sentence})
    return {"models": answers}


def add_model(params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
    progress(0.0, "Reading the package", 0, 1)
    from ..catalog import add_model

    return {"name": add_model(params["source"], None, progress, cancel).name}


def remove_model(params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
    progress(0.0, "Removing the model", 0, 1)
    from ..catalog import remove_model

    remove_model(params["name"])
    return {"name": params["name"]}


def catalogue(params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
    progress(0.0, "Asking for the catalogue", 0, 1)
    from ..download import read_catalogue

    return {"entries": [dataclasses.asdict(entry) for entry in read_catalogue(params["address"], cancel)]}


def download(params: Mapping[str, Any], progress: Progress, cancel: Cancel) -> dict[str, Any]:
    progress(0.0, "Asking for the file", 0, 1)
    from ..download import check_entry, download_model

    return {"name": download_model(check_entry(params["entry"]), progress, cancel).name}


METHODS = {
    "verify": verify,
    "add_model": add_model,
    "remove_model": remove_model,
    "catalogue": catalogue,
    "download": download,
}
