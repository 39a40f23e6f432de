"""Smoothing of the boxes of one track (Rauch-Tung-Striebel smoother), and interpolation of its gaps.

Centers and sizes move with nearly constant velocity: white noise changes the velocity. The smoother runs a
Kalman filter forward and corrects its states backward, so that each box depends on all detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, as_boxes, compute_centers

Floats = NDArray[np.float64]

_UNKNOWN = 1e4  # deviation of the first position and velocity, in sizes of the box
_TRANSITION = np.array([[1.0, 1.0], [0.0, 1.0]])  # position and velocity after one frame
_VELOCITY_NOISE = np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]])  # of white noise over one frame


@dataclass(frozen=True)
class SmoothingSettings:
    """Noise of a track. The ratio of both decides how much its boxes are smoothed.

    Attributes:
        measurement: deviation of a box's center and sides, as a fraction of its size. Higher smooths more.
        acceleration: deviation of the change of velocity in one frame, as a fraction of the size. Lower
            smooths more, and cuts corners.
    """

    measurement: float = 0.07
    acceleration: float = 0.03


def smooth_boxes(boxes: Boxes, settings: SmoothingSettings | None = None) -> Boxes:
    """Smooth the boxes of one track and interpolate its gaps.

    Args:
        boxes: boxes of consecutive frames, (n, 4); NaN where the object was not detected.
        settings: noise of the track; None: the defaults.

    Returns:
        Boxes of all frames from the first to the last detection, (n, 4); NaN before and after.
    """
    settings = settings or SmoothingSettings()
    boxes = as_boxes(boxes)
    smoothed = np.full_like(boxes, np.nan)
    detected = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    if not len(detected):
        return smoothed
    span = slice(detected[0], detected[-1] + 1)
    values = np.concatenate([compute_centers(boxes[span]), boxes[span, 2:]], axis=1)
    size = float(np.sqrt(np.median(boxes[detected, 2:].prod(axis=1))))
    values = smooth_values(values, settings.measurement * size, settings.acceleration * size, size)
    sides = np.maximum(values[:, 2:], boxes[detected, 2:].min(axis=0) / 2)
    smoothed[span] = np.concatenate([values[:, :2] - sides / 2, sides], axis=1)
    return smoothed


def smooth_values(values: Floats, measurement: float, acceleration: float, scale: float) -> Floats:
    """Smooth series of numbers with nearly constant velocity.

    Args:
        values: series in columns, (n, k); rows of NaN are interpolated. The first row must be finite.
        measurement: deviation of a value.
        acceleration: deviation of the change of velocity from row to row.
        scale: size of usual changes; the velocity is unknown at the start by many times this.

    Returns:
        Smoothed series, (n, k).
    """
    num_rows, num_series = values.shape
    # All columns have the same covariances, which depend only on the gaps.
    means = np.zeros((num_rows, 2, num_series))
    covariances = np.zeros((num_rows, 2, 2))
    predicted_means = np.zeros_like(means)
    predicted_covariances = np.zeros_like(covariances)
    noise = acceleration**2 * _VELOCITY_NOISE
    is_known = np.asarray(np.isfinite(values).all(axis=1))
    mean = np.stack([values[0], np.zeros(num_series)])
    covariance = np.eye(2) * (_UNKNOWN * scale) ** 2

    # Step 1: Kalman filter.
    for row in range(num_rows):
        if row:
            mean = _TRANSITION @ mean
            covariance = _TRANSITION @ covariance @ _TRANSITION.T + noise
        predicted_means[row], predicted_covariances[row] = mean, covariance
        if is_known[row]:
            gain = covariance[:, :1] / (covariance[0, 0] + measurement**2)
            mean = mean + gain * (values[row] - mean[0])
            covariance = covariance - gain @ covariance[:1]
        means[row], covariances[row] = mean, covariance

    # Step 2: correction by later rows.
    for row in range(num_rows - 2, -1, -1):
        gain = covariances[row] @ _TRANSITION.T @ np.linalg.inv(predicted_covariances[row + 1])
        means[row] += gain @ (means[row + 1] - predicted_means[row + 1])
    return means[:, 0]
