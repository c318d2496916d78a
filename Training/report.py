"""`report.html` of a run: what it was told, how its figures went, what its samples look like.

One file without scripts or outside parts, made from the run's own files after every validation: it can be mailed, and
opened years later. All foreign text is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import yaml

from MRITranslateLib import __version__
from MRITranslateLib.card import parse_card
from MRITranslateLib.errors import PackageError

from .evolution import evolution, sample_files
from .figures import describe
from .neighbours import NAME as NEIGHBOURS
from .reportparts import Pictures, card_tables, charts, score_table
from .runlog import Curve, Log, read_log
from .samples import save_sheet

_STYLE = Path(__file__).with_name("report.css")
_MOST_ALIGNMENTS = 12
_NOTICE = "A research tool, not for diagnosis. Synthetic images look convincing where they are wrong."


def write_report(folder: Any) -> None:
    """Write report.html, and evolution.png where there are samples of several epochs.

    Args:
        folder: The `RunFolder`. A run without a log has no report yet.

    Raises:
        InputError: They cannot be written.
    """
    try:
        log = read_log(folder.path / "log.csv")
    except FileNotFoundError:
        return
    try:
        progress = evolution(folder.path)
    except (OSError, ValueError, KeyError):  # a picture that was changed by hand
        progress = None
    if progress is not None:
        plain = len(progress.columns) == sum(column.startswith("epoch ") for column in progress.columns)
        folder.save_drawing("evolution.png", lambda file: save_sheet(progress, file, 320 if plain else 208))
    folder.save_text("report.html", _Page(folder.path, log).text())


class _Page:
    """The page of one run.

    Args:
        folder: Of the run.
        log: Read from it.
    """

    def __init__(self, folder: Path, log: Log) -> None:
        self._folder, self._log = folder, log
        self._config = _read_yaml(folder / "config.yaml")
        self._split = _read_yaml(folder / "split.yaml")
        self._inlined = Pictures()
        about = self._config.get("package")
        self._about: dict[str, Any] = about if isinstance(about, dict) else {}
        self._epochs = max((curve.epochs[-1] for curve in self._curves() if curve.epochs), default=0)
        kept = log.get("weights", {}).get("kept", Curve())
        self._best = max((e for e, value in zip(kept.epochs, kept.values, strict=True) if value), default=None)

    def text(self) -> str:
        """The whole file."""
        title = str(self._about.get("title") or self._folder.name)
        parts = (
            self._facts(),
            self._pictures(),
            self._validation(),
            self._losses(),
            self._packages(),
            self._data(),
            self._settings(),
        )
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} – training run</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="sub">{escape(self._subtitle())}</p>
<p class="notice">{_NOTICE}</p>
</header>
<main>
{"".join(parts)}</main>
<footer>Written by MRITranslate {__version__}, {datetime.now().astimezone().isoformat(" ", "minutes")}</footer>
</body>
</html>
"""

    def _curves(self) -> Iterable[Curve]:
        return (curve for group in self._log.values() for curve in group.values())

    def _target(self) -> str | None:
        target = self._about.get("target")
        return target if isinstance(target, str) else None

    def _subtitle(self) -> str:
        about = self._about
        way = f"{about['source']} to {about['target']}" if {"source", "target"} <= about.keys() else ""
        name = " ".join(str(about[key]) for key in ("name", "version") if key in about)
        recipe = _recipe(self._folder / "config.yaml")
        return " · ".join(
            part for part in (recipe and f"Training run of {recipe}", way, name, self._folder.name) if part
        )

    def _facts(self) -> str:
        """Where the run is, which weights are kept, how fast it goes."""
        tiles = [("Epochs", f"{self._epochs} of {self._config.get('epochs', '?')}", "", "")]
        scores = self._log.get("validation", {})
        if self._best is not None:
            found = ""
            if scores:
                name = next(iter(scores))
                figure, value = describe(name, self._target()), scores[name].at(self._best)
                found = f"{figure.title} {figure.text(value)} {figure.unit}".strip()
            tiles.append(("Kept weights", f"epoch {self._best}", found, ""))
        for name, warn_above in (("images per second", None), ("share of waiting for data", 0.05)):
            curve = self._log.get("speed", {}).get(name)
            if curve is not None and curve.values:
                figure, value = describe(name, None), curve.values[-1]
                much = warn_above is not None and value > warn_above
                note = "the data loader holds the step up" if much else "since the validation before"
                tiles.append((figure.title, f"{figure.text(value)} {figure.unit}", note, "warn" if much else ""))
        rows = "".join(
            f'<div class="{kind}"><dt>{escape(title)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>\n'
            for title, value, note, kind in tiles
        )
        return f'<dl class="facts">\n{rows}</dl>\n'

    def _pictures(self) -> str:
        """The last samples, and the evolution of the first few of them."""
        files = sample_files(self._folder)
        if not files:
            return ""
        epoch, file = list(files.items())[-1]
        parts = [f"<h2>Samples</h2>\n{self._inlined.figure(file, f'After epoch {epoch}.')}"]
        if (self._folder / "evolution.png").is_file() and len(files) > 1:
            caption = "How the samples came about. Epochs are chosen evenly in their logarithm."
            parts.append(f"<h2>Evolution</h2>\n{self._inlined.figure(self._folder / 'evolution.png', caption)}")
        return "".join(parts)

    def _validation(self) -> str:
        """Charts of the validated figures, and their table by subject at the last and the kept epoch."""
        scores = {name: curve for name, curve in self._log.get("validation", {}).items() if curve.values}
        if not scores:
            return ""
        parts = ["<h2>Validation</h2>\n", charts(scores, self._target(), marked=self._best)]
        if any(name.rpartition(" ")[2] == "psnr" for name in scores):
            parts.append(
                "<p class=sub>Of the weights as they are exported, on the model's grid, in the truth's foreground; MR "
                "after one affine fit of the intensities per subject. Thin lines are subjects, the dot is the kept "
                "epoch. The scores on a package's card are measured on the original grids instead.</p>\n"
            )
        return "".join([*parts, score_table(scores, self._target(), self._best)])

    def _losses(self) -> str:
        losses = {name: curve for name, curve in self._log.get("loss", {}).items() if curve.values}
        if not losses:
            return ""
        return f"<h2>Losses</h2>\n{charts(losses, self._target(), may_be_log=True)}"

    def _packages(self) -> str:
        """What was exported, with the scores on its card."""
        parts = []
        for file in sorted(self._folder.glob("export*/model.json")):
            try:
                card = parse_card(_read_text(file), file.parent.name)
            except PackageError:  # half written, or changed by hand
                continue
            parts.append(
                f"<p><b>{escape(card.title)}</b>, {escape(card.name)} {escape(card.version)}. Add it to the panel: "
                f"<code>mritranslate models add {escape(str(file.parent))}</code></p>\n"
            )
            parts.append(card_tables(card.scores))
        if (self._folder / NEIGHBOURS).is_file():
            caption = (
                "Is a generated picture a copy? Those that are closest to a training picture, beside it. Training "
                "pictures are not part of the package."
            )
            parts.append(self._inlined.figure(self._folder / NEIGHBOURS, caption))
        return "<h2>Exported package</h2>\n" + "".join(parts) if parts else ""

    def _data(self) -> str:
        """The split by subject, and how pairs lie on each other."""
        parts = []
        for part, names in self._split.items():
            if not isinstance(names, list):
                continue
            items = "".join(f"<li>{escape(str(name))}</li>" for name in names)
            is_open = " open" if len(names) <= 24 else ""
            parts.append(
                f"<details{is_open}><summary>{escape(str(part))}: {len(names)}</summary>\n"
                f'<ul class="names">{items}</ul></details>\n'
            )
        figures = sorted((self._folder / "alignment").glob("*.png"))
        drawn = []
        for file in figures[:_MOST_ALIGNMENTS]:
            picture = self._inlined.figure(file, file.stem)
            if not picture:
                break
            drawn.append(picture)
        if drawn:
            more = len(figures) - len(drawn)
            rest = f" {more} more in the run's folder alignment." if more else ""
            parts.append(
                "<h2>Alignment</h2>\n<p>Input, truth, both as a checkerboard, and the truth's edges on the input: "
                f"structures must go on across the squares, and edges lie on those of the input.{rest}</p>\n"
                '<div class="pictures">\n'
                f"{''.join(drawn)}</div>\n"
            )
        return "<h2>Subjects</h2>\n" + "".join(parts) if parts else ""

    def _settings(self) -> str:
        """The configuration: what people ask first, and the whole of it."""
        config = self._config
        rows = [
            ("Network", _network(config.get("network"))),
            ("Discriminator", _network(config.get("discriminator"))),
            ("Length", _length(config)),
            ("Learning rate", _joined(config, ("learning_rate", "schedule"))),
            ("Arithmetic", _joined(config, ("precision", "accelerator"))),
            ("Started from", config.get("init")),
            ("Licence of the weights", (self._about.get("licence") or {}).get("weights")),
        ]
        table = "".join(
            f"<tr><td>{escape(title)}</td><td>{escape(str(value))}</td></tr>\n" for title, value in rows if value
        )
        whole = escape(_read_text(self._folder / "config.yaml"))
        return (
            f'<h2>Configuration</h2>\n<table class="plain"><tbody>\n{table}</tbody></table>\n'
            f"<details><summary>config.yaml</summary>\n<pre>{whole}</pre></details>\n"
        )


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(_read_text(file))
    except yaml.YAMLError:  # changed by hand
        return {}
    return found if isinstance(found, dict) else {}


def _recipe(config: Path) -> str:
    """The command that config.yaml names in its first line."""
    command, _, recipe = _read_text(config).partition("\n")[0].rpartition(" ")
    return recipe if command == "# mritranslate-train" else ""


def _network(card: Any) -> str:
    if not isinstance(card, dict):
        return ""
    parameters = card.get("parameters") or {}
    return f"{card.get('name', '')} ({', '.join(f'{key} {value}' for key, value in parameters.items())})"


def _length(config: Mapping[str, Any]) -> str:
    keys = ("epochs", "steps_per_epoch", "batch_size")
    if not all(key in config for key in keys):
        return ""
    epochs, steps, batch = (config[key] for key in keys)
    return f"{epochs} epochs of {steps} steps, {batch} samples a step"


def _joined(config: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(str(config[key]) for key in keys if key in config)
