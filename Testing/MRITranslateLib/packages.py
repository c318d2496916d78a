"""Small model packages for tests: real files of real networks, and a card whose domain any head scan meets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from MRITranslateLib import files, networks
from MRITranslateLib.card import AnyCard, TranslationCard, parse_card
from MRITranslateLib.package import write_package

from .checkpoints import tiny_bert

State = dict[str, torch.Tensor]

_COMMON: dict[str, Any] = {
    "schema_version": 1,
    "version": "1.0.0",
    "licence": {"weights": "Apache-2.0", "data": "none: random weights"},
    "training": {
        "data": "none: random weights",
        "subjects": ["s1", "s2"],
        "validation_subjects": ["s3"],
        "epochs": 1,
        "steps": 10,
        "loss": "L1",
        "date": "2026-01-01",
    },
    "scores": [
        {"family": "phantom", "subjects": ["s3"], "protocol": "plain, whole volume", "metrics": {"psnr": 23.456}}
    ],
    "intended_use": "Tests of the software.",
    "limits": ["Its weights are random.", "It knows no lesions."],
}
CARD: dict[str, Any] = {
    **_COMMON,
    "name": "tiny",
    "title": "Tiny T1 to T2",
    "source": "T1",
    "target": "T2",
    "network": {"name": "resnet9", "parameters": {"width": 4, "blocks": 2}},
    "discriminator": {"name": "patchgan", "parameters": {"width": 4}},
    "grid": {"plane": "axial", "spacing_mm": [1.0, 1.0], "context": 1, "size_multiple": 16},
    "intensity": {"source": {"name": "foreground_median"}, "target": {"name": "foreground_median"}},
    "domain": {
        "field_of_view_mm": [[5, 600], [5, 600], [1, 600]],
        "spacing_mm": [[0.1, 12], [0.1, 12], [0.1, 12]],
    },
}
VOLUMES: dict[str, Any] = {
    "network": {"name": "resnet9", "parameters": {"width": 2, "blocks": 1, "dimensions": 3}},
    "discriminator": {"name": "patchgan", "parameters": {"width": 2, "layers": 2, "dimensions": 3}},
    "grid": {
        "dimensions": 3,
        "slice_spacing_mm": 2.0,
        "spacing_mm": [2.0, 2.0],
        "size_multiple": 8,
        "patch": [16, 16, 24],
    },
}
"""What makes a card one of a network of volumes."""
GENERATION: dict[str, Any] = {
    **_COMMON,
    "name": "tiny_noise",
    "title": "Tiny T1 slices",
    "task": "generation",
    "target": "T1",
    "network": {"name": "dcgan_generator", "parameters": {"latent": 6, "size": 16, "width": 4}},
    "discriminator": {"name": "dcgan_discriminator", "parameters": {"size": 16, "width": 4}},
    "picture": {"size": 16, "spacing_mm": 8.0},
}
CLASSIFICATION: dict[str, Any] = {
    **_COMMON,
    "name": "tiny_classes",
    "title": "Tiny findings",
    "task": "classification",
    "source": "CXR",
    "network": {"name": "resnet_classifier", "parameters": {"classes": 3, "channels": [4, 8]}},
    "picture": {"size": 32},
    "classes": ["normal", "effusion", "nodule"],
    "multi_label": True,
}
RADIOGRAPH: dict[str, Any] = {
    **_COMMON,
    "name": "tiny_report",
    "title": "Tiny reports to X-rays",
    "task": "radiograph",
    "target": "CXR",
    "network": {
        "name": "report_generator",
        "parameters": {"latent": 6, "features": 32, "size": 16, "width": 4, "text_width": 8},
    },
    "discriminator": {
        "name": "report_discriminator",
        "parameters": {"features": 32, "size": 16, "width": 4, "text_width": 8},
    },
    "picture": {"size": 16},
    "text": {"source": "a tiny BERT of random weights", "max_tokens": 64, "features": 32},
}
CARDS = {
    "translation": CARD,
    "generation": GENERATION,
    "classification": CLASSIFICATION,
    "radiograph": RADIOGRAPH,
}


def card(**changes: Any) -> TranslationCard:
    """The translation's card above with some top-level entries replaced."""
    made = any_card(**changes)
    assert isinstance(made, TranslationCard)
    return made


def any_card(task: str = "translation", **changes: Any) -> AnyCard:
    """The card above of a task with some top-level entries replaced."""
    return parse_card(json.dumps({**CARDS[task], **changes}), "tiny")


def random_state(name: str, parameters: dict[str, Any], seed: int = 1) -> State:
    """A network's fresh state moved a little, as training would."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = networks.build(name, parameters).state_dict()
        return {
            key: value + 0.05 * torch.randn_like(value) if value.is_floating_point() else value
            for key, value in state.items()
        }


def tiny_package_3d(folder: Path, **changes: Any) -> Path:
    """As `tiny_package`, with networks of volumes."""
    return tiny_package(folder, **(VOLUMES | changes))


def tiny_package(
    folder: Path,
    change: Callable[[dict[str, State]], None] | None = None,
    task: str = "translation",
    extra_files: dict[str, Path] | None = None,
    **changes: Any,
) -> Path:
    """Write a package with random weights to `folder`; `change` may alter its state dicts, `changes` its card.

    A radiograph's language model goes in as `extra_files`, see `language_model`.
    """
    made = any_card(task, **changes)
    states = {"weights": random_state(made.network.name, dict(made.network.parameters))}
    if made.discriminator is not None:
        states["discriminator"] = random_state(made.discriminator.name, dict(made.discriminator.parameters), 2)
    if change is not None:
        change(states)
    return write_package(folder, made, states, "Apache-2.0\n", "# Tiny\n\nFor tests.\n", extra_files)


def language_model(folder: Path, width: int = 32) -> dict[str, Path]:
    """A tiny BERT in `folder`, as the extra files of a package; its vectors have `width` features."""
    tiny_bert(folder, width=width)
    return {f"text/{file.name}": file for file in folder.iterdir() if f"text/{file.name}" in files.TEXT}
