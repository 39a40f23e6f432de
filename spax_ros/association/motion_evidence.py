"""Confirmation of tracks by their motion: speed beyond the noise of the positions, and age beyond clutter.

Glint, waves, wakes and the parallax of buildings give detections that last for some frames and hardly move. A
line is fitted to the positions of a track over the ground. The track moves if the speed of the line exceeds
its standard error by far: jitter has no speed, and the residuals of a zigzag make the standard error large.
Where many tracks died young, a track needs more detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PositionWindow = NDArray[np.float64]
"""Detected centers x, y ``(n, WINDOW_FRAMES, 2)`` in the newest frame's pixels, newest last; NaN in frames
without a detection."""

WINDOW_FRAMES = 32  # frames to which the line is fitted
_CELL_PX = 64  # side of the cells in which lost tracks are counted
YOUNG_FRAMES = 20  # life of a track below which it counts as clutter when it is lost
_MEMORY_FRAMES = 60.0  # time constant of the counts


@dataclass(frozen=True)
class MotionEvidence:
    """Evidence that confirms a track, once and for all its life.

    Attributes:
        min_detections: detections that a track needs where no other track was lost. Higher delays all tracks.
        min_significance: speed in units of its standard error that a track needs. Higher demands a longer or
            straighter path.
        min_speed: speed over the ground in pixels a frame that a track needs. Higher rejects the parallax of
            higher buildings, and slower objects.
        min_distance: way over the ground in pixels that a track needs. Higher delays slow objects.
        position_noise: standard deviation of a detection's position in pixels that is assumed at least.
        min_hit_rate: fraction of a track's frames with a detection that it needs. Higher rejects objects that
            flash.
        clutter_delay: detections that a track needs in addition for each e-fold of detections of lost tracks
            around it. Higher gives fewer false tracks over water and among high buildings, and delays all
            tracks there.
        clutter_evidence: logarithm of the likelihood ratio of moving and standing that a track needs in
            addition for each such e-fold.
        max_coasting_frames: frames that a track without evidence coasts before it is removed.
    """

    min_detections: int = 3
    min_significance: float = 5.0
    min_speed: float = 0.15
    min_distance: float = 1.5
    position_noise: float = 0.3
    min_hit_rate: float = 0.5
    clutter_delay: float = 8.0
    clutter_evidence: float = 5.0
    max_coasting_frames: int = 4


@dataclass(frozen=True)
class PathFit:
    """Straight paths fitted to the positions of n tracks.

    Attributes:
        speeds: speed in pixels a frame, ``(n,)``.
        significances: speed in units of its standard error, ``(n,)``; 0 with one detection.
        num_detections: number of detections in the window, ``(n,)``.
        num_frames: number of frames from the first to the last of them, ``(n,)``.
    """

    speeds: NDArray[np.float64]
    significances: NDArray[np.float64]
    num_detections: NDArray[np.int64]
    num_frames: NDArray[np.int64]


def start_window(centers: NDArray[np.float64]) -> PositionWindow:
    """Return the windows of tracks that begin at centers ``(n, 2)``."""
    window = np.full((len(centers), WINDOW_FRAMES, 2), np.nan)
    window[:, -1] = centers
    return window


def fit_paths(window: PositionWindow, position_noise: float) -> PathFit:
    """Fit a path of constant velocity to each track by least squares.

    Args:
        window: positions of the tracks.
        position_noise: lowest standard deviation of a position in pixels.
    """
    is_known = np.isfinite(window[:, :, 0])
    num = is_known.sum(axis=1)
    divisor = np.maximum(num, 1)
    times = np.where(is_known, np.arange(WINDOW_FRAMES, dtype=np.float64), 0.0)
    points = np.where(is_known[:, :, None], window, 0.0)
    centered_times = np.where(is_known, times - (times.sum(axis=1) / divisor)[:, None], 0.0)
    centered_points = np.where(
        is_known[:, :, None], points - (points.sum(axis=1) / divisor[:, None])[:, None], 0.0
    )
    spread = np.maximum((centered_times**2).sum(axis=1), 1e-9)
    velocity = np.einsum("nt,ntk->nk", centered_times, centered_points) / spread[:, None]
    residuals = centered_points - centered_times[:, :, None] * velocity[:, None]
    degrees_of_freedom = np.maximum(2 * num - 4, 1)
    variance = np.maximum((residuals**2).sum(axis=(1, 2)) / degrees_of_freedom, position_noise**2)
    speeds = np.hypot(*velocity.T)
    first = is_known.argmax(axis=1)
    last = WINDOW_FRAMES - 1 - is_known[:, ::-1].argmax(axis=1)
    return PathFit(
        speeds=speeds,
        significances=np.where(num >= 2, speeds * np.sqrt(spread / variance), 0.0),
        num_detections=num,
        num_frames=np.where(num > 0, last - first + 1, 0),
    )


def has_evidence(
    window: PositionWindow, lost_tracks: NDArray[np.float64], settings: MotionEvidence
) -> NDArray[np.bool_]:
    """Return whether each track has the evidence of a moving object ``(n,)``.

    Args:
        window: positions of the tracks.
        lost_tracks: number of detections of lost tracks around each track, ``(n,)``.
        settings: evidence that confirms a track.
    """
    fit = fit_paths(window, settings.position_noise)
    clutter = np.log1p(lost_tracks)
    needed = settings.min_detections + settings.clutter_delay * clutter
    # Half of the squared significance is the logarithm of the likelihood ratio of moving and standing.
    significance = np.sqrt(settings.min_significance**2 + 2 * settings.clutter_evidence * clutter)
    return (
        (fit.num_detections >= np.minimum(needed, WINDOW_FRAMES * settings.min_hit_rate))
        & (fit.significances >= significance)
        & (fit.speeds >= settings.min_speed)
        & (fit.speeds * (fit.num_frames - 1) >= settings.min_distance)
        & (fit.num_detections >= settings.min_hit_rate * fit.num_frames)
    )


class ClutterMap:
    """Number of young tracks lost in the last frames by place, and number of tracks that proved to move."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], tuple[float, float]] = {}  # tracks, further detections
        self._num_proven = 0.0
        self._num_lost = 0.0

    @property
    def object_share(self) -> float:
        """Estimated fraction of the new tracks that are objects, 0..1."""
        return (self._num_proven + 1) / (self._num_proven + 1 + self._num_lost)

    def advance(self) -> None:
        """Begin a frame: all counts decay, and cells without recent tracks are forgotten."""
        factor = float(np.exp(-1 / _MEMORY_FRAMES))
        self._num_proven *= factor
        self._num_lost *= factor
        self._counts = {
            cell: (factor * tracks, factor * detections)
            for cell, (tracks, detections) in self._counts.items()
            if tracks > 0.01
        }

    def add_proven(self, number: int) -> None:
        """Count tracks that proved to move."""
        self._num_proven += number

    def add_lost(self, centers: NDArray[np.float64], num_detections: NDArray[np.int64]) -> None:
        """Count tracks that were lost.

        Args:
            centers: center of each track, ``(n, 2)``.
            num_detections: number of its detections, ``(n,)``.
        """
        self._num_lost += len(centers)
        cells = np.floor_divide(centers, _CELL_PX).astype(int).tolist()
        for (column, row), number in zip(cells, num_detections.tolist(), strict=True):
            tracks, detections = self._counts.get((column, row), (0.0, 0.0))
            self._counts[column, row] = tracks + 1.0, detections + (number - 1.0)

    def count_around(self, centers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the tracks lost around each center ``(n,)``, and their detections after the first ``(n,)``.

        Both are means over the nine cells around the center.
        """
        cells = np.floor_divide(centers, _CELL_PX).astype(int).tolist()
        steps = (-1, 0, 1)
        means = np.zeros((len(cells), 2))
        if self._counts:
            none = (0.0, 0.0)
            for index, (column, row) in enumerate(cells):
                around = [self._counts.get((column + x, row + y), none) for x in steps for y in steps]
                means[index] = [sum(counts) / 9 for counts in zip(*around, strict=True)]
        tracks, detections = means.T
        return tracks, detections
