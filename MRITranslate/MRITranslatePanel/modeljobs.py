"""Checking, adding, downloading and removing models, as jobs (see `jobs`). None of them touches the scene."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Optional

from slicer.i18n import tr as _

from MRITranslateLib.errors import InputError


class Verified(typing.NamedTuple):
    """Whether a model is complete and unaltered.

    Attributes:
        name: Of the model.
        ok: Whether it is.
        sentence: For people; of a broken one what is wrong and what to do.
    """

    name: str
    ok: bool
    sentence: str


class _ModelJob:
    """What these jobs share.

    Attributes:
        touchesScene: Closing the scene stops no download.
        needsPackages: Whether the worker needs more than Slicer brings along.
    """

    touchesScene = False
    needsPackages = True

    def nodes(self) -> list:
        return []

    def check(self) -> None:
        """Nothing can be wrong before the worker looks."""


@dataclasses.dataclass(frozen=True)
class VerifyJob(_ModelJob):
    """Check a model completely: card, hashes, tensors, values.

    Attributes:
        name: Of the model, or None for all.
    """

    name: Optional[str] = None
    REQUEST = "verify"

    def params(self, folder) -> dict:
        return {"model": self.name}

    def deliver(self, result: dict, folder: str, additions) -> list:
        return [Verified(found["name"], found["ok"], found["sentence"]) for found in result["models"]]


@dataclasses.dataclass(frozen=True)
class AddModelJob(_ModelJob):
    """Check a package and copy it into the user's folder of models; the outcome is its name.

    Attributes:
        path: Its folder, the model.json in it, or a .zip file.
    """

    path: str
    REQUEST = "add_model"

    def check(self) -> None:
        if not self.path:
            raise InputError(_("Choose the .zip file of a model package, or its model.json."))

    def params(self, folder) -> dict:
        return {"source": self.path}

    def deliver(self, result: dict, folder: str, additions) -> str:
        return result["name"]


@dataclasses.dataclass(frozen=True)
class RemoveModelJob(_ModelJob):
    """Delete a model from the user's folder; the outcome is its name.

    Attributes:
        name: Of the model.
    """

    name: str
    needsPackages = False
    REQUEST = "remove_model"

    def params(self, folder) -> dict:
        return {"name": self.name}

    def deliver(self, result: dict, folder: str, additions) -> str:
        return result["name"]


@dataclasses.dataclass(frozen=True)
class CatalogueJob(_ModelJob):
    """Fetch what a catalogue offers; the outcome is a list of entries (see MRITranslateLib.download.Entry) as records.

    Attributes:
        address: Of the catalogue, https://...
    """

    address: str
    needsPackages = False
    REQUEST = "catalogue"

    def check(self) -> None:
        if not self.address:
            raise InputError(_("The address of the catalogue is missing; ask who publishes models for it."))

    def params(self, folder) -> dict:
        return {"address": self.address}

    def deliver(self, result: dict, folder: str, additions) -> list:
        return result["entries"]


@dataclasses.dataclass(frozen=True)
class DownloadJob(_ModelJob):
    """Download a model and add it; the outcome is its name. What broke off or was cancelled before is resumed.

    Attributes:
        entry: One of a catalogue.
    """

    entry: Any
    REQUEST = "download"

    def params(self, folder) -> dict:
        return {"entry": self.entry}

    def deliver(self, result: dict, folder: str, additions) -> str:
        return result["name"]
