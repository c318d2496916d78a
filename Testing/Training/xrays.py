"""Drawn radiographs with reports that say what was drawn: which lung is opaque, and how large the heart is."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SIDES = ("left", "right", "no")
SIZES = ("normal", "enlarged")


def draw(side: str, size: str, rng: np.random.Generator, pixels: int = 48) -> np.ndarray:
    """A picture, uint8 (pixels, pixels): grey body, dark lungs, a bright heart, an opacity where the report says."""
    y, x = np.mgrid[0:pixels, 0:pixels] / pixels
    picture = np.full((pixels, pixels), 120.0)
    for name, centre in (("right", 0.3), ("left", 0.7)):
        lung = ((x - centre) / 0.16) ** 2 + ((y - 0.5) / 0.34) ** 2 < 1
        picture[lung] = 170.0 if name == side else 40.0
    radius = 0.1 if size == "normal" else 0.2
    picture[((x - 0.55) / radius) ** 2 + ((y - 0.65) / 0.14) ** 2 < 1] = 220.0
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def report(side: str, size: str, number: int) -> str:
    """What a drawing shows."""
    lungs = "The lungs are clear" if side == "no" else f"Opacity in the {side} lung"
    return f"{lungs}. The heart is {size}. Case {number % 7}."


def write_xrays(folder: Path, count: int = 24) -> Path:
    """`count` drawings of half as many patients, and reports.csv; returns the folder."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "reports.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "patient", "text", "kind", "licence", "finding"])
        for number in range(count):
            side, size = SIDES[number % 3], SIZES[number % 2]
            name = f"x{number:02d}.png"
            Image.fromarray(draw(side, size, rng)).save(folder / name)
            kind = "note" if number % 4 else "caption"
            licence = "CC BY 4.0" if number % 4 else "CC BY-NC-SA 4.0"
            found = [f"{side} opacity"] * (side != "no") + ["cardiomegaly"] * (size == "enlarged")
            finding = ", ".join(found) or "No Finding"
            writer.writerow([name, f"p{number // 2}", report(side, size, number), kind, licence, finding])
    return folder
