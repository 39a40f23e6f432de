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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list with the time of the clock in seconds."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("rate_hz", [0.5, 1.0, 25.0])
def test_rate_of_steady_frames_is_measured(clock: list[float], rate_hz: float) -> None:
    counters = FrameCounters()

    for number in range(100):
        clock[0] += 1 / rate_hz
        counters.count_received(number)

    assert counters.rate_hz == pytest.approx(rate_hz)
    clock[0] += 20
    assert counters.rate_hz == 0


def test_frames_handed_over_at_once_are_no_high_rate(clock: list[float]) -> None:
    counters = FrameCounters()
    counters.count_received(1)
    clock[0] += 5.5
    counters.count_received(2)
    clock[0] += 0.001
    counters.count_received(3)

    assert counters.rate_hz == pytest.approx(2 / 5.501)


def test_rate_after_a_long_silence_begins_anew(clock: list[float]) -> None:
    counters = FrameCounters()
    counters.count_received(1)
    clock[0] += 600
    for number in range(5):
        clock[0] += 0.1
        counters.count_received(number)

    assert counters.rate_hz == pytest.approx(10.0)
