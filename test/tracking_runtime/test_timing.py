from __future__ import annotations

import pytest

from tracking_runtime.timing import StageTimes


def test_figures_of_known_durations() -> None:
    times = StageTimes()
    for milliseconds in range(1, 102):
        times.add("engine", float(milliseconds))
    summary = times.summary()["engine"]
    assert (summary.count, summary.p50, summary.p95, summary.max) == (101, 51.0, 96.0, 101.0)


def test_only_the_newest_frames_count() -> None:
    times = StageTimes(window=2)
    for milliseconds in (1000.0, 1.0, 3.0):
        times.add("crop", milliseconds)
    assert times.summary()["crop"].max == 3.0


def test_a_stage_that_fails_is_timed() -> None:
    times = StageTimes()
    with pytest.raises(RuntimeError), times.stage("decode"):
        raise RuntimeError
    assert times.summary()["decode"].count == 1
