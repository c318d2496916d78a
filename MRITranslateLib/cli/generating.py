"""`mritranslate generate`, pictures from noise, and `mritranslate xray`, chest X-rays from reports."""

import math
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .samplefolder import Sample, check_folder, write_samples
from .shared import Device, Json, Model, check_file, check_outputs, progress_bar, read, report, say, write

if TYPE_CHECKING:
    from ..package import Package
    from ..radiograph import Radiograph
    from ..reports import Report

Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Another seed makes other pictures; the same one these.")]
Yes = Annotated[bool, typer.Option("--yes", help="Make more than 10,000 pictures.")]
_STEM = re.compile(r"[^\w.-]+")


def generate(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the pictures.")],
    model: Model = "brain_mri",
    count: Annotated[int, typer.Option("--count", "-n", help="Number of pictures.")] = 16,
    seed: Seed = 1,
    truncation: Annotated[
        float | None,
        typer.Option(help="From 2 down to 0.5: more usual pictures, more alike. [default: none]", show_default=False),
    ] = None,
    towards: Annotated[
        int | None, typer.Option(min=0, help="Another seed: the pictures on the way from one to the other.")
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(metavar="FIGURE.png", help="Draw what looks real to the model's discriminator, on average."),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(help="With --explain: real images to show beside, a folder of pictures or a volume."),
    ] = None,
    yes: Yes = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make pictures from noise: PNG files, a NIfTI stack, a contact sheet, and samples.json. None shows a person."""
    check_folder(output)
    if real is not None and explain is None:
        raise InputError("--real needs --explain, the figure to draw.")
    check_file(explain, ".png")
    started = time.perf_counter()
    from ..generate import generate as run
    from ..package import load_package

    package = load_package(model)
    beside = None if real is None else _real_images(real, package)
    with progress_bar(not as_json) as progress:
        made = run(package, count, seed, truncation, towards, device, yes, progress)
    samples = [
        Sample(
            f"{number:0{max(4, len(str(count)))}d}",
            {"realism": None if not made.realism else round(made.realism[number - 1], 4)},
            f"{number}" if not made.realism else f"{number}: {made.realism[number - 1]:+.1f}",
        )
        for number in range(1, count + 1)
    ]
    facts: dict[str, Any] = {"model": package.card.name, "count": count, "seed": seed}
    facts |= {"truncation": truncation, "towards": towards, "provenance": made.provenance, "warnings": made.warnings}
    about = "" if truncation is None else f", truncation {truncation:g}"
    way = "" if towards is None else f" to {towards}"
    title = f"{package.card.title}: seed {seed}{way}{about} (below each: realism logit)"
    write_samples(output, made.pictures, made.image, samples, facts, title)
    shares = {}
    if explain is not None:
        shares = _explain_generator(package, beside, count, seed, explain, device, not as_json)
    facts |= {"output": str(output), "explained": shares, "seconds": round(time.perf_counter() - started, 3)}
    report(facts, as_json, f"{count} synthetic pictures from noise: {output}")


def xray(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="A .png file for one X-ray; a volume (.nii.gz, ...) or a folder for any."),
    ],
    model: Model = "chest_xray",
    text: Annotated[str | None, typer.Option(help="What the X-ray shows.", show_default=False)] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="The report: plain text (.txt), Open-i (.xml), or a table with a report a row (.csv).",
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Number of X-rays of each report.")] = 1,
    seed: Seed = 1,
    text_encoder: Annotated[
        str | None,
        typer.Option(
            help="Folder of a BERT, or its name in the cache of Hugging Face such as emilyalsentzer/Bio_ClinicalBERT, "
            "for a model that comes without its own."
        ),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Show which words mattered, as coloured text (one report)."),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", help="Explain this class of the classifier rather than the match with the report."),
    ] = None,
    classifier: Annotated[str, typer.Option(help="With --class: a classification model.")] = "chest_findings",
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="The X-ray, its heat maps and the words in one picture (one report)."),
    ] = None,
    yes: Yes = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make synthetic chest X-rays of what a report says. None shows a person; findings may be missing or invented."""
    if (text is None) == (from_file is None):
        raise InputError("Give the report by exactly one of --text and --report.")
    if class_name is not None and words is None and figure is None:
        raise InputError("--class needs --words or --figure, the file to write.")
    started = time.perf_counter()
    from ..reports import Report, one_line, read_reports

    reports = [Report("report", one_line(text))] if text is not None else read_reports(from_file or "")
    kind = _kind(output, count * len(reports))
    if kind == "folder":
        check_folder(output)
    check_outputs([from_file], [output] if kind == "volume" else [])
    if len(reports) > 1 and (words is not None or figure is not None):
        raise InputError("--words and --figure explain one report; give a file with one.")
    check_file(figure, ".png")
    check_file(words, ".html")
    from ..generate import check_many
    from ..package import load_package
    from ..radiograph import radiograph

    check_many(count * len(reports), yes)
    package = load_package(model)
    made: list[Radiograph] = []
    with progress_bar(not as_json) as progress:
        for number, one in enumerate(reports):
            start, share = number / len(reports), 1 / len(reports)
            made.append(
                radiograph(
                    one.text,
                    package,
                    seed,
                    count,
                    text_encoder,
                    device,
                    yes,
                    lambda fraction, *rest, start=start, share=share: progress(start + share * fraction, *rest),
                )
            )
    facts: dict[str, Any] = {
        "output": str(output),
        "model": package.card.name,
        "count": count * len(reports),
        "seed": seed,
        "realism": [round(value, 4) for one in made for value in one.realism],
        "match": [round(value, 4) for one in made for value in one.match],
        "warnings": _warnings(reports, made),
        "provenance": made[0].provenance,
    }
    _write_xrays(kind, output, package, reports, made, facts)
    if words is not None or figure is not None:
        facts["words"] = _explain_xray(
            package, reports[0], made[0], (classifier, class_name), seed, text_encoder, device, words, figure
        )
    facts["seconds"] = round(time.perf_counter() - started, 3)
    report(facts, as_json, f"Synthetic chest X-ray{'s' if len(facts['match']) > 1 else ''} from a report: {output}")
    if not as_json and made[0].match:
        _say_verdict(facts)


def _kind(output: Path, count: int) -> str:
    """What to write: "picture", "volume" or "folder"."""
    from ..volume import WRITABLE

    name = output.name.lower()
    if name.endswith(".png"):
        if count > 1:
            raise InputError(f'"{output.name}" has room for one X-ray; for {count} give a folder, or a .nii.gz file.')
        check_file(output, ".png")
        return "picture"
    if name.endswith(WRITABLE):
        return "volume"
    if output.suffix and not output.is_dir():
        raise InputError(f'"{output.name}" must end with .png or {", ".join(WRITABLE)}, or be a folder.')
    return "folder"


def _write_xrays(
    kind: str,
    output: Path,
    package: "Package",
    reports: "list[Report]",
    made: "list[Radiograph]",
    facts: dict[str, Any],
) -> None:
    import numpy as np

    from ..picture import to_bytes, write_picture
    from ..pictures import stacked

    if kind == "picture":
        write_picture(to_bytes(made[0].pictures[0]), output, made[0].provenance)
        return
    pictures = np.concatenate([one.pictures for one in made])
    image = stacked(pictures, package.card.picture)  # type: ignore[union-attr]
    if kind == "volume":
        write(image, output)
        return
    samples = []
    for row, (one, its) in enumerate(zip(reports, made, strict=True)):
        stem = (_STEM.sub("_", one.name).strip("._") or f"row{row + 2}")[:60]
        for number in range(len(its.pictures)):
            told: dict[str, Any] = {"report": one.name, "report_sha256": its.provenance["report_sha256"]}
            caption = f"{one.name[:16]} {number + 1}"
            if its.match:
                told |= {"realism": round(its.realism[number], 4), "match": round(its.match[number], 4)}
                caption += f"  match {its.match[number]:+.1f}"
            samples.append(Sample(f"{row + 1:03d}_{stem}_{number + 1:02d}", told, caption))
    title = f"{package.card.title}: seed {facts['seed']}"
    write_samples(output, pictures, image, samples, facts, title)


def _explain_xray(
    package: "Package",
    one: "Report",
    made: "Radiograph",
    asked: tuple[str, str | None],
    seed: int,
    text_encoder: str | None,
    device: str,
    words: Path | None,
    figure: Path | None,
) -> list[dict[str, Any]]:
    from ..package import load_package
    from ..words import explain_words

    judge = None if asked[1] is None else load_package(asked[0])
    found = explain_words(one.text, package, None, judge, asked[1], seed, text_encoder, device)
    if words is not None:
        from ..xrayfigure import words_page

        _write_text(words_page(found, package.card.title), words)
    if figure is not None:
        from ..xrayfigure import xray_figure

        xray_figure(one.text, made, package, found, figure, judge, asked[1], text_encoder, device)
    return [{"word": word.text, "score": round(word.score, 4)} for word in found.strongest(10)]


def _explain_generator(
    package: "Package", real: Any, count: int, seed: int, figure: Path, device: str, shown: bool
) -> dict[str, Any]:
    from ..selfexplain import explain_generator
    from ..selfexplainfigure import selfexplain_figure

    with progress_bar(shown) as progress:
        found = explain_generator(package, real, count, seed, device=device, progress=progress)
    selfexplain_figure(found, figure)
    for warning in found.warnings:
        say(f"Warning: {warning}")
    sides = {"generated": found.generated, "real": found.real}
    return {
        name: {part: _finite(asdict(share)) for part, share in side.shares.items()}
        for name, side in sides.items()
        if side is not None
    }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN, which the shares are where no picture has any heat."""
    return {key: round(value, 4) if math.isfinite(value) else None for key, value in values.items()}


def _real_images(path: Path, package: "Package") -> Any:
    """A volume, or the pictures of a folder as the model saw such ones in training."""
    from ..picture import EXTENSIONS, prepare_picture, read_picture

    if not path.is_dir() or not (files := sorted(file for file in path.iterdir() if file.suffix.lower() in EXTENSIONS)):
        return read(path)
    import numpy as np

    return np.stack([prepare_picture(read_picture(file), package.card.picture.size) for file in files])  # type: ignore[union-attr]


def _warnings(reports: "list[Report]", made: "list[Radiograph]") -> list[str]:
    """Each with the report it belongs to, where there are several."""
    if len(reports) == 1:
        return list(made[0].warnings)
    return [f"{one.name}: {warning}" for one, its in zip(reports, made, strict=True) for warning in its.warnings]


def _say_verdict(facts: dict[str, Any]) -> None:
    matching = sum(value > 0 for value in facts["match"])
    typer.echo(
        f"Of {len(facts['match'])} the model's own judge finds {matching} to match the report; "
        "that is no evidence that the findings are there."
    )
    for word in facts.get("words", [])[:5]:
        typer.echo(f"{word['word']:24} {word['score']:+.3f}")


def _write_text(text: str, path: Path) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f'"{path}" could not be written ({error.strerror}); choose another output.') from None
