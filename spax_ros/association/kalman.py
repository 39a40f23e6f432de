"""ByteTrack's Kalman filter over centre, aspect ratio and height, for all tracks at once.

Its four quantities never mix: each is a filter of its own over a value and its rate per frame. So the algebra
is written out for two states, with no matrix inverse. Noise is proportional to the box's height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes

POSITION_NOISE = 1 / 20
RATE_NOISE = 1 / 160
ASPECT = 2


@dataclass(frozen=True)
class Beliefs:
    """Gaussian beliefs about n boxes.

    Attributes:
        mean: ``(n, 4, 2)`` value and rate per frame of centre x, centre y, width / height, height.
        covariance: ``(n, 4, 2, 2)`` of value and rate.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def boxes(self) -> Boxes:
        """``(n, 4)`` x, y, width, height in pixels."""
        x, y, aspect, height = self.mean[:, :, 0].T
        width = aspect * height
        return np.stack([x - width / 2, y - height / 2, width, height], axis=1)


def begin(boxes: Boxes) -> Beliefs:
    """Beliefs after a first look, at rest."""
    measured = _measurements(boxes)
    mean = np.stack([measured, np.zeros_like(measured)], axis=2)
    value, rate = _noise(boxes[:, 3], aspect_value=1e-2, aspect_rate=1e-5, value=2.0, rate=10.0)
    covariance = np.zeros((*measured.shape, 2, 2))
    covariance[..., 0, 0], covariance[..., 1, 1] = value**2, rate**2
    return Beliefs(mean, covariance)


def predict(beliefs: Beliefs) -> Beliefs:
    """Beliefs one frame later."""
    value, rate = _noise(beliefs.mean[:, 3, 0], aspect_value=1e-2, aspect_rate=1e-5)
    mean = beliefs.mean.copy()
    mean[..., 0] += mean[..., 1]
    covariance = beliefs.covariance.copy()
    covariance[..., 0, :] += covariance[..., 1, :]
    covariance[..., :, 0] += covariance[..., :, 1]
    covariance[..., 0, 0] += value**2
    covariance[..., 1, 1] += rate**2
    return Beliefs(mean, covariance)


def correct(beliefs: Beliefs, boxes: Boxes) -> Beliefs:
    """Beliefs after each box was seen."""
    noise, _ = _noise(beliefs.mean[:, 3, 0], aspect_value=1e-1, aspect_rate=1e-5)
    innovation = _measurements(boxes) - beliefs.mean[..., 0]
    spread = beliefs.covariance[..., 0, 0] + noise**2
    gain = beliefs.covariance[..., :, 0] / spread[..., None]
    mean = beliefs.mean + gain * innovation[..., None]
    covariance = beliefs.covariance - gain[..., :, None] * gain[..., None, :] * spread[..., None, None]
    return Beliefs(mean, covariance)


def carry(beliefs: Beliefs, transform: NDArray[np.float64]) -> Beliefs:
    """Beliefs in the axes of a camera that moved by ``(2, 3)`` previous -> current pixels."""
    mean = beliefs.mean.copy()
    mean[:, :2] = np.einsum("ij,njs->nis", transform[:, :2], mean[:, :2])
    mean[:, :2, 0] += transform[:, 2]
    return Beliefs(mean, beliefs.covariance)


def _measurements(boxes: Boxes) -> NDArray[np.float64]:
    x, y, width, height = boxes.T
    return np.stack([x + width / 2, y + height / 2, width / height, height], axis=1)


def _noise(
    height: NDArray[np.float64],
    *,
    aspect_value: float,
    aspect_rate: float,
    value: float = 1.0,
    rate: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard deviations ``(n, 4)`` of the values and of the rates."""
    of_value = np.repeat((value * POSITION_NOISE * height)[:, None], 4, axis=1)
    of_rate = np.repeat((rate * RATE_NOISE * height)[:, None], 4, axis=1)
    of_value[:, ASPECT], of_rate[:, ASPECT] = aspect_value, aspect_rate
    return of_value, of_rate
