"""Where things and the camera are, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from hsi_tracker_ros.simulation.sprites import Pose
from hsi_tracker_ros.simulation.textures import smooth_walk

_SMALLEST_PX = 12.0
"""Nothing shrinks until its longer side is shorter than this, unless it begins so."""

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """One value a frame: centre (pixels), half width and height (pixels), angle (radians)."""

    x: Series
    y: Series
    half_width: Series
    half_height: Series
    angle: Series

    def moved(self, dx: Series, dy: Series) -> Trajectory:
        """The same, displaced."""
        return replace(self, x=self.x + dx, y=self.y + dy)

    def clear_of(self, other: Trajectory, frame: int) -> bool:
        """Whether the two things cannot touch in a frame."""
        reach = sum(np.hypot(thing.half_width[frame], thing.half_height[frame]) for thing in (self, other))
        distance = np.hypot(self.x[frame] - other.x[frame], self.y[frame] - other.y[frame])
        return bool(distance > reach)


@dataclass(frozen=True)
class CameraPath:
    """How the image lies in the world, frame by frame.

    ``image = zoom * rotation * (world - centre - shift) + centre``.

    World coordinates are those of an image with no shift, zoom or rotation, in pixels.
    """

    shift: NDArray[np.float64]
    zoom: Series
    angle: Series
    centre: tuple[float, float]

    def matrix(self, frame: int) -> NDArray[np.float64]:
        """World to image at a frame, ``(2, 3)``."""
        cos, sin = np.cos(self.angle[frame]), np.sin(self.angle[frame])
        linear = self.zoom[frame] * np.array([[cos, -sin], [sin, cos]])
        origin = np.array(self.centre)
        return np.concatenate([linear, (origin - linear @ (origin + self.shift[frame]))[:, None]], axis=1)

    def to_world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """World positions of ``(frames, 2)`` image positions, each by the camera of its own frame."""
        relative = (points - self.centre) / self.zoom[:, None]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = np.stack(
            [cos * relative[:, 0] + sin * relative[:, 1], cos * relative[:, 1] - sin * relative[:, 0]], 1
        )
        return turned + np.array(self.centre) + self.shift

    def pose(self, trajectory: Trajectory, frame: int) -> Pose:
        """A thing's pose in the image at a frame."""
        matrix = self.matrix(frame)
        x, y = matrix @ (trajectory.x[frame], trajectory.y[frame], 1.0)
        zoom = self.zoom[frame]
        return Pose(
            float(x),
            float(y),
            float(trajectory.half_width[frame] * zoom),
            float(trajectory.half_height[frame] * zoom),
            float(trajectory.angle[frame] + self.angle[frame]),
        )


def camera_path(
    rng: np.random.Generator, length: int, size: tuple[int, int], reach: tuple[float, float], shake: float
) -> CameraPath:
    """A camera that pans within ``reach`` (pixels either way), shakes, turns and zooms a little."""
    pan = np.tanh(0.6 * smooth_walk(rng, length, rng.uniform(60, 200), 2)) * reach
    pan -= pan[0] * rng.uniform(0, 1)
    jitter = shake * (smooth_walk(rng, length, 9, 2) + 0.25 * smooth_walk(rng, length, 2.5, 2))
    return CameraPath(
        shift=np.clip(pan + jitter, -np.array(reach) * 1.2, np.array(reach) * 1.2),
        zoom=1 + 0.02 * np.tanh(smooth_walk(rng, length, 80)[:, 0]),
        angle=0.015 * np.tanh(smooth_walk(rng, length, 60)[:, 0]),
        centre=(size[0] / 2, size[1] / 2),
    )


def wandering(
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
    """A smooth path that stays inside an image of ``size``, with changing size, aspect and angle.

    Args:
        rng: source of chance.
        length: frames.
        size: width and height of the image in pixels.
        half: half width and height of the thing in pixels.
        speed: pixels a frame, typical.
        bursts: whether it now and then moves several times as fast.
        scale_change: deviation of the logarithm of its size.
        turn: deviation of its angle in radians.
    """
    direction = rng.uniform(0, 2 * np.pi) + 0.8 * smooth_walk(rng, length, 45)[:, 0]
    pace = speed * np.exp(0.5 * np.clip(smooth_walk(rng, length, 25)[:, 0], -2, 2))
    if bursts:
        hurry = np.clip(smooth_walk(rng, length, 10)[:, 0], 0, 2.2)
        pace += 8 * hurry
    step = np.stack([pace * np.cos(direction), 0.7 * pace * np.sin(direction)], axis=1)
    low = np.array([min(h, s / 3) for h, s in zip(half, size, strict=True)])
    room = np.array(size) - 2 * low
    start = rng.uniform(0.1, 0.9, 2) * room
    folded = (start + np.cumsum(step, axis=0)) % (2 * room)
    position = gaussian_filter1d(low + np.minimum(folded, 2 * room - folded), 2.0, axis=0, mode="nearest")
    smallest = min(np.log(_SMALLEST_PX / (2 * max(half))), 0.0)
    growth = np.exp(np.clip(scale_change * smooth_walk(rng, length, 50)[:, 0], max(smallest, -0.9), 0.9))
    aspect = np.exp(np.clip(0.4 * scale_change * smooth_walk(rng, length, 40)[:, 0], -0.35, 0.35))
    return Trajectory(
        position[:, 0],
        position[:, 1],
        half[0] * growth * aspect,
        half[1] * growth / aspect,
        turn * smooth_walk(rng, length, 50)[:, 0],
    )


def away(start: int, hold: int, travel: int, length: int) -> Series:
    """0, rising smoothly to 1 over ``travel`` frames from ``start`` on, 1 for ``hold`` frames, and back."""
    frames = np.arange(length)
    rise = np.clip((frames - start) / travel, 0, 1)
    fall = np.clip((frames - start - travel - hold) / travel, 0, 1)
    ramp = rise - fall
    return ramp * ramp * (3 - 2 * ramp)
