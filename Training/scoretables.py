"""Tables of a translator's measured scores, for a terminal and for a document."""

from collections.abc import Sequence

from MRITranslateLib.card import TranslationCard

from .data.index import family_of
from .measures import means
from .recompute import Case, Check

_COLUMNS = {
    "MR": (
        ("PSNR", "psnr", 2),
        ("affine", "psnr_affine", 2),
        ("oracle", "psnr_oracle", 2),
        ("gain", "psnr_gain", 2),
        ("SSIM", "ssim_affine", 3),
        ("through plane", "through_plane", 2),
    ),
    "CT": (("MAE, HU", "mae", 1), ("PSNR", "psnr", 2), ("SSIM", "ssim", 3), ("bone Dice", "bone_dice", 3)),
}
"""Heading, figure and digits."""
_COMPARED = {"MR": (("psnr_affine", 2), ("ssim_affine", 3)), "CT": (("mae", 1), ("bone_dice", 3))}
"""What is told of a yardstick."""
_NONE = "-"

Table = list[list[str]]


def table(card: TranslationCard, checks: Sequence[Check]) -> Table:
    """A heading, a row for each subject, and the mean over families of the means over their subjects."""
    kind = "CT" if card.target == "CT" else "MR"
    cases = [case for check in checks for case in check.cases]
    names = list(dict.fromkeys(name for case in cases for name in case.yardsticks))
    marked = {id(case) for check in checks if check.differences for case in check.cases}
    compared = " / ".join(["PSNR", "SSIM"] if kind == "MR" else ["MAE", "Dice"])
    heading = ["family", "subject", *(heading for heading, _, _ in _COLUMNS[kind])]
    rows = [heading + [f"{name}, {compared}" for name in names]]
    for case in cases:
        mark = " !" if id(case) in marked else ""
        rows.append([case.family, case.subject + mark, *_figures(kind, case.values, case.yardsticks, names)])
    if len(cases) > 1:
        values, yardsticks = _over_families(cases, names)
        rows.append(["mean", "of families", *_figures(kind, values, yardsticks, names)])
    return rows


def as_text(rows: Table) -> str:
    """Aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = 2  # columns of names

    def line(row: list[str]) -> str:
        return "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()

    return "\n".join(map(line, rows))


def as_markdown(rows: Table) -> str:
    """A table of a Markdown document."""
    rule = ["---", "---", *["---:"] * (len(rows[0]) - 2)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))


def _figures(
    kind: str, values: dict[str, float], yardsticks: dict[str, dict[str, float]], names: Sequence[str]
) -> list[str]:
    own = [_number(values, name, digits) for _, name, digits in _COLUMNS[kind]]
    others = [
        " / ".join(_number(yardsticks[name], figure, digits) for figure, digits in _COMPARED[kind])
        if name in yardsticks
        else _NONE
        for name in names
    ]
    return own + others


def _number(values: dict[str, float], name: str, digits: int) -> str:
    return f"{values[name]:.{digits}f}" if name in values else _NONE


def _over_families(cases: Sequence[Case], names: Sequence[str]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    families: dict[str, list[Case]] = {}
    for case in cases:
        families.setdefault(family_of(case.subject), []).append(case)
    values = means([means([case.values for case in family]) for family in families.values()])
    yardsticks = {}
    for name in names:
        having = [[case.yardsticks[name] for case in family if name in case.yardsticks] for family in families.values()]
        yardsticks[name] = means([means(found) for found in having if found])
    return values, yardsticks
