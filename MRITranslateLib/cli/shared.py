"""What the commands share: options, files, progress and how they end."""

import contextlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
from typer.core import TyperGroup

from .. import __version__
from ..errors import InputError, printable

if TYPE_CHECKING:
    import SimpleITK as sitk

# Help is plain text here; where rich is installed, typer escapes its brackets for rich's markup all the same.
typer.core.HAS_RICH = False

INTERRUPTED = "Interrupted; unfinished files were not written."
_STAGE_LETTERS = 60
"""So that a long name leaves room for the bar."""


class Reporting(TyperGroup):
    """Turns what goes wrong in any command into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            say(f"Error: {error}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            say(INTERRUPTED)
            raise typer.Exit(130) from None
        except (OSError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, AssertionError) as error:
            if isinstance(error, typer.Exit | typer.Abort):
                raise
            traceback.print_exc(file=sys.stderr)
            say(f"Error: MRITranslate {__version__} failed inside ({type(error).__name__}); report the lines above.")
            raise typer.Exit(1) from None


SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
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


def read(path: Path) -> "sitk.Image":
    """A volume from a file or folder."""
    from ..volume import read_volume

    return read_volume(path)


def read_mask(path: Path | None) -> Any:
    """A label image, or None where none is given."""
    from ..volume import read_volume

    return None if path is None else read_volume(path, labels=True)


def check_outputs(inputs: Sequence[Path | None], outputs: Sequence[Path | None]) -> None:
    """Refuse, before any work, outputs that cannot be written or that would overwrite an input or each other."""
    from ..volume import check_output_path

    taken = {path.resolve(): "an input" for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        check_output_path(path)
        if path.resolve() in taken:
            raise InputError(f'"{path}" is {taken[path.resolve()]} already; choose another output file.')
        taken[path.resolve()] = "an output"


def check_file(path: Path | None, ending: str) -> None:
    """Refuse, before any work, a file beside the volumes (a table, a figure, a page) that could not be written."""
    if path is None:
        return
    if path.suffix.lower() != ending:
        raise InputError(f'"{path.name}" must end with {ending}; rename it.')
    if not path.parent.is_dir():
        raise InputError(f'The folder "{path.parent}" does not exist; create it or choose another output.')


def make_folder(folder: Path) -> None:
    """Make a folder, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'The folder "{folder}" cannot be made ({error.strerror}); choose another one.') from None


def write(image: "sitk.Image", path: Path) -> None:
    """Write a volume to a file."""
    from ..volume import write_volume

    write_volume(image, path)


@contextlib.contextmanager
def progress_bar(shown: bool) -> Iterator[Callable[[float, str, int, int], None]]:
    """A progress bar on standard error where a person can see it; what libraries print goes there too."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    description = TextColumn("{task.description}", markup=False)  # it may hold names out of a table
    columns = (description, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        task = bar.add_task("Starting", total=1.0)

        def progress(fraction: float, stage: str, done: int, total: int) -> None:
            stage = printable(stage, _STAGE_LETTERS)
            counted = f"{stage} {done}/{total}" if total > 1 else stage
            bar.update(task, completed=fraction, description=counted)

        with contextlib.redirect_stdout(sys.stderr):
            yield progress


def report(facts: Mapping[str, Any], as_json: bool, sentence: str) -> None:
    """Say what was done: a sentence for people or the facts for machines; warnings go to standard error."""
    for warning in facts.get("warnings", ()):
        say(f"Warning: {warning}")
    typer.echo(json.dumps(facts, allow_nan=False) if as_json else sentence)


def say(sentence: str) -> None:
    """Print a sentence on standard error."""
    typer.echo(sentence, err=True)
