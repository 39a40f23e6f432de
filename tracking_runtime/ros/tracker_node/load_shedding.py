"""Load shedding: lower a tracker's work per frame under overload, raise it when there is spare time.

A tracker processes the newest frame, so overload shows as dropped frames. Each load level makes a frame
cheaper. The level changes by one at a time. It is lowered when the work of the next lower level would fit.
That work is predicted by the cost ratio of both levels, as measured when the level was raised. A machine that
is slow for a while thus returns to full work, and a machine that is too slow does not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LoadSheddingSettings:
    """Thresholds of load shedding.

    Attributes:
        max_dropped_fraction: fraction of dropped frames above which a node is overloaded, 0..1. Lower
            sheds load sooner.
        min_overload: load above which dropped frames count as overload. Below it, frames only came in bursts.
        max_restored_load: predicted load below which the level is lowered. A smaller value returns to full
            work later.
        frames_to_shed: frames that are observed before the level is raised.
        frames_to_restore: frames that are observed before the level is lowered.
    """

    max_dropped_fraction: float = 0.1
    min_overload: float = 0.8
    max_restored_load: float = 0.8
    frames_to_shed: int = 10
    frames_to_restore: int = 50


@dataclass(frozen=True)
class _FrameLoad:
    busy_ms: float
    period_ms: float
    num_dropped: int

    @property
    def load(self) -> float:
        """Fraction of the time between two frames that this frame took."""
        return self.busy_ms / self.period_ms


class LoadShedder:
    """Load level of a stream of frames.

    One thread updates the level. Other threads may read.

    Args:
        max_level: highest load level; 0 disables load shedding.
        settings: thresholds; None: the defaults.

    Attributes:
        level: current load level, 0: full work.
    """

    def __init__(self, max_level: int, settings: LoadSheddingSettings | None = None) -> None:
        self.level = 0
        self._max_level = max_level
        self._settings = settings or LoadSheddingSettings()
        self._frames: deque[_FrameLoad] = deque(maxlen=self._settings.frames_to_restore)
        # Cost of the next lower level divided by the cost of each level, measured after the level was raised.
        self._cost_ratios = [1.0] * (max_level + 1)
        self._cost_before_ms: float | None = None

    @property
    def load(self) -> float:
        """Fraction of the time between frames that a frame takes, recently; above 1 frames are dropped."""
        recent = self._recent_frames
        return float(np.median([frame.load for frame in recent])) if recent else 0.0

    @property
    def dropped_fraction(self) -> float:
        """Fraction of the frames that were dropped recently, 0..1."""
        recent = self._recent_frames
        num_dropped = sum(frame.num_dropped for frame in recent)
        return num_dropped / (num_dropped + len(recent)) if recent else 0.0

    @property
    def is_overloaded(self) -> bool:
        """Overload: frames are dropped because there is too much work."""
        settings = self._settings
        is_observed = len(self._frames) >= settings.frames_to_shed
        is_dropping = self.dropped_fraction > settings.max_dropped_fraction
        return is_observed and is_dropping and self.load > settings.min_overload

    def update(self, busy_ms: float, period_ms: float, num_dropped: int) -> int:
        """Update the load level with one processed frame and return the level.

        Args:
            busy_ms: time that the frame took, in milliseconds.
            period_ms: time between two frames of the camera, in milliseconds.
            num_dropped: frames dropped since the last processed frame.
        """
        self._frames.append(_FrameLoad(busy_ms, period_ms, num_dropped))
        if len(self._frames) == self._settings.frames_to_shed and self._cost_before_ms is not None:
            self._cost_ratios[self.level] = max(self._cost_before_ms / max(self._cost_ms, 1e-6), 1.0)
        if self.is_overloaded and self.level < self._max_level:
            self._cost_before_ms = self._cost_ms
            self._set_level(self.level + 1)
        elif self.level and self._has_spare_time:
            self._cost_before_ms = None
            self._set_level(self.level - 1)
        return self.level

    def _set_level(self, level: int) -> None:
        self.level = level
        self._frames.clear()

    @property
    def _recent_frames(self) -> list[_FrameLoad]:
        return list(self._frames)[-self._settings.frames_to_shed :]

    @property
    def _has_spare_time(self) -> bool:
        settings = self._settings
        if len(self._frames) < settings.frames_to_restore or self.dropped_fraction > 0:
            return False
        load = np.percentile([frame.load for frame in self._frames], 90)
        return bool(load * self._cost_ratios[self.level] < settings.max_restored_load)

    @property
    def _cost_ms(self) -> float:
        return float(np.median([frame.busy_ms for frame in self._recent_frames]))
