"""`mritranslate check`: which contrast an image looks like, and whether a model can take it."""

from typing import Annotated, Any

import typer

from .shared import Input, Json, read, report, say


def check(
    image: Input,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Check the image against this model (a name, or the folder of a package) alone."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which contrast an image looks like and which models fit, or why a model may not. It translates nothing.

    With --model the exit code is 0 for ok and for warnings, 2 where the model cannot take the image.
    """
    volume = read(image)
    if model is None:
        _which_models(volume, as_json)
        return
    from ..domain import check as run
    from ..package import load_package

    package = load_package(model)
    made = run(volume, package)
    facts = {"model": package.card.name, "outcome": made.outcome, "reasons": made.reasons, **_facts(made.contrast)}
    verdict = {"ok": "fits", "warn": "can be used, with care", "refuse": "cannot be used"}[made.outcome]
    for reason in made.reasons:
        say(f"{'Error' if made.outcome == 'refuse' else 'Warning'}: {reason}")
    report(facts, as_json, f"{_looks(made.contrast)} For {package.card.name} it {verdict}.")
    if made.outcome == "refuse":
        raise typer.Exit(2)


def _which_models(volume: Any, as_json: bool) -> None:
    from ..catalog import list_models
    from ..contrast import recognise

    contrast = recognise(volume)
    models = [
        model for model in list_models() if contrast.known and model.broken is None and model.source == contrast.name
    ]
    fitting = ", ".join(f"{model.name} ({model.about})" for model in models) or "none"
    facts = {"models": [model.name for model in models], **_facts(contrast)}
    report(facts, as_json, f"{_looks(contrast)} Models for it: {fitting}.")


def _facts(contrast: Any) -> dict[str, Any]:
    shares = {name: round(share, 4) for name, share in contrast.probabilities.items()}
    return {"contrast": contrast.name if contrast.known else None, "probabilities": shares}


def _looks(contrast: Any) -> str:
    if not contrast.known:
        return "This image resembles none of the MRI and CT of heads that are known here."
    return f"This looks like a {contrast}{'' if contrast.sure else ', which is a guess'}."
