"""Smoothing and interpolation of the boxes of one track."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.offline.smoothing import SmoothingSettings, smooth_boxes

coordinates = st.floats(-200, 800)
speeds = st.floats(-6, 6)
sides = st.floats(4, 80)


def make_linear_boxes(num_frames, x, y, speed_x, speed_y, width, height):
    frames = np.arange(num_frames)[:, None]
    return np.array([x, y, width, height]) + frames * np.array([speed_x, speed_y, 0.0, 0.0])


@given(st.integers(3, 40), coordinates, coordinates, speeds, speeds, sides, sides, st.data())
def test_linear_motion_is_kept_and_gaps_are_filled(num_frames, x, y, speed_x, speed_y, width, height, data):
    truth = make_linear_boxes(num_frames, x, y, speed_x, speed_y, width, height)
    missing = data.draw(st.sets(st.integers(1, num_frames - 2), max_size=num_frames - 2))
    boxes = truth.copy()
    boxes[sorted(missing)] = np.nan

    smoothed = smooth_boxes(boxes)

    np.testing.assert_allclose(smoothed, truth, atol=0.02)


@given(st.integers(2, 30), st.integers(0, 10_000))
def test_smoothing_does_not_depend_on_the_direction_of_time(num_frames, seed):
    rng = np.random.default_rng(seed)
    boxes = make_linear_boxes(num_frames, 50, 60, 2, -1, 20, 12) + rng.normal(0, 1, (num_frames, 4))

    forward, backward = smooth_boxes(boxes), smooth_boxes(boxes[::-1])[::-1]

    np.testing.assert_allclose(forward, backward, atol=0.02)


@given(coordinates, coordinates, st.integers(0, 10_000))
def test_smoothing_moves_with_the_boxes(x, y, seed):
    rng = np.random.default_rng(seed)
    boxes = make_linear_boxes(12, 0, 0, 2, 1, 20, 12) + rng.normal(0, 1, (12, 4))

    offset = np.array([x, y, 0, 0])
    moved = smooth_boxes(boxes + offset)

    np.testing.assert_allclose(moved, smooth_boxes(boxes) + offset, atol=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_smoothing_reduces_the_noise_of_detections(seed):
    rng = np.random.default_rng(seed)
    frames = np.arange(120)
    truth = np.stack([3 * frames, 80 + 30 * np.sin(frames / 25), np.full(120, 20.0), np.full(120, 16.0)], 1)
    noisy = truth + rng.normal(0, 1.2, truth.shape)

    error = np.abs(smooth_boxes(noisy) - truth).mean()

    assert error < 0.65 * np.abs(noisy - truth).mean()


def test_frames_before_and_after_the_detections_stay_empty():
    boxes = np.full((9, 4), np.nan)
    boxes[2:6] = make_linear_boxes(4, 10, 10, 1, 0, 5, 5)

    smoothed = smooth_boxes(boxes)

    assert np.isfinite(smoothed).all(axis=1).tolist() == [False] * 2 + [True] * 4 + [False] * 3


def test_lower_acceleration_smooths_more():
    rng = np.random.default_rng(0)
    boxes = make_linear_boxes(60, 0, 0, 1, 1, 20, 20) + rng.normal(0, 2, (60, 4))

    def measure_roughness(acceleration):
        smoothed = smooth_boxes(boxes, SmoothingSettings(acceleration=acceleration))
        return np.abs(np.diff(smoothed, n=2, axis=0)).mean()

    assert measure_roughness(0.003) < measure_roughness(0.03) < measure_roughness(0.3)


@given(st.lists(st.tuples(coordinates, coordinates, sides, sides), min_size=1, max_size=12))
def test_smoothed_boxes_are_finite_and_have_a_size(boxes):
    smoothed = smooth_boxes(np.array(boxes))

    assert np.isfinite(smoothed).all()
    assert (smoothed[:, 2:] > 0).all()


def test_track_without_detection_stays_empty():
    assert np.isnan(smooth_boxes(np.full((3, 4), np.nan))).all()
    assert smooth_boxes(np.zeros((0, 4))).shape == (0, 4)
