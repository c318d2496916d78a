"""Progress of a run for people: bars with losses and time left in a terminal, plain lines elsewhere."""

from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn


class Bars:
    """Context in which `report` draws a bar for every stage."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.__exit__(*details)  # type: ignore[arg-type]

    def say(self, text: str) -> None:
        """One line above the bars."""
        self._console.print(text, soft_wrap=True, highlight=False)

    def report(self, stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        """Move the bar of a stage; see `Training.session.Report`."""
        text = "  ".join(_figure(key, value) for key, value in figures.items())
        if stage == "Validated" or not self._console.is_terminal:
            self.say(f"{stage} {done}/{total}  {text}")
        if stage != "Validated":
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=total, figures="")
            self._progress.update(self._tasks[stage], completed=done, figures=text)


def _figure(name: str, value: float) -> str:
    if name == "seconds left":
        return f"{timedelta(seconds=round(value))} left"
    return f"{name} {value:.4g}"
