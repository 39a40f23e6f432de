"""Ground positions of tracks in their last frames; a track that stands still is no moving object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spax_ros.transforms import Transform, transform_points

PositionHistory = NDArray[np.float64]
"""Centers x, y ``(n, NUM_FRAMES, 2)`` in the newest frame's pixels, newest last; NaN before the track
began."""

NUM_FRAMES = 20  # frames in a history
MIN_FRAMES = 3  # frames after a track's first from which its speed is known


def start_history(centers: NDArray[np.float64]) -> PositionHistory:
    """Return the histories of tracks that begin at centers ``(n, 2)``."""
    history = np.full((len(centers), NUM_FRAMES, 2), np.nan)
    history[:, -1] = centers
    return history


def transform_history(history: PositionHistory, transform: Transform) -> PositionHistory:
    """Return the histories in the pixels of the current frame.

    Args:
        history: histories in the pixels of the previous frame.
        transform: camera motion ``(3, 3)`` from the previous frame's pixels to the current frame's.
    """
    return transform_points(history, transform)


def extend_history(history: PositionHistory, centers: NDArray[np.float64]) -> PositionHistory:
    """Return the histories with the centers ``(n, 2)`` of one more frame, without their oldest frame."""
    return np.concatenate([history[:, 1:], centers[:, None]], axis=1)


def is_moving(history: PositionHistory, min_speed: float) -> NDArray[np.bool_]:
    """Return whether each track moved on average `min_speed` pixels a frame ``(n,)``; true for new tracks."""
    is_known = np.isfinite(history[:, :, 0])
    num_steps = is_known.sum(axis=1) - 1
    oldest = history[np.arange(len(history)), is_known.argmax(axis=1)]
    distance = np.linalg.norm(history[:, -1] - oldest, axis=1)
    return (num_steps < MIN_FRAMES) | (distance >= min_speed * num_steps)
