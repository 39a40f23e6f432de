"""Easing of work, on streams of frames whose cost is known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.ros.tracker_node.load_shedding import Easing

PERIOD_MS = 100.0


class Stream:
    """Frames every 100 ms through a worker that takes the newest; each level of easing halves the work."""

    def __init__(self, deepest: int) -> None:
        self.easing = Easing(deepest)
        self._behind_ms = 0.0

    def run(self, frames: int, work_ms: float) -> list[int]:
        """The level after each frame that was processed, of so many whose work takes this at level 0."""
        return list(self._levels(frames, work_ms))

    def _levels(self, frames: int, work_ms: float) -> Iterator[int]:
        for _ in range(frames):
            busy = work_ms / 2**self.easing.level
            self._behind_ms = max(self._behind_ms + busy - PERIOD_MS, 0.0)
            dropped = int(self._behind_ms // PERIOD_MS)
            self._behind_ms -= dropped * PERIOD_MS
            yield self.easing.judge(busy, PERIOD_MS, dropped)


def test_work_that_fits_is_never_eased() -> None:
    assert set(Stream(3).run(500, 95)) == {0}


def test_work_is_eased_as_far_as_needed_and_no_further() -> None:
    levels = Stream(3).run(300, 350)
    assert levels[-1] == max(levels) == 2
    assert levels.index(1) < 15
    assert levels.index(2) < 30


def test_without_levels_overload_is_only_told() -> None:
    stream = Stream(0)
    assert set(stream.run(50, 300)) == {0}
    assert stream.easing.overloaded
    assert stream.easing.load == pytest.approx(3.0)
    assert stream.easing.dropped_share == pytest.approx(2 / 3, abs=0.05)


def test_work_is_taken_up_again_when_there_is_room_for_it() -> None:
    stream = Stream(3)
    stream.run(100, 350)
    levels = stream.run(300, 60)
    assert levels[-1] == 0
    assert sorted(levels, reverse=True) == levels


@settings(deadline=None, max_examples=30)
@given(st.floats(130, 1200))
def test_level_does_not_swing(work_ms: float) -> None:
    levels = Stream(4).run(700, work_ms)
    assert levels == sorted(levels)


def test_bursts_do_not_count_as_overload() -> None:
    easing = Easing(2)
    for _ in range(100):
        easing.judge(20.0, PERIOD_MS, 1)
    assert easing.level == 0
    assert not easing.overloaded


def test_easing_that_gains_nothing_ends_when_the_machine_is_fast_again() -> None:
    easing = Easing(1)
    for _ in range(20):
        easing.judge(150.0, PERIOD_MS, 1)
    assert easing.level == 1
    for _ in range(60):
        easing.judge(150.0, PERIOD_MS, 1)
    assert easing.level == 1
    for _ in range(120):
        easing.judge(50.0, PERIOD_MS, 0)
    assert easing.level == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(1e-3, 1e4), st.integers(0, 100)), max_size=200))
def test_level_stays_within_bounds(frames: list[tuple[float, float, int]]) -> None:
    easing = Easing(2)
    for frame in frames:
        before = easing.level
        assert abs(easing.judge(*frame) - before) <= 1
        assert 0 <= easing.level <= 2
        assert 0 <= easing.dropped_share < 1
