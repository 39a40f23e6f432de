"""Durations of the stages of a frame."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StageSummary:
    """Durations of one stage over the newest frames.

    Attributes:
        count: number of durations.
        p50: median in milliseconds.
        p95: 95th percentile in milliseconds.
        max: longest duration in milliseconds.
    """

    count: int
    p50: float
    p95: float
    max: float


class StageTimes:
    """Durations of named stages over the newest frames.

    One thread adds durations; another may call `summarize`.

    Args:
        window: number of newest durations of each stage that the summary covers.
    """

    def __init__(self, window: int = 1000) -> None:
        self._window = window
        self._durations_ms: dict[str, deque[float]] = {}
        self._totals_ms: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Time the `with` block as one run of a stage, also if the block raises an error."""
        start_ns = time.perf_counter_ns()
        try:
            yield
        finally:
            self.add_duration(name, (time.perf_counter_ns() - start_ns) / 1e6)

    def add_duration(self, name: str, milliseconds: float) -> None:
        """Add a duration of a stage that was measured elsewhere."""
        self._durations_ms.setdefault(name, deque(maxlen=self._window)).append(milliseconds)
        self._totals_ms[name] = self.get_total_ms(name) + milliseconds

    def get_total_ms(self, name: str) -> float:
        """Return the total duration of all runs of a stage in milliseconds, not only of the newest."""
        return self._totals_ms.get(name, 0.0)

    def summarize(self) -> dict[str, StageSummary]:
        """Return a summary of each stage, in the order in which the stages first ran."""
        summaries = {}
        for name, durations in list(self._durations_ms.items()):
            values = np.array(durations)
            p50, p95 = np.percentile(values, [50, 95])
            summaries[name] = StageSummary(len(values), float(p50), float(p95), float(values.max()))
        return summaries
