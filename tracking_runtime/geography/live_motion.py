"""Velocities of tracks whose positions arrive one frame at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_MAX_SAMPLES = 200  # newest positions of a track in the regression
_MAX_GAP_S = 5.0  # a track that was not seen for longer begins anew


@dataclass(frozen=True)
class Velocities:
    """Velocities of the tracks of a frame.

    Attributes:
        velocities: velocity x, y in m/s, (n, 2); NaN for a track seen once.
        gains: standard deviation of each velocity per meter of the positions' error, in 1/s, (n,).
    """

    velocities: FloatArray
    gains: FloatArray


class VelocityEstimator:
    """Velocities by regression over the newest positions of each track.

    Args:
        window_s: length of the window in seconds. The position before the newest always belongs to it.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: dict[int, deque[tuple[float, float, float]]] = {}
        self._first_ns: int | None = None
        self._newest_ns = 0

    def clear(self) -> None:
        """Forget all tracks."""
        self._samples.clear()
        self._first_ns = None

    def update(self, stamp_ns: int, ids: ArrayLike, positions: ArrayLike) -> Velocities:
        """Add the positions of a frame and return the velocities in m/s, in the order of the ids.

        A track that was not seen for 5 s begins anew.

        Args:
            stamp_ns: time of the frame in nanoseconds. A stamp that is not after the last one forgets all
                tracks.
            ids: identity of each track, (n,).
            positions: x, y of each track in meters, (n, 2).
        """
        if self._first_ns is None or stamp_ns <= self._newest_ns:
            self.clear()
            self._first_ns = stamp_ns
        self._newest_ns = stamp_ns
        time_s = (stamp_ns - self._first_ns) / 1e9
        points = np.asarray(positions, np.float64).reshape(-1, 2)
        velocities = np.full((len(points), 2), np.nan)
        gains = np.full(len(points), np.nan)
        for index, identity in enumerate(np.asarray(ids).tolist()):
            samples = self._samples.setdefault(identity, deque(maxlen=_MAX_SAMPLES))
            if samples and time_s - samples[-1][0] > _MAX_GAP_S:
                samples.clear()
            samples.append((time_s, *points[index].tolist()))
            while len(samples) > 2 and samples[0][0] < time_s - self._window_s * (1 + 1e-9):
                samples.popleft()
            if len(samples) > 1:
                velocities[index], gains[index] = _fit_line(np.array(samples))
        self._remove_old_tracks(time_s)
        return Velocities(velocities, gains)

    def _remove_old_tracks(self, time_s: float) -> None:
        """Remove the tracks that were not seen for long."""
        old = [key for key, samples in self._samples.items() if time_s - samples[-1][0] > _MAX_GAP_S]
        for key in old:
            del self._samples[key]


def _fit_line(samples: FloatArray) -> tuple[FloatArray, float]:
    """Return the slope of x, y over time from rows (time, x, y), and its deviation per position error."""
    centered = samples - samples.mean(axis=0)
    spread = float((centered[:, 0] ** 2).sum())
    return centered[:, 0] @ centered[:, 1:] / spread, 1 / np.sqrt(spread)
