"""`mritranslate`: the engine on the command line.

Results for people go to standard output as a few lines, for machines (`--json`) as one JSON object; progress, warnings
and errors go to standard error. Exit codes: 0 done, 1 a fault of the program, 2 an input to mend (one sentence says
how), 130 interrupted. Files appear only when they are complete. Heavy imports happen inside the commands, so that
`--help` is quick.
"""

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from . import __version__
from .errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

    from .explain import Target


_INTERRUPTED = "Interrupted; unfinished files were not written."


class _Reporting(TyperGroup):
    """Turns what goes wrong in any command into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            _say(f"Error: {error}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            _say(_INTERRUPTED)
            raise typer.Exit(130) from None
        except (OSError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, AssertionError) as error:
            if isinstance(error, typer.Exit | typer.Abort):
                raise
            traceback.print_exc(file=sys.stderr)
            _say(f"Error: MRITranslate {__version__} failed inside ({type(error).__name__}); report the lines above.")
            raise typer.Exit(1) from None


_SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
app = typer.Typer(cls=_Reporting, **_SETTINGS)
models_app = typer.Typer(help="List, inspect, check, add and remove model packages.", **_SETTINGS)
app.add_typer(models_app, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and no progress.")]
Model = Annotated[
    str, typer.Option("--model", "-m", help='Name of a model (see "mritranslate models list") or folder of a package.')
]
Device = Annotated[str, typer.Option(help="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:N or mps.")]
Input = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        help="Input volume: a 3-D NIfTI, NRRD or MetaImage file, a folder with one DICOM series, or a picture.",
    ),
]


class Kind(StrEnum):
    """What a volume shows, for `evaluate`."""

    MR = "MR"
    CT = "CT"


class Protocol(StrEnum):
    """How `evaluate` measures."""

    PLAIN = "plain"
    SYNTHRAD2023 = "synthrad2023"
    SYNTHRAD2025 = "synthrad2025"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `mritranslate`; ends the process with the exit code."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="mritranslate")
    except KeyboardInterrupt:  # before or after the command itself
        _say(_INTERRUPTED)
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mritranslate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Synthetic MRI contrasts and CT from MRI, with explanations. A research tool: not for diagnosis."""


@app.command()
def translate(
    image: Input,
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the synthetic volume: .nii.gz, .nrrd, ...")],
    mask: Annotated[
        Path | None, typer.Option(help="Label image on the input's grid: translate inside it, background outside.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make a synthetic volume of another contrast (MR: arbitrary units; CT: HU) on the input's own grid."""
    from .package import load_package
    from .translate import translate as run

    _check_outputs([image, mask], [output])
    started = time.perf_counter()
    volume, region = _read(image), _read_mask(mask)
    package = load_package(model)
    with _progress(not as_json) as progress:
        result = run(volume, package, device=device, mask=region, progress=progress)
    _write(result.image, output)
    facts = {
        "output": str(output),
        "model": package.card.name,
        "modality": package.translation_card().target,
        "warnings": result.warnings,
        "provenance": result.provenance,
        "seconds": round(time.perf_counter() - started, 3),
    }
    _report(facts, as_json, f"Synthetic {package.translation_card().target} of {image.name}: {output}")


@app.command()
def explain(
    image: Input,
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the heat map (float, 0 to 1).")],
    region: Annotated[
        Path | None,
        typer.Option(help="Explain the mean over a region: label image on the input's grid, nonzero inside."),
    ] = None,
    voxel: Annotated[
        tuple[int, int, int] | None,
        typer.Option(metavar="I J K", help="Explain one voxel: its index (column, row, slice), counted from 0."),
    ] = None,
    realism: Annotated[
        bool, typer.Option("--realism", help="Explain why the result looks real to the model's discriminator.")
    ] = False,
    error: Annotated[
        Path | None, typer.Option(help="Explain the error against this true volume on the input's grid.")
    ] = None,
    levels: Annotated[
        Path | None, typer.Option(help="File for the heat map's levels as a label image (0 to 4).")
    ] = None,
    method: Annotated[
        str, typer.Option(help="gradcam, gradcam++, hirescam, layercam, xgradcam, eigencam or gradcamelementwise.")
    ] = "gradcam",
    layer: Annotated[str | None, typer.Option(help="Dotted name of a layer. [default: the network's own]")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Show which places of the input the synthetic volume rests on, as a heat map on the input's grid.

    Give exactly one of --region, --voxel, --realism and --error.
    """
    if sum([region is not None, voxel is not None, realism, error is not None]) != 1:
        raise InputError("Say what to explain by exactly one of --region, --voxel, --realism and --error.")
    from .explain import explain as run
    from .package import load_package

    _check_outputs([image, region, error], [output, levels])
    started = time.perf_counter()
    volume = _read(image)
    target = _target(region, voxel, error)
    package = load_package(model)
    with _progress(not as_json) as progress:
        made = run(volume, package, target, method=method, layer=layer, device=device, progress=progress)
    _write(made.heatmap, output)
    if levels is not None:
        _write(made.levels, levels)
    facts = {
        "output": str(output),
        "levels": None if levels is None else str(levels),
        "level_names": made.level_names,
        "model": package.card.name,
        "warnings": made.warnings,
        "provenance": made.provenance,
        "seconds": round(time.perf_counter() - started, 3),
    }
    _report(facts, as_json, f"Heat map of {image.name}: {output}")


def _target(region: Path | None, voxel: tuple[int, int, int] | None, error: Path | None) -> "Target":
    from .explain import Error, Realism, Region, Voxel

    if region is not None:
        return Region(_read_mask(region))
    if voxel is not None:
        return Voxel(*voxel)
    if error is not None:
        return Error(_read(error))
    return Realism()


@app.command()
def evaluate(
    reference: Annotated[Path, typer.Argument(help="The true volume.")],
    prediction: Annotated[Path, typer.Argument(help="The synthetic volume on the same grid.")],
    modality: Annotated[Kind, typer.Option(help="MR (arbitrary units) or CT (HU).", case_sensitive=False)] = Kind.MR,
    mask: Annotated[Path | None, typer.Option(help="Label image on the same grid; nonzero voxels count.")] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="plain, or for CT a SynthRAD challenge's metrics, figure for figure.")
    ] = Protocol.PLAIN,
    source: Annotated[
        Path | None,
        typer.Option("--input", help="What the prediction was made from (MR): adds the best intensity map of it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a synthetic volume with the true one: MAE (HU, or fraction of full scale), PSNR (dB), SSIM.

    For MR each volume is divided by the 99.8th percentile of its values in the foreground, and the figures called
    ..._affine follow one global least-squares fit of the prediction to the reference.
    """
    from .evaluate import evaluate as run

    scores = run(
        _read(reference),
        _read(prediction),
        modality=modality.value,
        mask=_read_mask(mask),
        protocol=protocol.value,
        source=None if source is None else _read(source),
    )
    if as_json:
        _report(scores.as_json(), as_json, "")
        return
    for name, value in scores.values.items():
        typer.echo(f"{name:13} {value:10.4f}")
    for name, fact in scores.facts.items():
        typer.echo(f"{name:13} {fact}")


@app.command()
def phantom(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the volumes; made if it does not exist.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another person.")] = 1,
    shape: Annotated[tuple[int, int, int], typer.Option(metavar="S R C", help="Slices, rows and columns.")] = (
        96,
        128,
        128,
    ),
    lesions: Annotated[int, typer.Option(min=0, max=100, help="Number of lesions.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a digital head: T1, T2, FLAIR, PD, CT (HU), tissue labels and lesions on one grid."""
    from .phantom import phantom as run

    if output.exists() and not output.is_dir():
        raise InputError(f'"{output}" is a file; give a folder.')
    head = run(seed=seed, shape=shape, lesions=lesions)
    _make_folder(output)
    files = {}
    for name in ("t1", "t2", "flair", "pd", "ct", "labels", "lesions"):
        files[name] = str(output / f"{name}.nii.gz")
        _write(getattr(head, name), Path(files[name]))
    facts = {
        "folder": str(output),
        "files": files,
        "seed": seed,
        "shape": list(shape),
        "lesions": lesions,
        "warnings": [],
    }
    _report(facts, as_json, f"Phantom head {seed}: {output}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the volumes and the figure.")],
    as_json: Json = False,
) -> None:
    """Make a phantom patient, translate and explain it, score the results and draw them."""
    from .demo import run

    with _progress(not as_json) as progress:
        summary = run(output, progress=lambda fraction, title: progress(fraction, title, 0, 0))
    facts = {
        "folder": str(summary.folder),
        "files": [str(file) for file in summary.files],
        "scores": summary.scores,
        "warnings": summary.warnings,
        "seconds": round(summary.seconds, 3),
    }
    _report(facts, as_json, f"Demonstration: {output}")


@models_app.command("list")
def list_(as_json: Json = False) -> None:
    """List the models that are built in and those in your folder."""
    from .catalog import list_models, models_folder

    models = list_models()
    if as_json:
        entries = [{**vars(model), "folder": str(model.folder)} for model in models]
        _report({"models": entries, "folder": str(models_folder())}, as_json, "")
        return
    width = max([len(model.name) for model in models], default=0)
    for model in models:
        about = model.broken or f"{model.about}, {model.title}, {model.version}"
        state = "broken: " if model.broken else ""
        typer.echo(f"{model.name:{width}}  {state}{about} ({'built in' if model.built_in else 'yours'})")
    if not models:
        typer.echo(f'No model is installed; add one with "mritranslate models add FOLDER" (to {models_folder()}).')


ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model or folder of a package.")]


@models_app.command()
def show(model: ModelName, as_json: Json = False) -> None:
    """Print a model's card: data, licence, scores, limits."""
    from .catalog import card_text

    folder = _model_folder(model)
    if as_json:
        from .catalog import read_card_text

        card = json.loads(read_card_text(folder))
        _report({"folder": str(folder), "card": card}, as_json, "")
    else:
        typer.echo(card_text(folder), nl=False)


@models_app.command()
def verify(model: ModelName, as_json: Json = False) -> None:
    """Check a package completely: card, hashes, tensor shapes, values, licence."""
    from .package import load_package

    package = load_package(model)
    package.verify()
    facts = {"model": package.card.name, "folder": str(package.folder), "verified": True}
    _report(facts, as_json, f"{package.card.name} {package.card.version} is complete and unaltered.")


@models_app.command()
def add(
    folder: Annotated[Path, typer.Argument(help="Folder of a model package.")],
    as_json: Json = False,
) -> None:
    """Copy a checked package into your folder of models."""
    from .catalog import add_model

    added = add_model(folder)
    _report({"model": added.name, "folder": str(added)}, as_json, f"Added {added.name}: {added}")


@models_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of a model in your folder.")],
    as_json: Json = False,
) -> None:
    """Delete a package from your folder of models; built-in ones stay."""
    from .catalog import remove_model

    remove_model(name)
    _report({"model": name, "removed": True}, as_json, f"Removed {name}.")


def _model_folder(model: str) -> Path:
    from .catalog import find, list_models

    if any(entry.name == model for entry in list_models()) or not Path(model).is_dir():
        return find(model)
    return Path(model).resolve()


def _read(path: Path) -> "sitk.Image":
    from .volume import read_volume

    return read_volume(path)


def _read_mask(path: Path | None) -> Any:
    from .volume import read_volume

    return None if path is None else read_volume(path, labels=True)


def _check_outputs(inputs: Sequence[Path | None], outputs: Sequence[Path | None]) -> None:
    """Refuse, before any work, outputs that cannot be written or that would overwrite an input or each other."""
    from .volume import check_output_path

    taken = {path.resolve(): "an input" for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        check_output_path(path)
        if path.resolve() in taken:
            raise InputError(f'"{path}" is {taken[path.resolve()]} already; choose another output file.')
        taken[path.resolve()] = "an output"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'The folder "{folder}" cannot be made ({error.strerror}); choose another one.') from None


def _write(image: "sitk.Image", path: Path) -> None:
    from .volume import write_volume

    write_volume(image, path)


@contextlib.contextmanager
def _progress(shown: bool) -> Iterator[Callable[[float, str, int, int], None]]:
    """A progress bar on standard error where a person can see it; what libraries print goes there too."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        task = bar.add_task("Starting", total=1.0)

        def progress(fraction: float, stage: str, done: int, total: int) -> None:
            counted = f"{stage} {done}/{total}" if total > 1 else stage
            bar.update(task, completed=fraction, description=counted)

        with contextlib.redirect_stdout(sys.stderr):
            yield progress


def _report(facts: Mapping[str, Any], as_json: bool, sentence: str) -> None:
    for warning in facts.get("warnings", ()):
        _say(f"Warning: {warning}")
    typer.echo(json.dumps(facts, allow_nan=False) if as_json else sentence)


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


if __name__ == "__main__":
    main()
