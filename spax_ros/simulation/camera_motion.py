"""Motion of the camera: drift, jitter, slow rotation and scale, and the changing viewing angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TILTS = 0.1, 0.3  # decrease of the scale from the center to the upper border, of a camera that looks aslant
_NOD = 0.05  # largest change of the tilt
_NOD_RATES = 0.001, 0.01  # change of the tilt a frame


@dataclass(frozen=True)
class CameraMotion:
    """The pose of the camera in each frame.

    Attributes:
        to_image: homographies from the ground map to the image in pixels, `(frames, 3, 3)`.
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


def simulate_flight(
    rng: np.random.Generator, frames: int, size: tuple[int, int], *, is_aslant: bool = False
) -> CameraMotion:
    """Return the camera motion of a drone that turns, zooms, moves and vibrates, with a rolling shutter.

    It turns by up to 3 degrees and zooms by up to 3 % from frame to frame.

    Args:
        rng: random generator.
        frames: number of frames.
        size: width and height of the images in pixels.
        is_aslant: True for a camera that looks aslant at the ground and nods; False for straight down.
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
    sheared = to_image.copy()
    sheared[:, :2] = np.concatenate([shear @ to_image[:, :2, :2], shear @ to_image[:, :2, 2:]], axis=2)
    lean = simulate_oscillation(rng, frames, rng.uniform(0.001, 0.004), 0.15)
    margin += 8
    if is_aslant:
        sheared, margin = _tilt(rng, sheared, margin, size)
    return CameraMotion(sheared, lean, margin)


def _tilt(rng: np.random.Generator, to_image: Array, margin: int, size: tuple[int, int]) -> tuple[Array, int]:
    """Return the transforms ``(frames, 3, 3)`` and the margin of a camera that looks up from straight down.

    What is above the image's center is farther away and smaller. The tilt changes as the camera nods.
    """
    frames = len(to_image)
    tilt = rng.uniform(*_TILTS) + simulate_oscillation(rng, frames, rng.uniform(*_NOD_RATES), _NOD)[:, 0]
    half_height = size[1] / 2
    to_center = np.array([[1, 0, -size[0] / 2], [0, 1, -half_height], [0, 0, 1]])
    perspective = np.repeat(np.eye(3)[None], frames, axis=0)
    perspective[:, 2, 1] = -tilt / half_height
    tilted = np.linalg.inv(to_center) @ perspective @ to_center @ to_image
    # The far side shows ground that is up to 1 / (1 - tilt) as far from the center.
    extra = int(np.ceil(np.hypot(*size) / 2 * (1 / (1 - tilt.max()) - 1))) + 1
    shift = np.array([[1, 0, -extra], [0, 1, -extra], [0, 0, 1.0]])
    tilted = tilted @ shift
    return tilted / tilted[:, 2:, 2:], margin + extra


def _compose_poses(shift: Array, angle: Array, scale: Array, size: tuple[int, int]) -> tuple[Array, int]:
    """Return the transforms from the ground map to the image ``(frames, 3, 3)``, and the map's margin."""
    width, height = size
    diagonal = np.hypot(width, height) / 2
    margin = int(np.abs(shift).max() + diagonal * (np.abs(angle).max() + np.abs(scale - 1).max())) + 4
    center = np.array([width, height]) / 2
    linear = scale[:, None, None] * np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1
    )
    offset = center + shift - linear @ (center + margin)
    to_image = np.repeat(np.eye(3)[None], len(shift), axis=0)
    to_image[:, :2, :2], to_image[:, :2, 2] = linear, offset
    return to_image, margin
