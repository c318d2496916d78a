"""A figure of what generated pictures resemble most among the training pictures, for the eye to judge.

It shows pictures of people, so it belongs to the run's folder and never into a package.
"""

import numpy as np

from .quality import Quality
from .runfolder import RunFolder
from .samples import captioned, save_sheet

NAME = "neighbours.png"
_SHOWN, _COLUMNS = 18, 3


def save_neighbours(folder: RunFolder, quality: Quality, pictures: np.ndarray) -> None:
    """Draw the generated pictures that come closest to a training picture, each beside that one.

    Args:
        folder: Gets neighbours.png.
        quality: Knows training and held-back pictures.
        pictures: Generated: float32 (n, size, size) in [-1, 1].

    Raises:
        InputError: It cannot be written.
    """
    found = quality.neighbours(pictures)
    closest = found.distance.argsort(kind="stable")[:_SHOWN]
    pairs = [np.concatenate([pictures[index], found.pictures[index]], axis=1) for index in closest]
    captions = [
        f"difference {found.distance[index]:.3f}{' to the mirror image' if found.mirrored[index] else ''}"
        for index in closest
    ]
    made, real = found.distance, found.held_back
    title = (
        f"The {len(closest)} of {len(made)} generated pictures that are closest to a training picture; right of each "
        "that training picture or its mirror image.\n"
        f"Difference to it: generated pictures {made.min():.3f} at least, {np.median(made):.3f} in the median; "
        f"held-back pictures {real.min():.3f} at least, {np.median(real):.3f} in the median.\n"
        f"{int((made < real.min()).sum())} generated pictures are closer to a training picture than any held-back one. "
        "Root mean square, range -1 to 1, at 32 x 32 pixels."
    )
    sheet = captioned(pairs, captions, _COLUMNS, title)
    folder.save_drawing(NAME, lambda file: save_sheet(sheet, file))
