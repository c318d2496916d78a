"""Who made an image, from what: the facts that go with every result, and with every file of it."""

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import SimpleITK as sitk
import torch

if TYPE_CHECKING:
    from .package import Package

NOTICE = "SYNTHETIC image from a research tool - not for diagnosis"
PREFIX = "MRITranslate."
"""Of the keys of an image's metadata, as of the attributes of Slicer's nodes."""
_NOTES = "ITK_FileNotes"
"""What ITK writes into the one text that a NIfTI file has, "descrip"."""
_LONGEST_NOTE = 79


def provenance(package: "Package", device: str) -> dict[str, str]:
    """Model, software, date and notice: strings for node attributes and sidecar files."""
    card = package.card
    return {
        "model": card.name,
        "version": card.version,
        "weights_sha256": package.weights_sha256,
        **{key: getattr(card, key) for key in ("source", "target") if hasattr(card, key)},
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "notice": NOTICE,
    }


def marked(image: sitk.Image, facts: dict[str, str]) -> sitk.Image:
    """The image with its provenance as metadata, which a file takes along: .nrrd and .mha all of it, NIfTI the notice
    and the model in its 79 letters of description."""
    for key, text in facts.items():
        image.SetMetaData(PREFIX + key, text)
    note = f"SYNTHETIC, not for diagnosis: {facts.get('target', 'image')} by {facts['model']} {facts['version']}"
    image.SetMetaData(_NOTES, note[:_LONGEST_NOTE])
    return image
