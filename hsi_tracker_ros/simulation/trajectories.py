"""Trajectories of the objects and of the camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from hsi_tracker_ros.simulation.sprites import Pose
from hsi_tracker_ros.simulation.textures import make_smooth_walk

_MIN_LONG_SIDE_PX = 12.0
"""Smallest length in pixels to which the longer side of an object shrinks, unless it starts smaller."""

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """Center (pixels), half width and height (pixels) and angle (radians) in each frame."""

    x: Series
    y: Series
    half_width: Series
    half_height: Series
    angle: Series

    def translate(self, dx: Series, dy: Series) -> Trajectory:
        """Return the trajectory displaced by (dx, dy)."""
        return replace(self, x=self.x + dx, y=self.y + dy)

    def is_clear_of(self, other: Trajectory, frame: int) -> bool:
        """Return whether two objects cannot touch in a frame."""
        reach = sum(np.hypot(thing.half_width[frame], thing.half_height[frame]) for thing in (self, other))
        distance = np.hypot(self.x[frame] - other.x[frame], self.y[frame] - other.y[frame])
        return bool(distance > reach)


@dataclass(frozen=True)
class CameraPath:
    """The transform from the world to the image in each frame.

    `image = zoom * rotation * (world - center - shift) + center`.

    World coordinates are pixels of an image without shift, zoom and rotation.
    """

    shift: NDArray[np.float64]
    zoom: Series
    angle: Series
    center: tuple[float, float]

    def compute_matrix(self, frame: int) -> NDArray[np.float64]:
        """Return the transform from world to image in a frame, `(2, 3)`."""
        cos, sin = np.cos(self.angle[frame]), np.sin(self.angle[frame])
        linear = self.zoom[frame] * np.array([[cos, -sin], [sin, cos]])
        origin = np.array(self.center)
        return np.concatenate([linear, (origin - linear @ (origin + self.shift[frame]))[:, None]], axis=1)

    def to_world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert image positions `(frames, 2)` to world positions, each by the camera of its frame."""
        relative = (points - self.center) / self.zoom[:, None]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = np.stack(
            [cos * relative[:, 0] + sin * relative[:, 1], cos * relative[:, 1] - sin * relative[:, 0]], 1
        )
        return turned + np.array(self.center) + self.shift

    def compute_pose(self, trajectory: Trajectory, frame: int) -> Pose:
        """Return the pose of an object in the image in a frame."""
        matrix = self.compute_matrix(frame)
        x, y = matrix @ (trajectory.x[frame], trajectory.y[frame], 1.0)
        zoom = self.zoom[frame]
        return Pose(
            float(x),
            float(y),
            float(trajectory.half_width[frame] * zoom),
            float(trajectory.half_height[frame] * zoom),
            float(trajectory.angle[frame] + self.angle[frame]),
        )


def make_camera_path(
    rng: np.random.Generator, length: int, size: tuple[int, int], max_shift: tuple[float, float], shake: float
) -> CameraPath:
    """Return a camera that pans up to `max_shift` pixels either way, shakes, turns and zooms slightly."""
    pan = np.tanh(0.6 * make_smooth_walk(rng, length, rng.uniform(60, 200), 2)) * max_shift
    pan -= pan[0] * rng.uniform(0, 1)
    jitter = shake * (make_smooth_walk(rng, length, 9, 2) + 0.25 * make_smooth_walk(rng, length, 2.5, 2))
    return CameraPath(
        shift=np.clip(pan + jitter, -np.array(max_shift) * 1.2, np.array(max_shift) * 1.2),
        zoom=1 + 0.02 * np.tanh(make_smooth_walk(rng, length, 80)[:, 0]),
        angle=0.015 * np.tanh(make_smooth_walk(rng, length, 60)[:, 0]),
        center=(size[0] / 2, size[1] / 2),
    )


def make_wandering_trajectory(
    rng: np.random.Generator,
    length: int,
    size: tuple[int, int],
    half: tuple[float, float],
    *,
    speed: float,
    bursts: bool = False,
    scale_change: float = 0.15,
    turn: float = 0.3,
) -> Trajectory:
    """Return a smooth trajectory inside an image, with changing size, aspect and angle.

    Args:
        rng: random generator.
        length: number of frames.
        size: width and height of the image in pixels.
        half: half width and height of the object in pixels.
        speed: typical speed in pixels per frame.
        bursts: True if the object is several times as fast now and then.
        scale_change: standard deviation of the logarithm of its size.
        turn: standard deviation of its angle in radians.
    """
    direction = rng.uniform(0, 2 * np.pi) + 0.8 * make_smooth_walk(rng, length, 45)[:, 0]
    pace = speed * np.exp(0.5 * np.clip(make_smooth_walk(rng, length, 25)[:, 0], -2, 2))
    if bursts:
        hurry = np.clip(make_smooth_walk(rng, length, 10)[:, 0], 0, 2.2)
        pace += 8 * hurry
    step = np.stack([pace * np.cos(direction), 0.7 * pace * np.sin(direction)], axis=1)
    low = np.array([min(h, s / 3) for h, s in zip(half, size, strict=True)])
    room = np.array(size) - 2 * low
    start = rng.uniform(0.1, 0.9, 2) * room
    folded = (start + np.cumsum(step, axis=0)) % (2 * room)
    position = gaussian_filter1d(low + np.minimum(folded, 2 * room - folded), 2.0, axis=0, mode="nearest")
    smallest = min(np.log(_MIN_LONG_SIDE_PX / (2 * max(half))), 0.0)
    growth = np.exp(np.clip(scale_change * make_smooth_walk(rng, length, 50)[:, 0], max(smallest, -0.9), 0.9))
    aspect = np.exp(np.clip(0.4 * scale_change * make_smooth_walk(rng, length, 40)[:, 0], -0.35, 0.35))
    return Trajectory(
        position[:, 0],
        position[:, 1],
        half[0] * growth * aspect,
        half[1] * growth / aspect,
        turn * make_smooth_walk(rng, length, 50)[:, 0],
    )


def make_excursion(start: int, hold: int, travel: int, length: int) -> Series:
    """Return a series that rises smoothly from 0 to 1, stays there, and falls back to 0, `(length,)`.

    Args:
        start: frame at which the rise begins.
        hold: number of frames at 1.
        travel: number of frames of the rise, and of the fall.
        length: number of frames.
    """
    frames = np.arange(length)
    rise = np.clip((frames - start) / travel, 0, 1)
    fall = np.clip((frames - start - travel - hold) / travel, 0, 1)
    ramp = rise - fall
    return ramp * ramp * (3 - 2 * ramp)
