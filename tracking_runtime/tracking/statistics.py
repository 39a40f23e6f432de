"""Statistics of the tracks of one run, in memory that does not grow with the number of frames."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

from tracking_runtime.boxes import ScoredBoxes, compute_centers
from tracking_runtime.tracking.ground_scale import GroundMeasures
from tracking_runtime.tracking.track_files import LOST, remove_lost

_MAX_POINTS = 64  # positions of a track, or counts of tracks, before every second one is left out


class Thinned:
    """Points of a long sequence, evenly spread and bounded in number.

    Args:
        max_values: number of points from which every second one is left out.
    """

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._x = array("d")
        self._y = array("d")
        self._stride = 1
        self._num_values = 0

    @property
    def values(self) -> list[tuple[float, float]]:
        """The kept points x, y: every n-th of the sequence."""
        return list(zip(self._x, self._y, strict=True))

    def append(self, x: float, y: float) -> None:
        """Append the next point of the sequence."""
        if self._num_values % self._stride == 0:
            self._x.append(x)
            self._y.append(y)
            if len(self._x) > self._max_values:
                self._x, self._y = self._x[::2], self._y[::2]
                self._stride *= 2
        self._num_values += 1


@dataclass
class Mean:
    """Mean of the known values of a sequence.

    Attributes:
        total: sum of the known values.
        count: number of the known values.
    """

    total: float = 0.0
    count: int = 0

    @property
    def value(self) -> float | None:
        """The mean; None without a known value."""
        return self.total / self.count if self.count else None

    def append(self, value: float) -> None:
        """Append the next value; NaN is unknown."""
        if math.isfinite(value):
            self.total += value
            self.count += 1


@dataclass
class TrackSummary:
    """One track.

    Attributes:
        id: id of the track.
        class_id: class of its newest box; -1 if unknown.
        first_frame: number of the first frame with the track, from 1.
        last_frame: number of the last frame with the track.
        num_frames: number of frames with the track, without those in which it was lost.
        score_sum: sum of the scores in these frames.
        centers: positions x, y in pixels, spread over the track.
        speed_m_s: mean of the speeds on the ground.
        length_m: mean of the lengths on the ground.
    """

    id: int
    class_id: int
    first_frame: int
    last_frame: int
    num_frames: int = 0
    score_sum: float = 0.0
    centers: Thinned = field(default_factory=lambda: Thinned(_MAX_POINTS))
    speed_m_s: Mean = field(default_factory=Mean)
    length_m: Mean = field(default_factory=Mean)

    @property
    def mean_score(self) -> float:
        """Mean of the scores."""
        return self.score_sum / max(self.num_frames, 1)


class TrackStatistics:
    """Statistics of all tracks.

    Attributes:
        tracks: summary of each track by its id.
        counts: time in seconds since the first frame and number of tracks, spread over the frames.
        num_boxes: number of boxes in all frames.
    """

    def __init__(self) -> None:
        self.tracks: dict[int, TrackSummary] = {}
        self.counts = Thinned(16 * _MAX_POINTS)
        self.num_boxes = 0

    def update(
        self, number: int, seconds: float, tracks: ScoredBoxes, measures: GroundMeasures | None = None
    ) -> None:
        """Add the tracks of a frame.

        Args:
            number: number of the frame, from 1.
            seconds: time since the first frame in seconds.
            tracks: tracks of the frame.
            measures: speeds and sizes of the tracks; None: unknown.
        """
        present = remove_lost(tracks)
        self.num_boxes += len(present.ids)
        self.counts.append(seconds, float(len(present.ids)))
        for track_id, class_id, score, center in zip(
            present.ids.tolist(),
            present.class_ids.tolist(),
            present.scores.tolist(),
            compute_centers(present.boxes).tolist(),
            strict=True,
        ):
            track = self.tracks.setdefault(track_id, TrackSummary(track_id, class_id, number, number))
            track.class_id = class_id
            track.last_frame = number
            track.num_frames += 1
            track.score_sum += score
            track.centers.append(*center)
        if measures is not None:
            self._add_measures(tracks, measures)

    def _add_measures(self, tracks: ScoredBoxes, measures: GroundMeasures) -> None:
        """Add the measures of the tracks whose object is in the frame."""
        states = tracks.states or ("",) * len(tracks.ids)
        rows = zip(tracks.ids.tolist(), states, measures.speeds_m_s, measures.lengths_m, strict=True)
        for track_id, state, speed_m_s, length_m in rows:
            if state != LOST:
                self.tracks[track_id].speed_m_s.append(float(speed_m_s))
                self.tracks[track_id].length_m.append(float(length_m))

    def list_longest(self, max_tracks: int) -> list[TrackSummary]:
        """Return the tracks with the most frames."""
        return sorted(self.tracks.values(), key=lambda track: (-track.num_frames, track.id))[:max_tracks]
