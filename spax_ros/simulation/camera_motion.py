"""Motion of the camera: drift, jitter, slow rotation and scale, and the changing viewing angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CameraMotion:
    """The pose of the camera in each frame.

    Attributes:
        to_image: affine transforms from the ground map to the image in pixels, `(frames, 2, 3)`.
        lean: shift of a building's top in the image per pixel of its height, `(frames, 2)`.
        margin: number of pixels by which the ground map exceeds the image on each side.
    """

    to_image: Array
    lean: Array
    margin: int


def simulate_oscillation(rng: np.random.Generator, frames: int, rate: float, max_distance: float) -> Array:
    """Return a smooth path `(frames, 2)` that moves `rate` per frame and stays within `max_distance`."""
    times = np.arange(frames)[:, None]
    direction = rng.uniform(0, 2 * np.pi)
    axes = np.array([np.cos(direction), np.sin(direction)])
    frequency = rate / max_distance * rng.uniform(0.6, 1.0, 2)
    phase = rng.uniform(0, 2 * np.pi)
    return max_distance * axes * np.sin(frequency * times + phase)


def simulate_camera_motion(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> CameraMotion:
    """Return a camera motion as of video satellites: most stare at the ground, some drift by pixels per
    frame.
    """
    width, height = size
    drift = rng.choice(
        [rng.uniform(0, 0.15), rng.uniform(0.15, 1.0), rng.uniform(1.0, 3.0)], p=[0.5, 0.3, 0.2]
    )
    reach = min(20 + 60 * drift, 0.12 * (width + height))
    jitter = rng.choice(
        [rng.uniform(0, 0.1), rng.uniform(0.1, 0.4), rng.uniform(0.4, 1.0)], p=[0.5, 0.35, 0.15]
    )
    shift = simulate_oscillation(rng, frames, drift, reach) + rng.normal(0, jitter, (frames, 2))
    angle = simulate_oscillation(rng, frames, rng.uniform(0, 2e-4), 0.02)[:, 0]
    scale = 1 + simulate_oscillation(rng, frames, rng.uniform(0, 5e-5), 0.01)[:, 0]

    diagonal = np.hypot(width, height) / 2
    margin = int(np.abs(shift).max() + diagonal * (np.abs(angle).max() + np.abs(scale - 1).max())) + 4
    center = np.array([width, height]) / 2
    linear = scale[:, None, None] * np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1
    )
    offset = center + shift - linear @ (center + margin)
    to_image = np.concatenate([linear, offset[:, :, None]], axis=2)

    tilt, bearing = rng.uniform(0, 0.35), rng.uniform(0, 2 * np.pi)
    lean = tilt * np.array([np.cos(bearing), np.sin(bearing)]) + simulate_oscillation(
        rng, frames, rng.uniform(0.0003, 0.003), 0.15
    )
    return CameraMotion(to_image, lean, margin)
