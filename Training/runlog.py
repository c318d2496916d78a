"""The log of a run, read back: curves by group and figure."""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Curve:
    """One figure over the run.

    Attributes:
        epochs: Epochs done at each value, rising.
        values: Finite ones only.
    """

    epochs: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def at(self, epoch: int) -> float | None:
        """The value of an epoch, if there is one."""
        return dict(zip(self.epochs, self.values, strict=True)).get(epoch)


Log = dict[str, dict[str, Curve]]
"""Curves by group and by figure."""


COLUMNS = ("epoch", "step", "group", "figure", "value")
"""Of log.csv."""


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of log.csv without those that a kill or a full disk cut short.

    Raises:
        OSError: It cannot be read.
    """
    with file.open(newline="", encoding="utf-8", errors="replace") as stream:
        return [row for row in csv.DictReader(stream) if _is_whole(row)]


def _is_whole(row: dict[str, str]) -> bool:
    try:
        int(row["epoch"]), int(row["step"]), float(row["value"])
        return bool(row["group"]) and bool(row["figure"])
    except (KeyError, TypeError, ValueError):
        return False


def read_log(file: Path) -> Log:
    """Read log.csv; where an epoch was logged twice, the later row holds.

    Raises:
        OSError: It cannot be read.
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in read_rows(file):
        found.setdefault((row["group"], row["figure"]), {})[int(row["epoch"])] = float(row["value"])
    log: Log = {}
    for (group, name), values in found.items():
        pairs = sorted((epoch, value) for epoch, value in values.items() if math.isfinite(value))
        log.setdefault(group, {})[name] = Curve([epoch for epoch, _ in pairs], [value for _, value in pairs])
    return log


def by_member(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Figures that are means with those of their members, such as "psnr" with "psnr p01" and "psnr p02".

    Returns:
        For each figure that stands for itself the names of its members' figures by member.
    """
    names = list(names)
    families: dict[str, dict[str, str]] = {name: {} for name in names}
    for name in names:
        # The shortest figure that begins the name: a member's name may have blanks in it.
        heads = [head for head in names if name.startswith(f"{head} ")]
        if heads:
            head = min(heads, key=len)
            families[head][name[len(head) + 1 :]] = name
            del families[name]
    return families
