"""How long each stage of a frame's path takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StageSummary:
    """Durations of one stage over the window, in milliseconds."""

    count: int
    p50: float
    p95: float
    max: float


class StageTimes:
    """Durations of named stages over the newest ``window`` frames.

    Used by one worker thread; ``summary`` may be called from another.
    """

    def __init__(self, window: int = 1000) -> None:
        self._window = window
        self._durations_ms: dict[str, deque[float]] = {}
        self._spent_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the ``with`` block as one run of stage ``name``, also when it raises."""
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(name, (time.perf_counter_ns() - start) / 1e6)

    def add(self, name: str, milliseconds: float) -> None:
        """Count a duration measured elsewhere."""
        self._durations_ms.setdefault(name, deque(maxlen=self._window)).append(milliseconds)
        self._spent_ms[name] = self.spent_ms(name) + milliseconds

    def spent_ms(self, name: str) -> float:
        """Milliseconds that all runs of a stage took together."""
        return self._spent_ms.get(name, 0.0)

    def summary(self) -> dict[str, StageSummary]:
        """Each stage's figures, in the order in which the stages first ran."""
        result = {}
        for name, durations in list(self._durations_ms.items()):
            values = np.array(durations)
            p50, p95 = np.percentile(values, [50, 95])
            result[name] = StageSummary(len(values), float(p50), float(p95), float(values.max()))
        return result
