"""Cross-validation: each fold is scored by weights that were never trained on it, then all subjects are trained on.

output/fold-1, output/fold-2, ...   ordinary runs, each tested on its fold and trained on everybody else
output/all                          the run whose package is of use; its card quotes the scores of the folds
output/folds/NAME_fold_1, ...       the weights of the folds without their discriminators, by which those scores
                                    can be measured again
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from MRITranslateLib import files
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package

from .config.translation import TranslationConfig
from .export import write
from .machine import processes
from .translation import check


def plan(config: TranslationConfig) -> list[TranslationConfig]:
    """The runs of a cross-validation: one for each fold, then the one on all subjects.

    Raises:
        InputError: There are no folds, or a run would not fit the data; nothing has been written yet.
    """
    if not config.data.folds:
        raise InputError("--cross-validate needs data.folds, lists of the subjects to leave out together.")
    if config.package.held_out:
        raise InputError("--cross-validate finds package.held_out itself; leave it out.")
    if processes(config) > 1:
        raise InputError(
            "--cross-validate trains in one process; leave devices at 1, or run each fold by itself with data.test."
        )
    count = len(config.data.folds)
    runs = [_without(config, number, count) for number in range(1, count + 1)]
    held_out = [run.output / "export" for run in runs]
    package = config.package.model_copy(update={"held_out": held_out})
    runs.append(config.model_copy(update={"package": package, "output": config.output / "all"}))
    for run in runs:
        check(run)
    return runs


def run_all(
    config: TranslationConfig, resume: bool, run: Callable[[TranslationConfig], Any], say: Callable[[str], None]
) -> Path:
    """Train and export every run of the plan.

    Args:
        config: With data.folds.
        resume: Pass over runs that have been exported with their scores; `run` goes on with the others.
        run: Trains and exports one run.
        say: Told what is done.

    Returns:
        The folder of the folds' packages without discriminators.

    Raises:
        InputError: As `plan`, or from a run.
    """
    runs = plan(config)
    for number, one in enumerate(runs, 1):
        what = "all subjects" if one is runs[-1] else f"without {', '.join(one.data.test)}"
        if resume and _is_finished(one):
            say(f"Run {number} of {len(runs)}, {what}: finished before.")
            continue
        say(f"Run {number} of {len(runs)}, {what}: {one.output}")
        run(one)
    folder = config.output / "folds"
    for one in runs[:-1]:
        without_discriminator(one.output / "export", folder / one.package.name)
    return folder


def without_discriminator(package: Path, folder: Path) -> Path:
    """Write a translator's package again as `folder`, with the weights that translate alone."""
    source = load_package(package)
    card = source.translation_card().model_copy(update={"discriminator": None})
    return write(folder, card, {"weights": load_file(source.folder / files.WEIGHTS)})


def fold_name(name: str, number: int) -> str:
    """What the package of a fold is called; folds are counted from 1."""
    return f"{name}_fold_{number}"


def _without(config: TranslationConfig, number: int, count: int) -> TranslationConfig:
    """The run that tests one fold and trains on everybody else."""
    data, package = config.data, config.package
    fold = data.folds[number - 1]
    train = None if data.train is None else [name for name in data.train if name not in fold]
    names = {"name": fold_name(package.name, number), "title": f"{package.title} (fold {number} of {count})"}
    return config.model_copy(
        update={
            "data": data.model_copy(update={"folds": [], "test": fold, "train": train}),
            "package": package.model_copy(update=names),
            "output": config.output / f"fold-{number}",
        }
    )


def _is_finished(run: TranslationConfig) -> bool:
    """Whether a run was exported to the end: a package is written once before its scores are measured.

    Raises:
        InputError: It was tested on others than this run's.
    """
    folder = run.output / "export"
    if not folder.is_dir():
        return False
    tested = {subject for score in load_package(folder).card.scores for subject in score.subjects}
    if tested and not tested >= {*run.data.test, *(name for fold in run.data.folds for name in fold)}:
        raise InputError(f'"{run.output}" holds a run with other folds; choose another --output.')
    return bool(tested)
