"""Load shedding on streams of frames with known cost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.ros.tracker_node.load_shedding import LoadShedder

PERIOD_MS = 100.0


class Stream:
    """Frames every 100 ms through a worker that takes the newest. Each load level halves the work."""

    def __init__(self, max_level: int) -> None:
        self.shedder = LoadShedder(max_level)
        self._behind_ms = 0.0

    def run(self, num_frames: int, work_ms: float) -> list[int]:
        """Process frames and return the level after each of them.

        Args:
            num_frames: number of processed frames.
            work_ms: work of a frame at level 0, in milliseconds.
        """
        return list(self._iterate_levels(num_frames, work_ms))

    def _iterate_levels(self, num_frames: int, work_ms: float) -> Iterator[int]:
        for _ in range(num_frames):
            busy_ms = work_ms / 2**self.shedder.level
            self._behind_ms = max(self._behind_ms + busy_ms - PERIOD_MS, 0.0)
            num_dropped = int(self._behind_ms // PERIOD_MS)
            self._behind_ms -= num_dropped * PERIOD_MS
            yield self.shedder.update(busy_ms, PERIOD_MS, num_dropped)


def test_work_below_period_keeps_level_zero() -> None:
    assert set(Stream(3).run(500, 95)) == {0}


def test_overload_raises_level_as_far_as_needed() -> None:
    levels = Stream(3).run(300, 350)

    assert levels[-1] == max(levels) == 2
    assert levels.index(1) < 15
    assert levels.index(2) < 30


def test_overload_without_levels_is_reported() -> None:
    stream = Stream(0)

    levels = stream.run(50, 300)

    assert set(levels) == {0}
    assert stream.shedder.is_overloaded
    assert stream.shedder.load == pytest.approx(3.0)
    assert stream.shedder.dropped_fraction == pytest.approx(2 / 3, abs=0.05)


def test_spare_time_lowers_level_to_zero() -> None:
    stream = Stream(3)
    stream.run(100, 350)

    levels = stream.run(300, 60)

    assert levels[-1] == 0
    assert sorted(levels, reverse=True) == levels


@settings(deadline=None, max_examples=30)
@given(st.floats(130, 1200))
def test_constant_work_does_not_swing_level(work_ms: float) -> None:
    levels = Stream(4).run(700, work_ms)

    assert levels == sorted(levels)


def test_bursts_are_not_overload() -> None:
    shedder = LoadShedder(2)

    for _ in range(100):
        shedder.update(20.0, PERIOD_MS, 1)

    assert shedder.level == 0
    assert not shedder.is_overloaded


def test_useless_level_ends_on_faster_machine() -> None:
    shedder = LoadShedder(1)
    for _ in range(20):
        shedder.update(150.0, PERIOD_MS, 1)
    assert shedder.level == 1
    for _ in range(60):
        shedder.update(150.0, PERIOD_MS, 1)
    assert shedder.level == 1

    for _ in range(120):
        shedder.update(50.0, PERIOD_MS, 0)

    assert shedder.level == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(1e-3, 1e4), st.integers(0, 100)), max_size=200))
def test_level_stays_within_bounds(frames: list[tuple[float, float, int]]) -> None:
    shedder = LoadShedder(2)

    for frame in frames:
        previous_level = shedder.level
        assert abs(shedder.update(*frame) - previous_level) <= 1
        assert 0 <= shedder.level <= 2
        assert 0 <= shedder.dropped_fraction < 1
