"""Who made an image, from what: the facts that go with every result."""

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .package import Package

NOTICE = "SYNTHETIC image from a research tool - not for diagnosis"


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
