"""What to do about more work than there is time for: by how much it is eased, and when no longer.

A tracker takes the newest frame and drops what waits meanwhile, so overload is seen as dropped frames. Work
is eased by levels, one at a time, each of which makes a frame cheaper. It is taken up again where the level
above would fit, by what that one was seen to cost compared with this one: a machine that is slow for a while
is told from one that is too slow.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EasingSettings:
    """When to ease work, and when to take it up again.

    Attributes:
        dropped: share of the frames dropped from which there is overload.
        busy: share of the time that frames take, from which dropping is a matter of work; below it they only
            came in bursts.
        room: share of the time that the level above may be expected to take.
        quick: frames to look at before work is eased.
        slow: frames to look at before it is taken up again.
    """

    dropped: float = 0.1
    busy: float = 0.8
    room: float = 0.8
    quick: int = 10
    slow: int = 50


@dataclass(frozen=True)
class _Frame:
    busy_ms: float
    period_ms: float
    dropped: int


class Easing:
    """By how many levels a stream's work is eased.

    One thread judges; others may look.

    Args:
        deepest: the highest level; 0: there is nothing to be eased.
        settings: when.

    Attributes:
        level: 0: not at all.
    """

    def __init__(self, deepest: int, settings: EasingSettings | None = None) -> None:
        self.level = 0
        self._deepest, self._settings = deepest, settings or EasingSettings()
        self._frames: deque[_Frame] = deque(maxlen=self._settings.slow)
        self._gains = [1.0] * (deepest + 1)
        self._cost_above_ms: float | None = None

    @property
    def load(self) -> float:
        """Share of the time between frames that a frame takes, of late; above 1 some have to be dropped."""
        latest = self._latest
        return float(np.median([frame.busy_ms / frame.period_ms for frame in latest])) if latest else 0.0

    @property
    def dropped_share(self) -> float:
        """Share of the frames dropped, of late."""
        latest = self._latest
        dropped = sum(frame.dropped for frame in latest)
        return dropped / (dropped + len(latest)) if latest else 0.0

    @property
    def overloaded(self) -> bool:
        """Whether frames are dropped because there is too much to do."""
        settings = self._settings
        enough = len(self._frames) >= settings.quick
        return enough and self.dropped_share > settings.dropped and self.load > settings.busy

    def judge(self, busy_ms: float, period_ms: float, dropped: int) -> int:
        """The level after one more frame.

        Args:
            busy_ms: what it took.
            period_ms: from frame to frame of the camera.
            dropped: frames since the one before that made room for it.
        """
        self._frames.append(_Frame(busy_ms, period_ms, dropped))
        if len(self._frames) == self._settings.quick and self._cost_above_ms is not None:
            self._gains[self.level] = max(self._cost_above_ms / max(self._cost_ms, 1e-6), 1.0)
        if self.overloaded and self.level < self._deepest:
            self._cost_above_ms = self._cost_ms
            self._go_to(self.level + 1)
        elif self.level and self._has_room:
            self._cost_above_ms = None
            self._go_to(self.level - 1)
        return self.level

    @property
    def _latest(self) -> list[_Frame]:
        return list(self._frames)[-self._settings.quick :]

    @property
    def _has_room(self) -> bool:
        settings = self._settings
        if len(self._frames) < settings.slow or self.dropped_share > 0:
            return False
        expected = (
            np.percentile([f.busy_ms / f.period_ms for f in self._frames], 90) * self._gains[self.level]
        )
        return bool(expected < settings.room)

    @property
    def _cost_ms(self) -> float:
        return float(np.median([frame.busy_ms for frame in self._latest]))

    def _go_to(self, level: int) -> None:
        self.level = level
        self._frames.clear()
