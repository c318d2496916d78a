"""The host in the test's process, with an empty scene for each test."""

import pathlib

import pytest

from Testing.host import application

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
MANNERS = REPOSITORY.parent / "shared" / "manners"

# Before the test files are imported, for they import `qt` and `slicer` as any script does.
HOST = application.start()


@pytest.fixture(scope="session")
def host():
    return HOST


@pytest.fixture
def scene(host):
    import slicer

    slicer.mrmlScene.Clear()
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear()


@pytest.fixture
def faults(host):
    """The collected warnings and slot errors, emptied before and after: what a test provokes is its own business."""
    host.warnings.clear()
    host.slot_errors.clear()
    yield host
    host.warnings.clear()
    host.slot_errors.clear()
