"""Random fields and random functions of time for natural surfaces and motions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Field = NDArray[np.float32]


def make_fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    period: float,
    octaves: int = 4,
    persistence: float = 0.55,
) -> Field:
    """Return noise of zero mean and unit standard deviation, `(height, width)`.

    Args:
        rng: random generator.
        height: number of rows.
        width: number of columns.
        period: size of the coarsest features in pixels. Each further octave halves it.
        octaves: number of octaves. Octaves with features under 1.5 pixels are omitted.
        persistence: amplitude of an octave relative to the previous octave.
    """
    total = np.zeros((height, width), dtype=np.float32)
    amplitude = 1.0
    for _ in range(octaves):
        if period < 1.5:
            break
        rows, columns = int(height / period) + 3, int(width / period) + 3
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        fine = cv2.resize(
            grid, (int(columns * period) + 1, int(rows * period) + 1), interpolation=cv2.INTER_CUBIC
        )
        y, x = rng.integers(0, fine.shape[0] - height + 1), rng.integers(0, fine.shape[1] - width + 1)
        total += np.float32(amplitude) * fine[y : y + height, x : x + width]
        amplitude *= persistence
        period /= 2
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def make_smooth_walk(
    rng: np.random.Generator, length: int, period: float, channels: int = 1
) -> NDArray[np.float64]:
    """Return smooth random functions of time with zero mean, `(length, channels)`.

    The knots are `period` frames apart and have unit standard deviation.
    """
    knots = int(np.ceil(length / period)) + 3
    values = rng.standard_normal((knots, channels))
    times = (np.arange(knots) - rng.uniform(0.2, 0.8)) * period
    result: NDArray[np.float64] = CubicSpline(times, values)(np.arange(length, dtype=np.float64))
    return result


def compute_fractions(logits: NDArray[np.float32], sharpness: float) -> NDArray[np.float32]:
    """Return fractions of materials at each pixel, in the shape of the logits.

    The fractions are the softmax over the last axis of `sharpness * logits`.
    """
    scaled = np.exp(sharpness * (logits - logits.max(axis=-1, keepdims=True)))
    scaled /= scaled.sum(axis=-1, keepdims=True)
    return scaled


def warp_field(
    field: NDArray[np.float32], rng: np.random.Generator, period: float, distance: float
) -> NDArray[np.float32]:
    """Displace a field by smooth noise, for organic borders, and return it in the same shape.

    Args:
        field: field (H, W) or (H, W, channels).
        rng: random number generator.
        period: longest period of the noise in pixels.
        distance: displacement in pixels where the noise is 1.
    """
    height, width = field.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x += distance * make_fractal_noise(rng, height, width, period, 3)
    y += distance * make_fractal_noise(rng, height, width, period, 3)
    moved = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.float32)
