"""How the camera moves: drift, jitter, slow rotation and scale, and the changing angle of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Platform:
    """The camera's pose at every frame.

    Attributes:
        to_image: ``(frames, 2, 3)`` affine maps from the ground map to the image, in pixels.
        lean: ``(frames, 2)`` by how much the top of a building shifts in the image, per pixel of its height.
        margin: by how many pixels the ground map exceeds the image on every side, so that no frame leaves it.
    """

    to_image: Array
    lean: Array
    margin: int


def sway(rng: np.random.Generator, frames: int, rate: float, reach: float) -> Array:
    """``(frames, 2)`` smooth path that moves ``rate`` a frame and turns back before it is ``reach`` away."""
    times = np.arange(frames)[:, None]
    direction = rng.uniform(0, 2 * np.pi)
    axes = np.array([np.cos(direction), np.sin(direction)])
    frequency = rate / reach * rng.uniform(0.6, 1.0, 2)
    phase = rng.uniform(0, 2 * np.pi)
    return reach * axes * np.sin(frequency * times + phase)


def fly(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> Platform:
    """A platform as video satellites have them: most stare at the ground, some drift by pixels a frame."""
    width, height = size
    drift = rng.choice(
        [rng.uniform(0, 0.15), rng.uniform(0.15, 1.0), rng.uniform(1.0, 3.0)], p=[0.5, 0.3, 0.2]
    )
    reach = min(20 + 60 * drift, 0.12 * (width + height))
    jitter = rng.choice(
        [rng.uniform(0, 0.1), rng.uniform(0.1, 0.4), rng.uniform(0.4, 1.0)], p=[0.5, 0.35, 0.15]
    )
    shift = sway(rng, frames, drift, reach) + rng.normal(0, jitter, (frames, 2))
    angle = sway(rng, frames, rng.uniform(0, 2e-4), 0.02)[:, 0]
    scale = 1 + sway(rng, frames, rng.uniform(0, 5e-5), 0.01)[:, 0]

    diagonal = np.hypot(width, height) / 2
    margin = int(np.abs(shift).max() + diagonal * (np.abs(angle).max() + np.abs(scale - 1).max())) + 4
    centre = np.array([width, height]) / 2
    linear = scale[:, None, None] * np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1
    )
    offset = centre + shift - linear @ (centre + margin)
    to_image = np.concatenate([linear, offset[:, :, None]], axis=2)

    tilt, bearing = rng.uniform(0, 0.35), rng.uniform(0, 2 * np.pi)
    lean = tilt * np.array([np.cos(bearing), np.sin(bearing)]) + sway(
        rng, frames, rng.uniform(0.0003, 0.003), 0.15
    )
    return Platform(to_image, lean, margin)
