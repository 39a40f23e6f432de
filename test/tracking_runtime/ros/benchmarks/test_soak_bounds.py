from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.ros.benchmarks.soak_bounds import SoakBounds, SoakGrowth, SoakSample

SAMPLE = SoakSample(0.0, 100.0, 20, 30, 50, 50, 0, 10.0, 12.0, 15.0)


def make_samples(number: int = 40, **changes: float) -> list[SoakSample]:
    """Return one sample a minute. Each change is added to its field from one to the next."""
    return [
        replace(
            SAMPLE,
            time_s=60.0 * (index + 1),
            **{name: getattr(SAMPLE, name) + index * step for name, step in changes.items()},
        )
        for index in range(number)
    ]


def test_steady_run_keeps_all_bounds() -> None:
    growth = SoakGrowth.compute(make_samples(), 600.0)

    assert growth == SoakGrowth(0.0, 0.0, 0, 0)
    assert growth.find_excess(SoakBounds()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"memory_mb": 0.05}, "resident memory grew by 1.1"),
        ({"p99_ms": 0.2}, "p99 of the latency grew by"),
        ({"threads": 1}, "threads grew by 24, expected at most 1"),
        ({"files": 1}, "open files grew by 24"),
    ],
)
def test_growth_beyond_a_bound_is_named(changes: dict[str, float], problem: str) -> None:
    growth = SoakGrowth.compute(make_samples(**changes), 600.0)

    (excess,) = growth.find_excess(SoakBounds())
    assert problem in excess


def test_warm_up_and_single_outliers_do_not_count() -> None:
    samples = make_samples()
    samples[:10] = [replace(sample, memory_mb=50.0, p99_ms=900.0) for sample in samples[:10]]
    samples[-2] = replace(samples[-2], memory_mb=500.0, p99_ms=900.0)

    assert SoakGrowth.compute(samples, 600.0).find_excess(SoakBounds()) == []


@given(st.integers(2, 60), st.floats(-1.0, 1.0))
def test_memory_growth_has_the_sign_of_its_slope(number: int, slope: float) -> None:
    growth = SoakGrowth.compute(make_samples(number, memory_mb=slope), 0.0)

    assert growth.memory * slope >= 0


def test_run_shorter_than_its_warm_up_is_an_error() -> None:
    with pytest.raises(ValueError, match="must last longer than its warm-up of 600 s: got 0 samples"):
        SoakGrowth.compute(make_samples(5), 600.0)
