"""Speeds and headings of simulated movers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.geography.local_plane import LocalPlane
from tracking_runtime.geography.motion import compute_heading, estimate_ground_motion, estimate_velocities


@given(
    st.floats(-85, 85),
    st.floats(-180, 180),
    st.floats(0.1, 300),
    st.floats(0, 359),
    st.sampled_from([1, 5, 30]),
)
def test_straight_mover_has_its_speed_and_heading(
    latitude: float, longitude: float, speed: float, heading: float, rate: int
) -> None:
    times = np.arange(20) / rate
    direction = np.array([np.sin(np.radians(heading)), np.cos(np.radians(heading))])
    positions = LocalPlane(latitude, longitude).to_geographic(times[:, None] * speed * direction)

    motion = estimate_ground_motion(times, positions)

    np.testing.assert_allclose(motion.speeds_m_s, speed, rtol=1e-3)
    difference = (motion.headings_deg - heading + 180) % 360 - 180
    assert np.abs(difference).max() < 1.0  # meridians converge along the path


def test_window_averages_noise_over_time() -> None:
    rng = np.random.default_rng(4)
    times = np.arange(400) / 10
    positions = np.stack([times * 10, times * 0], axis=1) + rng.normal(0, 0.5, (400, 2))

    short, short_gain = estimate_velocities(times, positions, 0.4)
    long, long_gain = estimate_velocities(times, positions, 2.0)

    for slopes, gains in ((short, short_gain), (long, long_gain)):
        assert slopes[20:-20, 1].std() == pytest.approx(0.5 * np.median(gains), rel=0.2)
    assert long[20:-20, 0].std() < short[20:-20, 0].std() / 5


def test_standing_object_has_no_heading() -> None:
    rng = np.random.default_rng(5)
    times = np.arange(50) / 10
    positions = LocalPlane(36, -115).to_geographic(rng.normal(0, 0.1, (50, 2)))

    motion = estimate_ground_motion(times, positions, window_s=2, position_errors_m=0.5)

    assert np.isnan(motion.headings_deg).all()
    assert (motion.speeds_m_s < 0.5).all()


@pytest.mark.parametrize("times", [[0.0], [1.0, 1.0, 1.0], []])
def test_motion_without_time_is_unknown(times: list[float]) -> None:
    motion = estimate_ground_motion(times, [[10.0, 20.0]] * len(times))

    assert np.isnan(motion.speeds_m_s).all()
    assert np.isnan(motion.headings_deg).all()


def test_speed_bridges_a_gap_and_the_antimeridian() -> None:
    times = np.array([0, 10, 20.0])
    positions = LocalPlane(0, 180).to_geographic([[-50, 0], [0, 0], [50, 0]])

    motion = estimate_ground_motion(times, positions)

    np.testing.assert_allclose(motion.speeds_m_s, 5, rtol=1e-6)
    np.testing.assert_allclose(motion.headings_deg, 90, atol=1e-6)


def test_headings_are_clockwise_from_north() -> None:
    np.testing.assert_allclose(compute_heading([0, 1, 0, -1], [1, 0, -1, 0]), [0, 90, 180, 270])
    assert compute_heading(-1e-300, 1.0) == 0


def test_many_equal_times_stay_small() -> None:
    slopes, _ = estimate_velocities(np.zeros(5000), np.zeros((5000, 2)), 1.0)

    assert np.isnan(slopes).all()
