"""Ground speed and heading of tracks by linear regression over a window of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.geography.local_plane import compute_degree_lengths, wrap_longitude

FloatArray = NDArray[np.float64]

_MAX_NEIGHBORS = 100  # samples of a window on each side; a longer window uses the nearest


@dataclass(frozen=True)
class GroundMotion:
    """Motion of one track on the ground.

    Attributes:
        speeds_m_s: ground speed at each position in m/s, (n,); NaN if unknown.
        headings_deg: direction of motion in degrees, 0..360 clockwise from true north, (n,); NaN if unknown
            or if the speed is not significant.
    """

    speeds_m_s: FloatArray
    headings_deg: FloatArray


def estimate_ground_motion(
    times_s: ArrayLike,
    coordinates: ArrayLike,
    *,
    window_s: float = 1.0,
    position_errors_m: ArrayLike = 0.0,
) -> GroundMotion:
    """Estimate speed and heading of one track.

    Args:
        times_s: time of each position in seconds, ascending, (n,).
        coordinates: latitude and longitude of each position in degrees, (n, 2).
        window_s: length of the window of the regression in seconds. A longer window reduces noise and
            smooths turns.
        position_errors_m: standard deviation of each position in meters, (n,) or a scalar. The heading is NaN
            if the speed is below its own standard deviation.
    """
    points = np.asarray(coordinates, np.float64).reshape(-1, 2)
    relative = points - points[:1]
    relative[:, 1] = wrap_longitude(relative[:, 1])
    slopes, gains = estimate_velocities(times_s, relative, window_s)
    north, east = (slopes * compute_degree_lengths(points[:, 0])).T
    speeds = np.hypot(east, north)
    is_significant = (speeds > gains * np.asarray(position_errors_m, np.float64)) & (speeds > 0)
    return GroundMotion(speeds, np.where(is_significant, compute_heading(east, north), np.nan))


def compute_heading(east: ArrayLike, north: ArrayLike) -> FloatArray:
    """Return the direction of velocities in degrees, 0 <= heading < 360 clockwise from north.

    Args:
        east: velocities to the east, of any shape and unit.
        north: velocities to the north, of the same shape and unit.
    """
    headings = np.degrees(np.arctan2(np.asarray(east, np.float64), np.asarray(north, np.float64))) % 360
    return np.where(headings >= 360, 0.0, headings)  # -1e-20 % 360 is 360


def estimate_velocities(
    times_s: ArrayLike, positions: ArrayLike, window_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the slope of positions over time at each sample, by regression over a centered window.

    The nearest sample on each side always belongs to the window, so that a low frame rate gives a slope, too.

    Args:
        times_s: time of each sample in seconds, ascending, (n,).
        positions: position of each sample, (n, k).
        window_s: length of the window in seconds.

    Returns:
        Slopes per second, (n, k), NaN if a window has less than two times; and the standard deviation of each
        slope per unit of the positions' standard deviation, in 1/s, (n,).
    """
    times = np.asarray(times_s, np.float64).reshape(-1)
    values = np.asarray(positions, np.float64)
    num_samples = len(times)
    half = window_s / 2 * (1 + 1e-9)  # a sample at the window's edge belongs to the window
    indices = np.arange(num_samples)
    first = np.searchsorted(times, times - half, side="left")
    last = np.searchsorted(times, times + half, side="right") - 1
    reach = int(np.clip(np.max([indices - first, last - indices], initial=1), 1, _MAX_NEIGHBORS))
    offsets = np.arange(-reach, reach + 1)
    neighbors = indices[:, None] + offsets
    is_inside = (neighbors >= np.minimum(first, indices - 1)[:, None]) & (
        neighbors <= np.maximum(last, indices + 1)[:, None]
    )
    weights = (is_inside & (neighbors >= 0) & (neighbors < num_samples)).astype(np.float64)
    neighbors = np.clip(neighbors, 0, max(num_samples - 1, 0))
    window_times = times[neighbors] - times[:, None]
    window_values = values[neighbors] - values[:, None]
    counts = weights.sum(axis=1)
    centered = (window_times - ((weights * window_times).sum(axis=1) / counts)[:, None]) * weights
    spread = (centered**2).sum(axis=1)
    spread = np.where(spread > 0, spread, np.nan)
    slopes = (centered[..., None] * window_values).sum(axis=1) / spread[:, None]
    return slopes, 1 / np.sqrt(spread)
