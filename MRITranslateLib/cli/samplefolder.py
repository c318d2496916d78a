"""A folder of pictures that were made: a PNG file each, all of them as a volume, a contact sheet, and the facts."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..folders import new_folder

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

FACTS = "samples.json"
VOLUME = "synthetic.nii.gz"
SHEET = "contact_sheet.png"
_OURS = re.compile(r"synthetic_[\w.-]+\.png\Z")


@dataclass(frozen=True)
class Sample:
    """A picture and what is known of it.

    Attributes:
        name: Of its file: "synthetic_", then this.
        facts: Of this picture, for the table of facts.
        caption: For the contact sheet.
    """

    name: str
    facts: Mapping[str, Any]
    caption: str


def check_folder(folder: Path) -> None:
    """Refuse, before any work, a folder whose files would be lost: it is made, or replaced where it holds nothing but
    pictures of an earlier run.

    Raises:
        InputError: It holds other things, or cannot be written.
    """
    if folder.is_dir():
        others = [name for name in os.listdir(folder) if not (name in (FACTS, VOLUME, SHEET) or _OURS.match(name))]
        if others:
            raise InputError(f'"{folder}" holds other files ({others[0]}); choose a new folder.')
    elif folder.exists():
        raise InputError(f'"{folder}" is a file; give a folder.')
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f'The folder "{parent}" is not writable; choose another output.')


def write_samples(
    folder: Path,
    pictures: "np.ndarray",
    image: "sitk.Image",
    samples: Sequence[Sample],
    facts: Mapping[str, Any],
    title: str,
) -> None:
    """Write everything, or nothing.

    Args:
        folder: As of `check_folder`.
        pictures: (n, size, size) in [-1, 1].
        image: The same as the slices of a volume.
        samples: What is known of each.
        facts: Of all of them; "provenance" goes into every file too.
        title: Of the contact sheet.

    Raises:
        InputError: The disk is full, or the folder has become unwritable.
    """
    from ..contactsheet import contact_sheet
    from ..picture import to_bytes, write_picture
    from ..volume import write_volume

    texts = dict(facts["provenance"])
    listed = []
    with new_folder(folder.absolute()) as temporary:
        for sample, picture in zip(samples, to_bytes(pictures), strict=True):
            name = f"synthetic_{sample.name}.png"
            write_picture(picture, temporary / name, texts)
            listed.append({"file": name, **sample.facts})
        write_volume(image, temporary / VOLUME)
        write_picture(contact_sheet(pictures, [sample.caption for sample in samples], title), temporary / SHEET, texts)
        (temporary / FACTS).write_text(json.dumps({**facts, "samples": listed}, indent=2) + "\n", encoding="utf-8")
