"""Progress of engines while they are built, which may take minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class BuildProgress:
    """Progress of a build.

    Attributes:
        stage: network and step of its build.
        fraction: estimated fraction of the whole build that is done, 0..1.
        finish_s: estimated end of the build in seconds of the monotonic clock; None if unknown.
    """

    stage: str
    fraction: float
    finish_s: float | None

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until the end of the build in seconds; None if unknown."""
        return None if self.finish_s is None else max(self.finish_s - time.monotonic(), 0.0)

    def __str__(self) -> str:
        seconds_left = self.seconds_left
        time_left = "" if seconds_left is None else f", about {seconds_left:.0f} s left"
        return f"{self.stage}, {self.fraction:.0%}{time_left}"


class _ProgressReporter:
    """Function that receives the progress, and the engine that is being built."""

    def __init__(self, report: Callable[[BuildProgress], None]) -> None:
        self._report = report
        self._start_s = time.monotonic()
        self._engine_index = 0
        self._num_engines = 1
        self._fraction = 0.0

    def begin_engine(self, index: int, num_engines: int) -> None:
        self._engine_index = index
        self._num_engines = num_engines
        self._fraction = 0.0

    def report_stage(self, stage: str, fraction: float | None) -> None:
        self._fraction = self._fraction if fraction is None else fraction
        total_fraction = (self._engine_index + self._fraction) / self._num_engines
        now_s = time.monotonic()
        finish_s = None
        if total_fraction > 0:
            finish_s = now_s + (now_s - self._start_s) * (1 - total_fraction) / total_fraction
        self._report(BuildProgress(stage, total_fraction, finish_s))


_reporter: ContextVar[_ProgressReporter | None] = ContextVar("reporter", default=None)


@contextmanager
def report_progress_to(report: Callable[[BuildProgress], None]) -> Iterator[None]:
    """Call a function at every stage of the engines that this thread builds in the block."""
    token = _reporter.set(_ProgressReporter(report))
    try:
        yield
    finally:
        _reporter.reset(token)


def begin_engine(index: int, num_engines: int) -> None:
    """Report that the build of one of several engines begins. All engines count alike."""
    reporter = _reporter.get()
    if reporter is not None:
        reporter.begin_engine(index, num_engines)


def report_stage(text: str, fraction: float | None = None) -> None:
    """Report the stage that begins now.

    Args:
        text: network and step of its build.
        fraction: fraction of this engine's build that is done, 0..1; None keeps the previous value.
    """
    reporter = _reporter.get()
    if reporter is not None:
        reporter.report_stage(text, fraction)
