"""Load control of a tracker node: its trackers, and the load level at which they work."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from tracking_runtime.ros.tracker_node.load_shedding import LoadShedder

_RECENT_FRAMES = 3  # frames from which an overload is known at once


class NodeTracker(Protocol):
    """Interface of a tracker that a node runs.

    Attributes:
        max_load_level: highest load level; 0 if the tracker cannot shed load.
        size_tolerance_px: rows and columns by which frames of one stream may differ.
    """

    max_load_level: int
    size_tolerance_px: int

    def reset(self) -> None:
        """Delete all targets or tracks."""

    def set_load_level(self, level: int) -> None:
        """Set the load level, from 0 (full work) to `max_load_level`."""

    def copy_state_from(self, other: Any) -> None:
        """Continue with the targets or tracks of another tracker of this kind."""


T = TypeVar("T", bound=NodeTracker)


class LoadController(Generic[T]):
    """Trackers of a node, of which one is at work at the current load level.

    Args:
        overload: value of the parameter `overload`.

    Attributes:
        overload: value of the parameter `overload`.
        trackers: tracker of the model, and of the light model with `overload: light`; empty before `install`.
        shedder: load level.
        recent_busy_ms: times that the newest frames took, in milliseconds.
    """

    def __init__(self, overload: str) -> None:
        self.overload = overload
        self.trackers: Sequence[T] = ()
        self.shedder = LoadShedder(0)
        self.recent_busy_ms: deque[float] = deque(maxlen=_RECENT_FRAMES)
        self._index = 0
        self._num_known_drops = 0

    @property
    def tracker(self) -> T:
        """Tracker at work: of the model, or of the light model during overload."""
        return self.trackers[self._index]

    @property
    def uses_light_model(self) -> bool:
        """Overload in which the tracker of the light model is at work."""
        return self.overload == "light" and self.shedder.level > 0

    def install(self, trackers: Sequence[T]) -> None:
        """Put the trackers of a model to work, at full work.

        Args:
            trackers: tracker of the model, and of the light model with `overload: light`.
        """
        self._index = 0
        self.trackers = trackers
        max_levels = {"skip": 0, "shrink": self.tracker.max_load_level, "light": 1}
        self.shedder = LoadShedder(max_levels[self.overload])

    def update(self, busy_ms: float, rate_hz: float, num_dropped: int) -> str:
        """Raise or lower the load level by the time of a frame.

        Args:
            busy_ms: time that the newest frame took, in milliseconds.
            rate_hz: rate of the received frames in hertz; 0: unknown.
            num_dropped: number of frames that were dropped since the node was configured.

        Returns:
            message for the log if the level has changed, else an empty text.
        """
        self.recent_busy_ms.append(busy_ms)
        num_new_drops = num_dropped - self._num_known_drops
        self._num_known_drops = num_dropped
        previous_level = self.shedder.level
        if not rate_hz:
            return ""
        level = self.shedder.update(busy_ms, 1e3 / rate_hz, num_new_drops)
        if level == previous_level:
            return ""
        self._set_level(level)
        reason = self.describe_overload() or "full work"
        return f"load level {level}, was {previous_level}: {reason}"

    def describe_overload(self) -> str:
        """Return a warning if the node is overloaded or sheds load, else an empty text."""
        if self.shedder.is_overloaded:
            return f"overloaded: {self.shedder.dropped_fraction:.0%} of the frames are skipped"
        if not self.shedder.level:
            return ""
        is_light = self.overload == "light"
        action = "light_model is used" if is_light else f"the search is shrunk, level {self.shedder.level},"
        return f"overloaded: {action} until there is spare time"

    def _set_level(self, level: int) -> None:
        if self.overload == "light":
            previous_tracker = self.tracker
            self._index = level
            self.tracker.copy_state_from(previous_tracker)
        else:
            self.tracker.set_load_level(level)
