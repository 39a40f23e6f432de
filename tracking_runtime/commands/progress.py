"""Progress bars of the commands."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


def make_progress(console: Console | None = None, *, is_shown: bool = True) -> Progress:
    """Make progress bars with a description, finished and total items, and the remaining time.

    Args:
        console: console of the bars. None: a new one.
        is_shown: False disables the bars.
    """
    return Progress(*_make_columns(TimeRemainingColumn()), console=console, disable=not is_shown)


class _SpeedColumn(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        """Return the speed of a task; empty before the second frame."""
        return Text("" if task.speed is None else f"{task.speed:.1f} frames/s")


def make_frame_progress(console: Console) -> Progress:
    """Make progress bars of frames with frames per second and the remaining time.

    Args:
        console: console of the bars.
    """
    columns = _make_columns(TimeRemainingColumn())
    return Progress(*columns[:-1], _SpeedColumn(), columns[-1], console=console)


def make_transient_progress() -> Progress:
    """Make progress bars with the elapsed time that disappear at the end.

    They fit items of very different durations, from which no remaining time can be estimated.
    """
    return Progress(*_make_columns(TimeElapsedColumn()), transient=True)


def _make_columns(time_column: ProgressColumn) -> tuple[ProgressColumn, ...]:
    return TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), time_column
