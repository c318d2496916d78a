"""`report.html` of a run: what it was told, how its figures went, what its samples look like."""

from .runfolder import RunFolder


def write_report(folder: RunFolder) -> None:
    """Write report.html from the run's own files."""
