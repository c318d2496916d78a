"""Coverage counts the engine and the training where their own tests run them; the others run at their own speed."""

import os
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

UNCOUNTED = {"MRITranslate", "host", "benchmarks", "test_repository.py"}
"""Tracing Python costs the tests that drive the panel more than half of their time, and falsifies what is measured."""
CHILDREN = "COVERAGE_PROCESS_CONFIG"
"""By this variable coverage begins in child processes."""


@pytest.fixture(scope="module", autouse=True)
def coverage_where_it_counts(request: pytest.FixtureRequest) -> Iterator[None]:
    """No coverage in those modules, nor in the processes that they start."""
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
