"""A small package, and the same with a network that copies its input."""

import pytest

import MRITranslateLib as mt
from MRITranslateLib.package import Package

from .packages import tiny_package


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Package:
    return mt.load_package(tiny_package(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def identity(package, monkeypatch) -> Package:
    from .test_translate import Identity

    monkeypatch.setattr(Package, "generator", lambda self, device="cpu": Identity())
    return package
