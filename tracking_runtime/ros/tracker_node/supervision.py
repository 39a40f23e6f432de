"""Supervision of a worker thread: how long its work has taken, and how long the work may take."""

from __future__ import annotations

from dataclasses import dataclass

from tracking_runtime.ros.tracker_node.worker import Activity
from tracking_runtime.timing import StageTimes

PERIOD_S = 0.5
"""Time between two checks of the worker, in seconds."""
_MIN_STALL_S = 3.0  # shortest time of one frame that is reported as an error
_STALL_FRAMES = 5.0  # the same, in usual times of a frame
_MIN_LIMIT_S = 15.0  # lowest automatic limit of one frame
_LIMIT_FRAMES = 20.0  # the same, in usual times of a frame
_FRAME_STAGE = "total"
_MIN_RESTART_S = 60.0  # lowest limit of a restart of the tracker
_RESTART_LOADS = 5.0  # the same, in times of the first load


@dataclass(frozen=True)
class FrameLimits:
    """Limits of the time that the worker spends on one frame.

    Attributes:
        stall_s: time after which the diagnosis is an error, in seconds.
        restart_s: time after which the worker and the tracker are replaced, in seconds.
    """

    stall_s: float
    restart_s: float


def compute_frame_limits(max_frame_time_s: float, times: StageTimes) -> FrameLimits:
    """Return the limits of one frame.

    Args:
        max_frame_time_s: longest time of a frame in seconds; 0: 20 times the 95th percentile of the measured
            times, at least 15 s.
        times: measured durations of the stages of a frame.
    """
    total = times.summarize().get(_FRAME_STAGE)
    usual_s = total.p95 / 1e3 if total else 0.0
    restart_s = max_frame_time_s or max(_MIN_LIMIT_S, _LIMIT_FRAMES * usual_s)
    return FrameLimits(min(max(_MIN_STALL_S, _STALL_FRAMES * usual_s), restart_s), restart_s)


def compute_restart_limit(load_s: float) -> float:
    """Return the longest time of a restart of the tracker in seconds.

    Args:
        load_s: time of the first load of the tracker in seconds.
    """
    return max(_MIN_RESTART_S, _RESTART_LOADS * load_s)


class BusyClock:
    """Clock of the time that a worker has spent on its current activity.

    The time between two checks counts at most twice their period. A process that was stopped, or a machine
    that slept, thus does not count as a worker that hangs.
    """

    def __init__(self) -> None:
        self._number = 0
        self._busy_s = 0.0
        self._checked_s: float | None = None

    def update(self, activity: Activity | None, now_s: float) -> float:
        """Return the time spent on an activity up to this check in seconds; 0 without an activity.

        Args:
            activity: current activity of the worker.
            now_s: monotonic time of the check in seconds.
        """
        elapsed_s = 0.0 if self._checked_s is None else now_s - self._checked_s
        self._checked_s = now_s
        number = activity.number if activity else 0
        if number == self._number and activity:
            self._busy_s += min(elapsed_s, 2 * PERIOD_S)
        else:
            self._number = number
            self._busy_s = 0.0
        return self._busy_s
