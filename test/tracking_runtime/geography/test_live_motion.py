"""Velocities of tracks whose positions arrive frame by frame, and their covariance."""

from __future__ import annotations

import numpy as np
import pytest

from tracking_runtime.geography.ground_positions import locate_boxes
from tracking_runtime.geography.live_motion import VelocityEstimator

SECOND = 10**9


def test_velocity_is_the_slope_of_the_window() -> None:
    estimator = VelocityEstimator(1.0)

    for frame in range(30):
        time_s = frame / 10
        result = estimator.update(
            SECOND + frame * SECOND // 10, [4, 9], [[3 * time_s, -time_s], [1000 + 20 * time_s, 0]]
        )

    np.testing.assert_allclose(result.velocities, [[3, -1], [20, 0]], atol=1e-9)
    np.testing.assert_allclose(result.gains, 1 / np.sqrt(((np.arange(11) / 10 - 0.5) ** 2).sum()))


def test_first_position_and_restart_have_no_velocity() -> None:
    estimator = VelocityEstimator(1.0)

    assert np.isnan(estimator.update(SECOND, [1], [[0, 0]]).velocities).all()
    assert np.isfinite(estimator.update(2 * SECOND, [1], [[1, 0]]).velocities).all()
    assert np.isnan(estimator.update(2 * SECOND, [1], [[2, 0]]).velocities).all()


def test_low_rate_uses_the_position_before() -> None:
    estimator = VelocityEstimator(0.5)
    estimator.update(0, [1], [[0, 0]])

    np.testing.assert_allclose(estimator.update(4 * SECOND, [1], [[8, 0]]).velocities, [[2, 0]])


def test_track_unseen_for_long_begins_anew() -> None:
    estimator = VelocityEstimator(1.0)
    estimator.update(0, [1, 2], [[0, 0], [0, 0]])
    estimator.update(4 * SECOND, [2], [[4, 0]])

    result = estimator.update(6 * SECOND, [1, 2], [[60, 0], [6, 0]])

    assert np.isnan(result.velocities[0]).all()
    np.testing.assert_allclose(result.velocities[1], [1, 0])


def test_covariance_follows_the_map_and_the_box() -> None:
    def to_ground(pixels: np.ndarray) -> np.ndarray:
        return np.column_stack([2 * pixels[:, 0] + pixels[:, 1], -3 * pixels[:, 1], np.zeros(len(pixels))])

    located = locate_boxes([[10, 20, 30, 40]], to_ground, anchor="center", pixel_error_px=4.0, size_error=0.1)

    np.testing.assert_allclose(located.points, [[2 * 25 + 40, -120, 0]])
    variances = np.array([4.0**2 + 3.0**2, 4.0**2 + 4.0**2])
    derivative = np.array([[2, 1], [0, -3]])
    np.testing.assert_allclose(located.covariances[0], derivative @ np.diag(variances) @ derivative.T)
    assert located.is_located.all()


@pytest.mark.parametrize("anchor", ["center", "bottom"])
def test_no_boxes_have_no_positions(anchor: str) -> None:
    located = locate_boxes(
        np.zeros((0, 4)),
        lambda pixels: np.zeros((len(pixels), 3)),
        anchor=anchor,
        pixel_error_px=1,
        size_error=0,
    )

    assert located.is_located.shape == (0,)
