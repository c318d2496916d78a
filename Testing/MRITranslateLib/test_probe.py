"""Networks that explanations cannot trust are refused when a package is opened."""

import pytest
import torch
from torch import nn

from MRITranslateLib import networks, probe
from MRITranslateLib.card import NetworkCard
from MRITranslateLib.errors import PackageError
from MRITranslateLib.package import Package
from Testing.MRITranslateLib.packages import tiny_package


class InPlace(networks.ResNet9):
    """A network of the registry with one activation that overwrites what a hook has kept."""

    def __init__(self, width: int = 4, blocks: int = 1) -> None:
        super().__init__(width=width, blocks=blocks)
        self.up.append(nn.LeakyReLU(0.1, inplace=True))


def test_in_place_activations_are_refused_at_load(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(networks._REGISTRY, "careless", InPlace)
    with pytest.raises(PackageError, match="in-place activations, which falsify explanations"):
        probe.build(NetworkCard(name="careless"), "tiny")
    folder = tiny_package(tmp_path / "tiny", network={"name": "resnet9", "parameters": {"width": 4, "blocks": 1}})
    Package(folder)
    monkeypatch.setitem(networks._REGISTRY, "resnet9", InPlace)
    with pytest.raises(PackageError, match="in-place"):
        Package(folder).verify()
    with pytest.raises(PackageError, match="in-place"), torch.device("meta"):
        probe._run.__wrapped__('{"name": "careless"}', "tiny", ((2, 1, 128, 128),))
