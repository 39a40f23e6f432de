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
    """Return a camera motion as of video satellites: most stare at the ground, some drift.

    Args:
        rng: random generator.
        frames: number of frames.
        size: width and height of the images in pixels.
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

    to_image, margin = _compose_poses(shift, angle, scale, size)
    tilt, bearing = rng.uniform(0, 0.35), rng.uniform(0, 2 * np.pi)
    lean = tilt * np.array([np.cos(bearing), np.sin(bearing)]) + simulate_oscillation(
        rng, frames, rng.uniform(0.0003, 0.003), 0.15
    )
    return CameraMotion(to_image, lean, margin)


def simulate_flight(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> CameraMotion:
    """Return the camera motion of a drone that turns, zooms, moves and vibrates, with a rolling shutter.

    It turns by up to 3 degrees and zooms by up to 3 % from frame to frame.
    """
    reach = 0.12 * sum(size)
    shift = simulate_oscillation(rng, frames, rng.uniform(1.5, 5.0), reach) + rng.normal(0, 0.7, (frames, 2))
    angle = simulate_oscillation(rng, frames, np.radians(rng.uniform(1.0, 3.0)), np.radians(50))[:, 0]
    scale = np.exp(simulate_oscillation(rng, frames, rng.uniform(0.01, 0.03), 0.2)[:, 0])
    to_image, margin = _compose_poses(shift, angle, scale, size)

    # The rows of a rolling shutter are exposed one after another, during the motion of half a frame.
    readout = 0.5 * np.gradient(shift, axis=0) / size[1] if frames > 1 else np.zeros((frames, 2))
    shear = np.repeat(np.eye(2)[None], frames, axis=0)
    shear[:, :, 1] += readout
    sheared = np.concatenate([shear @ to_image[:, :, :2], shear @ to_image[:, :, 2:]], axis=2)
    lean = simulate_oscillation(rng, frames, rng.uniform(0.001, 0.004), 0.15)
    return CameraMotion(sheared, lean, margin + 8)


def _compose_poses(shift: Array, angle: Array, scale: Array, size: tuple[int, int]) -> tuple[Array, int]:
    """Return the transforms from the ground map to the image ``(frames, 2, 3)``, and the map's margin."""
    width, height = size
    diagonal = np.hypot(width, height) / 2
    margin = int(np.abs(shift).max() + diagonal * (np.abs(angle).max() + np.abs(scale - 1).max())) + 4
    center = np.array([width, height]) / 2
    linear = scale[:, None, None] * np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1
    )
    offset = center + shift - linear @ (center + margin)
    return np.concatenate([linear, offset[:, :, None]], axis=2), margin
