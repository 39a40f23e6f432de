from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs ROS 2")

from tracking_runtime.ros.tracker_node.frame_counters import FrameCounters

pytestmark = pytest.mark.ros


@given(st.lists(st.booleans(), min_size=1))
def test_published_frame_is_received_or_lost(arrives: list[bool]) -> None:
    counters = FrameCounters()

    counters.count_received(1)
    for number, is_received in enumerate([*arrives, True], start=2):
        if is_received:
            counters.count_received(number)

    assert counters.received + counters.lost == len(arrives) + 2
    assert counters.lost_fraction * (len(arrives) + 2) == pytest.approx(counters.lost)


def test_gap_without_subscription_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = FrameCounters()
    counters.count_received(1)
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 60)
    assert counters.silence_s == pytest.approx(60, abs=1)

    counters.start_listening()

    assert counters.silence_s == 0
    counters.count_received(50)
    assert counters.lost == 0


def test_restarted_publisher_loses_no_frames() -> None:
    counters = FrameCounters()

    for number in (7, 8, 1, 2):
        counters.count_received(number)

    assert counters.lost == 0


def test_gap_with_several_publishers_is_not_lost() -> None:
    counters = FrameCounters()

    for number in (1, None, 9):
        counters.count_received(number)

    assert (counters.received, counters.lost) == (3, 0)
