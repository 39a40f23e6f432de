from __future__ import annotations

import pytest

from tracking_runtime.ros.tracker_node.supervision import (
    PERIOD_S,
    BusyClock,
    compute_frame_limits,
    compute_restart_limit,
)
from tracking_runtime.ros.tracker_node.worker import Activity
from tracking_runtime.timing import StageTimes


@pytest.mark.parametrize(
    ("max_frame_time_s", "frame_ms", "stall_s", "restart_s"),
    [(0.0, None, 3.0, 15.0), (0.0, 40.0, 3.0, 15.0), (0.0, 2000.0, 10.0, 40.0), (2.0, 40.0, 2.0, 2.0)],
)
def test_frame_limits_follow_parameter_and_measured_time(
    max_frame_time_s: float, frame_ms: float | None, stall_s: float, restart_s: float
) -> None:
    times = StageTimes()
    if frame_ms is not None:
        times.add_duration("total", frame_ms)

    limits = compute_frame_limits(max_frame_time_s, times)

    assert (limits.stall_s, limits.restart_s) == (stall_s, restart_s)


def test_restart_limit_grows_with_load_time() -> None:
    assert [compute_restart_limit(load_s) for load_s in (0.1, 100.0)] == [60.0, 500.0]


def test_busy_clock_counts_one_activity_only() -> None:
    clock = BusyClock()
    first = Activity(1, is_item=True)
    second = Activity(2, is_item=True)

    checks = [(first, 10.0), (first, 10.5), (first, 11.0), (second, 11.5), (second, 12.0), (None, 12.5)]

    assert [clock.update(activity, now_s) for activity, now_s in checks] == [0, 0.5, 1, 0, 0.5, 0]


def test_busy_clock_ignores_time_in_which_the_process_is_stopped() -> None:
    clock = BusyClock()
    activity = Activity(1, is_item=True)
    clock.update(activity, 10.0)

    assert clock.update(activity, 1010.0) == 2 * PERIOD_S
