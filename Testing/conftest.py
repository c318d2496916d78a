"""Coverage counts the engine and the training; what runs Slicer's side is left to run at its own speed."""

import os
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

UNCOUNTED = {"MRITranslate", "host"}
"""Folders whose tests drive the panel: tracing Python costs them more than half of their time, and what they reach of
the engine its own tests reach."""
CHILDREN = "COVERAGE_PROCESS_CONFIG"
"""By this variable coverage begins in child processes."""


@pytest.fixture(scope="module", autouse=True)
def coverage_where_it_counts(request: pytest.FixtureRequest) -> Iterator[None]:
    """No coverage in the modules of those folders, nor in the processes that they start."""
    running = coverage.Coverage.current()
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    if running is None or folder not in UNCOUNTED:
        yield
        return
    children = os.environ.pop(CHILDREN, None)
    running.stop()
    yield
    running.start()
    if children is not None:
        os.environ[CHILDREN] = children
