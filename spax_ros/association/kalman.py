"""ByteTrack's Kalman filter over center, aspect ratio and height, for all tracks at once.

The four quantities are independent: each has a filter over its value and its rate per frame. The algebra is
therefore written out for two states, without a matrix inverse. Noise is proportional to the box's height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spax_ros.transforms import Transform, compute_jacobians, transform_points
from tracking_runtime.boxes import Boxes

POSITION_NOISE = 1 / 20  # standard deviation of a value, in heights of the box
RATE_NOISE = 1 / 160  # standard deviation of a rate per frame, in heights of the box
ASPECT_INDEX = 2  # of the aspect ratio among the four quantities


@dataclass(frozen=True)
class GaussianStates:
    """Gaussian states of n boxes.

    Attributes:
        mean: value and rate per frame of center x, center y, width / height and height, ``(n, 4, 2)``.
        covariance: covariance of value and rate, ``(n, 4, 2, 2)``.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def to_boxes(self) -> Boxes:
        """Return the mean boxes ``(n, 4)``: x, y, width, height in pixels."""
        x, y, aspect, height = self.mean[:, :, 0].T
        width = aspect * height
        return np.stack([x - width / 2, y - height / 2, width, height], axis=1)


def initiate(boxes: Boxes) -> GaussianStates:
    """Return the initial states of first detections, with zero velocity."""
    measured = _to_measurements(boxes)
    mean = np.stack([measured, np.zeros_like(measured)], axis=2)
    value, rate = _compute_noise(boxes[:, 3], aspect_value=1e-2, aspect_rate=1e-5, value=2.0, rate=10.0)
    covariance = np.zeros((*measured.shape, 2, 2))
    covariance[..., 0, 0] = value**2
    covariance[..., 1, 1] = rate**2
    return GaussianStates(mean, covariance)


def predict(states: GaussianStates) -> GaussianStates:
    """Return the states one frame later."""
    value, rate = _compute_noise(states.mean[:, 3, 0], aspect_value=1e-2, aspect_rate=1e-5)
    mean = states.mean.copy()
    mean[..., 0] += mean[..., 1]
    covariance = states.covariance.copy()
    covariance[..., 0, :] += covariance[..., 1, :]
    covariance[..., :, 0] += covariance[..., :, 1]
    covariance[..., 0, 0] += value**2
    covariance[..., 1, 1] += rate**2
    return GaussianStates(mean, covariance)


def update(states: GaussianStates, boxes: Boxes) -> GaussianStates:
    """Return the states after each box was measured."""
    noise, _ = _compute_noise(states.mean[:, 3, 0], aspect_value=1e-1, aspect_rate=1e-5)
    innovation = _to_measurements(boxes) - states.mean[..., 0]
    variance = states.covariance[..., 0, 0] + noise**2
    gain = states.covariance[..., :, 0] / variance[..., None]
    mean = states.mean + gain * innovation[..., None]
    covariance = states.covariance - gain[..., :, None] * gain[..., None, :] * variance[..., None, None]
    return GaussianStates(mean, covariance)


def apply_camera_motion(states: GaussianStates, transform: Transform) -> GaussianStates:
    """Return the states in the pixels of the current frame.

    Args:
        states: states in the pixels of the previous frame.
        transform: camera motion ``(3, 3)`` from the previous frame's pixels to the current frame's.
    """
    mean = states.mean.copy()
    centers = states.mean[:, :2, 0]
    mean[:, :2, 0] = transform_points(centers, transform)
    mean[:, :2, 1] = np.einsum("nij,nj->ni", compute_jacobians(centers, transform), states.mean[:, :2, 1])
    return GaussianStates(mean, states.covariance)


def _to_measurements(boxes: Boxes) -> NDArray[np.float64]:
    x, y, width, height = boxes.T
    return np.stack([x + width / 2, y + height / 2, width / height, height], axis=1)


def _compute_noise(
    height: NDArray[np.float64],
    *,
    aspect_value: float,
    aspect_rate: float,
    value: float = 1.0,
    rate: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the standard deviations ``(n, 4)`` of the values, and those of the rates."""
    value_noise = np.repeat((value * POSITION_NOISE * height)[:, None], 4, axis=1)
    rate_noise = np.repeat((rate * RATE_NOISE * height)[:, None], 4, axis=1)
    value_noise[:, ASPECT_INDEX] = aspect_value
    rate_noise[:, ASPECT_INDEX] = aspect_rate
    return value_noise, rate_noise
