"""Where tracks were in their last frames, over the ground: what stands still is no mover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ways = NDArray[np.float64]
"""``(n, LENGTH, 2)`` centres x, y in this frame's pixels, newest last; NaN before the track began."""

LENGTH = 20
YOUNG = 3  # frames in which nothing can be said of a track's speed


def begin_ways(centres: NDArray[np.float64]) -> Ways:
    """Ways of tracks that begin at ``(n, 2)`` centres."""
    ways = np.full((len(centres), LENGTH, 2), np.nan)
    ways[:, -1] = centres
    return ways


def carry_ways(ways: Ways, transform: NDArray[np.float64]) -> Ways:
    """Ways in the axes of a camera that moved by ``(2, 3)`` previous -> current pixels."""
    return ways @ transform[:, :2].T + transform[:, 2]


def extend_ways(ways: Ways, centres: NDArray[np.float64]) -> Ways:
    """Ways with one more frame; the oldest is forgotten."""
    return np.concatenate([ways[:, 1:], centres[:, None]], axis=1)


def is_moving(ways: Ways, least_speed: float) -> NDArray[np.bool_]:
    """``(n,)`` whether tracks got on by ``least_speed`` pixels a frame since the oldest frame known."""
    known = np.isfinite(ways[:, :, 0])
    frames = known.sum(axis=1) - 1
    oldest = ways[np.arange(len(ways)), known.argmax(axis=1)]
    distance = np.linalg.norm(ways[:, -1] - oldest, axis=1)
    return (frames < YOUNG) | (distance >= least_speed * frames)
