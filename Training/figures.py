"""What people should know of a figure in the log: its title, its unit, and which way is better."""

from dataclasses import dataclass

from MRITranslateLib.modality import MODALITIES


@dataclass(frozen=True)
class Figure:
    """How a figure is shown.

    Attributes:
        title: For people, without unit.
        unit: "" for none.
        better: "higher", "lower", or "" where neither is.
        digits: After the point; None shows four significant ones.
        factor: Of the logged value.
    """

    title: str
    unit: str = ""
    better: str = ""
    digits: int | None = None
    factor: float = 1.0

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def text(self, value: float | None) -> str:
        """A value without its unit."""
        if value is None:
            return "–"
        value *= self.factor
        return f"{value:.4g}" if self.digits is None else f"{value:.{self.digits}f}"


_KNOWN = {
    "psnr": Figure("PSNR", "dB", "higher", 2),
    "ssim": Figure("SSIM", "", "higher", 3),
    "mae": Figure("MAE", "% of full scale", "lower", 2, 100.0),
    "dice": Figure("Dice", "", "higher", 3),
    "fid": Figure("FID", "", "lower", 2),
    "kid": Figure("KID", "", "lower", 4),
    "share of waiting for data": Figure("Waiting for data", "%", "lower", 1, 100.0),
    "images per second": Figure("Speed", "images/s", "higher"),
}
_HOUNSFIELD = Figure("MAE", "HU", "lower", 1)


def describe(name: str, target: str | None) -> Figure:
    """The figure of a name in the log, such as "psnr", "dice_bone" or "T1 to CT mae".

    Args:
        name: In the log.
        target: Modality that the run's first network makes, where it makes one.
    """
    if name in _KNOWN and not (name == "mae" and target == "CT"):
        return _KNOWN[name]
    way, _, figure = name.rpartition(" ")
    if way and way.split()[-1] in MODALITIES:
        known = describe(figure, way.split()[-1])
        return Figure(f"{way}: {known.title}", known.unit, known.better, known.digits, known.factor)
    if name == "mae":
        return _HOUNSFIELD
    if name.startswith("dice_"):
        return Figure(f"Dice, {name.removeprefix('dice_')}", "", "higher", 3)
    return Figure(name)
