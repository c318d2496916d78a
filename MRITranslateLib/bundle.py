"""A translation package as a MONAI bundle (https://docs.monai.io/en/stable/mb_specification.html), for MONAI's tools.

One way only: the configuration of a bundle names code and holds expressions that MONAI evaluates, so none is ever read
here. For the same reason nothing that a card says may become such an expression: texts of the card stand behind words
of our own, and names of scores are reduced to letters and digits.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from torch import nn

from . import __version__, files
from .card import TranslationCard, parse_card
from .catalog import read_card_text
from .errors import InputError, PackageError
from .folders import new_folder
from .inference import pick_device
from .modality import modality
from .package import Package
from .translate import translate
from .volume import read_volume, write_volume

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_EVALUATED = ("$", "@", "%")
"""What MONAI's configuration does not take for plain text."""
_USE = """
## Use with MONAI

The network is MRITranslate's, which must be installed. In Python:

```python
from monai.bundle import load
network = load("{name}", bundle_dir="FOLDER THAT HOLDS {name}", workflow_type="inference").eval()
```

It takes and gives network units. To translate all .nii.gz files of a folder, in their own space and unit:

```python
from monai.bundle import run
root = "{name}"
run(config_file=f"{{root}}/configs/inference.json", bundle_root=root, dataset_dir="SCANS", output_dir="RESULTS")
```
"""


def export_bundle(package: Package, folder: str | os.PathLike[str]) -> Path:
    """Write a translation package as a MONAI bundle, in one step.

    The bundle holds configs/metadata.json, configs/inference.json, configs/model.json (the card), models/model.pt (the
    generator's state dictionary, float32), docs/README.md and LICENSE.

    Args:
        package: A checked package.
        folder: Of the bundle; it must not exist, or be empty.

    Returns:
        Its absolute path.

    Raises:
        InputError: The package does not translate, or the folder is not empty or cannot be written.
        PackageError: A text of the card would be evaluated by MONAI.
    """
    target = Path(folder).absolute()
    card = package.translation_card()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f'"{target}" exists and is not empty; choose another folder for the bundle.')
    for value in card.network.parameters.values():
        if isinstance(value, str) and value.startswith(_EVALUATED):
            raise PackageError(
                f'A parameter of the network of "{card.name}" is no plain text; do not use this package.'
            )
    state = package.generator().state_dict()
    readme = (package.folder / files.README).read_text(encoding="utf-8").rstrip()
    with new_folder(target) as temporary:
        for name in ("configs", "models", "docs"):
            (temporary / name).mkdir()
        for name, content in (
            ("configs/metadata.json", json.dumps(_metadata(card), indent=2)),
            ("configs/inference.json", json.dumps(_inference(card), indent=2)),
            ("configs/model.json", read_card_text(package.folder)),
            ("docs/README.md", f"{readme}\n{_USE.format(name=target.name)}"),
            ("LICENSE", (package.folder / files.LICENCE).read_text(encoding="utf-8")),
        ):
            (temporary / name).write_text(content.rstrip() + "\n", encoding="utf-8", newline="\n")
        torch.save({key: tensor.cpu() for key, tensor in state.items()}, temporary / "models" / "model.pt")
    return target


class BundleTranslator:
    """What an exported bundle calls its evaluator: translates files exactly as `translate` does.

    Args:
        network: The generator with its weights.
        inferer: Called with a batch and the network, as MONAI's inferers are.
        dataset: Items with the path of a volume as "image".
        card_file: The package's card.
        output_dir: Folder for the synthetic volumes, which keep the names of the files.
        device: As of `translate`.
    """

    def __init__(
        self,
        network: nn.Module,
        inferer: Callable[[torch.Tensor, nn.Module], torch.Tensor],
        dataset: Sequence[dict[str, Any]],
        card_file: str,
        output_dir: str,
        device: str = "auto",
    ) -> None:
        self._package = _BundledPackage(_Inferred(network, inferer), Path(card_file))
        self._dataset, self._output, self._device = dataset, Path(output_dir), device

    def run(self) -> list[Path]:
        """Translate every file.

        Returns:
            The files written.

        Raises:
            InputError: There is no file, or one cannot be translated; the sentence says what to do.
        """
        if not len(self._dataset):
            raise InputError("There is no volume to translate; give a folder with .nii.gz files as dataset_dir.")
        self._output.mkdir(parents=True, exist_ok=True)
        written = []
        for item in self._dataset:
            source = Path(str(item["image"]))
            target = self._output / source.name
            if target.resolve() == source.resolve():
                raise InputError(f'"{target}" is an input; give another output_dir.')
            result = translate(read_volume(source), self._package, device=pick_device(self._device))
            write_volume(result.image, target)
            written.append(target)
        return written


class _Inferred(nn.Module):
    """A network seen through an inferer."""

    def __init__(self, network: nn.Module, inferer: Callable[[torch.Tensor, nn.Module], torch.Tensor]) -> None:
        super().__init__()
        self.network, self._inferer = network, inferer

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self._inferer(batch, self.network)


class _BundledPackage(Package):
    """A package whose network MONAI has loaded already."""

    def __init__(self, network: nn.Module, card_file: Path) -> None:
        self.folder = card_file.parent
        self.card = parse_card(card_file.read_text(encoding="utf-8"), card_file.parents[1].name)
        self._generator = network.eval().requires_grad_(False)

    def generator(self, device: str | torch.device = "cpu") -> nn.Module:
        return self._generator.to(device)


def _inference(card: TranslationCard) -> dict[str, Any]:
    """The inference workflow, in MONAI's configuration language; every expression in it is written here."""
    root = "os.path.abspath(@bundle_root)"
    return {
        "imports": ["$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "MRITranslateLib.networks.build",
            "name": card.network.name,
            "parameters": card.network.parameters,
        },
        "network": {
            "_target_": "monai.bundle.load",
            "name": f"$os.path.basename({root})",
            "bundle_dir": f"$os.path.dirname({root})",
            "model": "@network_def",
            "device": "$str(@device)",
        },
        "dataset": {
            "_target_": "monai.data.Dataset",
            "data": "$[{'image': path} for path in sorted(glob.glob(os.path.join(@dataset_dir, '*.nii.gz')))]",
        },
        "inferer": {"_target_": "monai.inferers.SimpleInferer"},
        "evaluator": {
            "_target_": "MRITranslateLib.bundle.BundleTranslator",
            "network": "@network",
            "inferer": "@inferer",
            "dataset": "@dataset",
            "card_file": "$@bundle_root + '/configs/model.json'",
            "output_dir": "@output_dir",
            "device": "$str(@device)",
        },
        "run": ["$@evaluator.run()"],
    }


def _metadata(card: TranslationCard) -> dict[str, Any]:
    """What MONAI's specification asks for, from the card."""
    source, target = modality(card.source), modality(card.target)
    grid, reach = card.grid, card.grid.context // 2
    shape = [f"{grid.size_multiple} * n"] * 2 if grid.patch is None else list(grid.patch)
    tensor = {
        "type": "image",
        "format": "magnitude",
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": grid.patch is not None,
    }
    channels = [f"{source.title}, {grid.plane} slices"]
    if grid.patch is None:
        channels = [f"{source.title}, {grid.plane} slice {offset:+d}" for offset in range(-reach, reach + 1)]
    return {
        "schema": _SCHEMA,
        "version": card.version,
        "changelog": {card.version: f"exported from the MRITranslate package {card.name}"},
        "monai_version": monai.__version__,
        "pytorch_version": str(torch.__version__).partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"mritranslate": __version__},
        "name": f"MRITranslate: {card.title}",
        "task": f"Translation of {source.title} to {target.title}",
        "description": f"A network that makes synthetic {target.title} of {source.title}. It sees and gives network "
        f"units: -1 is no signal, configs/model.json says how intensities become such. Limits: {' '.join(card.limits)}",
        "authors": "see docs/README.md and LICENSE",
        "copyright": f"Licence of the weights: {card.licence.weights}",
        "intended_use": f"Research tool. Not for diagnosis. {card.intended_use}",
        "data_source": f"Trained on: {card.training.data} Licence: {card.licence.data}",
        "data_type": "NIfTI",
        "image_classes": f"{source.title} in network units",
        "pred_classes": f"synthetic {target.title} in network units",
        "eval_metrics": _scores(card),
        "network_data_format": {
            "inputs": {
                "image": {
                    **tensor,
                    "modality": source.kind,
                    "num_channels": grid.context,
                    "channel_def": {str(index): name for index, name in enumerate(channels)},
                }
            },
            "outputs": {
                "pred": {
                    **tensor,
                    "modality": target.kind,
                    "num_channels": 1,
                    "channel_def": {"0": f"synthetic {target.title}"},
                }
            },
        },
    }


def _scores(card: TranslationCard) -> dict[str, float]:
    """The scores of all families of images, by names without signs that mean something to MONAI; what was measured of
    one family in several parts is told apart by the subjects."""
    families = Counter(score.family for score in card.scores)
    return {
        re.sub(r"[^A-Za-z0-9]+", "_", " ".join(("score", score.family, *parts, key))): value
        for score in card.scores
        for parts in ([score.subjects] if families[score.family] > 1 else [[]])
        for key, value in score.metrics.items()
    }
