"""Progress bars as the commands show them."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def counting(console: Console | None = None, *, shown: bool = True) -> Progress:
    """Bars with what they are about, how many are done of how many, and the time left."""
    return Progress(*_columns(TimeRemainingColumn()), console=console, disable=not shown)


def passing() -> Progress:
    """Bars that go when done, with the time that has passed: of things too unlike to tell what is left."""
    return Progress(*_columns(TimeElapsedColumn()), transient=True)


def _columns(time: ProgressColumn) -> tuple[ProgressColumn, ...]:
    return TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), time
