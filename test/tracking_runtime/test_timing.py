from __future__ import annotations

import pytest

from tracking_runtime.timing import StageTimes


def test_summarize_returns_percentiles() -> None:
    times = StageTimes()
    for milliseconds in range(1, 102):
        times.add_duration("engine", float(milliseconds))

    summary = times.summarize()["engine"]

    assert (summary.count, summary.p50, summary.p95, summary.max) == (101, 51.0, 96.0, 101.0)


def test_summarize_covers_the_newest_durations() -> None:
    times = StageTimes(window=2)
    for milliseconds in (1000.0, 1.0, 3.0):
        times.add_duration("crop", milliseconds)

    assert times.summarize()["crop"].max == 3.0


def test_measure_counts_a_stage_that_fails() -> None:
    times = StageTimes()

    with pytest.raises(RuntimeError), times.measure("decode"):
        raise RuntimeError

    assert times.summarize()["decode"].count == 1
