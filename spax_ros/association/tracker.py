"""The life of tracks: ByteTrack's two rounds of matching with GTA's cost.

Detections of high score are matched first, those of low score go to tracks that found none; a new track must
be seen in two consecutive frames, and one not seen coasts on its prediction until it is found again or
forgotten.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spax_ros.association import kalman
from spax_ros.association.assignment import Indices, assign
from spax_ros.association.cost import Cost, extended_iou, gta_cost, near_pairs
from spax_ros.association.position_history import Ways, begin_ways, carry_ways, extend_ways, is_moving
from spax_ros.association.tracks import Tracks, TrackState
from tracking_runtime.boxes import Boxes, as_boxes, centres

HEIGHT = 3


@dataclass(frozen=True)
class AssociationSettings:
    """The published values; what they do not have (the last three) is off.

    Attributes:
        high_score: detections above it are matched first.
        low_score: detections below it are ignored.
        new_score: a detection left over begins a track from here on.
        first_limit: cost limit of the first round, detections of high score.
        second_limit: cost limit of the second round, detections of low score.
        tentative_limit: cost limit for tracks seen once.
        duplicate_overlap: extended overlap above which a track and a coasting one are the same.
        buffer: frames that a track coasts.
        cost: of a track and a detection.
        certain_score: a detection left over begins a track that is confirmed at once from here on.
        least_speed: pixels a frame over the ground below which a track is not said to be confirmed.
        classes_apart: whether tracks and detections of different classes never match. Where they do, a track
            has the class that it was seen as most, by score.
    """

    high_score: float = 0.3
    low_score: float = 0.1
    new_score: float = 0.4
    first_limit: float = 0.9
    second_limit: float = 0.5
    tentative_limit: float = 0.7
    duplicate_overlap: float = 0.85
    buffer: int = 20
    cost: Cost = gta_cost
    certain_score: float = float("inf")
    least_speed: float = 0.0
    classes_apart: bool = True


@dataclass(frozen=True)
class _Table:
    """All tracks as parallel arrays."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    ids: NDArray[np.int64]
    class_ids: NDArray[np.uint8]
    class_weights: NDArray[np.float32]
    scores: NDArray[np.float32]
    states: NDArray[np.uint8]
    first_frames: NDArray[np.int64]
    last_frames: NDArray[np.int64]
    ways: Ways

    @property
    def beliefs(self) -> kalman.Beliefs:
        return kalman.Beliefs(self.mean, self.covariance)

    def take(self, index: NDArray[np.bool_] | Indices) -> _Table:
        return _Table(*(getattr(self, field.name)[index] for field in fields(self)))

    def join(self, other: _Table) -> _Table:
        return _Table(
            *(
                np.concatenate([getattr(self, field.name), getattr(other, field.name)])
                for field in fields(self)
            )
        )

    def believe(self, index: Indices, beliefs: kalman.Beliefs) -> None:
        self.mean[index], self.covariance[index] = beliefs.mean, beliefs.covariance

    def vote(self, index: Indices, class_ids: NDArray[np.uint8], scores: NDArray[np.float32]) -> None:
        """Majority vote in one pass (Boyer and Moore), weighed by scores."""
        weights = self.class_weights[index] + np.where(self.class_ids[index] == class_ids, scores, -scores)
        self.class_ids[index] = np.where(weights < 0, class_ids, self.class_ids[index])
        self.class_weights[index] = np.abs(weights)


@dataclass(frozen=True)
class _Detections:
    boxes: Boxes
    scores: NDArray[np.float32]
    class_ids: NDArray[np.uint8]

    def take(self, index: NDArray[np.bool_] | Indices) -> _Detections:
        return _Detections(self.boxes[index], self.scores[index], self.class_ids[index])


def _empty_table() -> _Table:
    none = np.zeros(0, np.int64)
    return _Table(
        np.zeros((0, 4, 2)), np.zeros((0, 4, 2, 2)), none, np.zeros(0, np.uint8), np.zeros(0, np.float32),
        np.zeros(0, np.float32), np.zeros(0, np.uint8), none, none, begin_ways(np.zeros((0, 2))),
    )  # fmt: skip


class GaussianTracker:
    """Gives detections their identity, frame after frame. Call ``update`` for empty frames too."""

    def __init__(self, settings: AssociationSettings | None = None) -> None:
        self._settings = settings or AssociationSettings()
        self.reset()

    def reset(self) -> None:
        """Forget every track; ids begin anew."""
        self._table = _empty_table()
        self._frame = 0
        self._next_id = 1
        self._stamp_ns: int | None = None
        self._intervals_ns: deque[int] = deque(maxlen=9)

    def update(
        self,
        boxes: ArrayLike,
        scores: ArrayLike,
        class_ids: ArrayLike | None = None,
        stamp_ns: int | None = None,
        camera_motion: NDArray[np.float64] | None = None,
    ) -> Tracks:
        """Tracks after a frame.

        Args:
            boxes: ``(n, 4)`` x, y, width, height in pixels; those without size or not finite are ignored.
            scores: ``(n,)`` 0..1.
            class_ids: ``(n,)``, by default all the same.
            stamp_ns: of the frame; without it frames are a second apart and none is ever missing. Where the
                interval shows that frames were dropped, tracks move on by as many.
            camera_motion: ``(2, 3)`` from the previous frame's pixels to this one's.
        """
        self._frame += 1
        detections = self._usable(boxes, scores, class_ids)
        self._move_on(self._elapsed_frames(stamp_ns), camera_motion)
        self._match(detections)
        self._forget()
        return self._tracks()

    @staticmethod
    def _usable(boxes: ArrayLike, scores: ArrayLike, class_ids: ArrayLike | None) -> _Detections:
        box_array = as_boxes(boxes)
        score_array = np.asarray(scores, np.float32).reshape(-1)
        classes = np.zeros(len(box_array)) if class_ids is None else class_ids
        good = np.flatnonzero(np.isfinite(box_array).all(axis=1) & (box_array[:, 2:] > 0).all(axis=1))
        return _Detections(box_array, score_array, np.asarray(classes, np.uint8).reshape(-1)).take(good)

    def _elapsed_frames(self, stamp_ns: int | None) -> int:
        if stamp_ns is None:
            return 1
        previous, self._stamp_ns = self._stamp_ns, stamp_ns
        if previous is None or stamp_ns <= previous:
            return 1
        self._intervals_ns.append(stamp_ns - previous)
        usual = np.median(self._intervals_ns)
        return int(np.clip(round((stamp_ns - previous) / usual), 1, self._settings.buffer))

    def _move_on(self, frames: int, camera_motion: NDArray[np.float64] | None) -> None:
        table = self._table
        if camera_motion is not None:
            everyone = np.arange(len(table.ids))
            table.believe(everyone, kalman.carry(table.beliefs, camera_motion))
            table.ways[:] = carry_ways(table.ways, camera_motion)
        pool = np.flatnonzero(table.states != TrackState.TENTATIVE)
        coasting = np.flatnonzero(table.states == TrackState.COASTING)
        for _ in range(frames):
            table.mean[coasting, HEIGHT, 1] = 0
            table.believe(pool, kalman.predict(table.take(pool).beliefs))

    def _match(self, detections: _Detections) -> None:
        settings, table = self._settings, self._table
        high = detections.take(detections.scores > settings.high_score)
        low = detections.take(
            (detections.scores > settings.low_score) & (detections.scores < settings.high_score)
        )
        pool = np.flatnonzero(table.states != TrackState.TENTATIVE)
        tentative = np.flatnonzero(table.states == TrackState.TENTATIVE)

        seen, left = self._round(pool, high, settings.first_limit)
        unseen = np.setdiff1d(pool, seen)
        missing = unseen[table.states[unseen] == TrackState.CONFIRMED]
        table.states[seen] = TrackState.CONFIRMED
        seen, _ = self._round(missing, low, settings.second_limit)
        table.states[np.setdiff1d(missing, seen)] = TrackState.COASTING

        high = high.take(left)
        seen, left = self._round(tentative, high, settings.tentative_limit)
        table.states[seen] = TrackState.CONFIRMED
        kept = np.ones(len(table.ids), bool)
        kept[np.setdiff1d(tentative, seen)] = False
        old = table.take(kept)
        old.ways[:] = extend_ways(old.ways, centres(old.beliefs.boxes()))
        self._table = old.join(self._begin(high.take(left)))

    def _round(self, tracks: Indices, detections: _Detections, limit: float) -> tuple[Indices, Indices]:
        """Match and correct these tracks; which were seen, and which detections are left over."""
        table = self._table.take(tracks)
        track_boxes = table.beliefs.boxes()
        rows, columns = near_pairs(track_boxes, detections.boxes)
        if self._settings.classes_apart:
            same = table.class_ids[rows] == detections.class_ids[columns]
            rows, columns = rows[same], columns[same]
        costs = self._settings.cost(track_boxes[rows], detections.boxes[columns], detections.scores[columns])
        rows, columns = assign(rows, columns, costs, limit)
        seen = tracks[rows]
        self._table.believe(seen, kalman.correct(table.take(rows).beliefs, detections.boxes[columns]))
        self._table.vote(seen, detections.class_ids[columns], detections.scores[columns])
        self._table.scores[seen] = detections.scores[columns]
        self._table.last_frames[seen] = self._frame
        return seen, np.setdiff1d(np.arange(len(detections.scores)), columns)

    def _begin(self, detections: _Detections) -> _Table:
        new = detections.take(detections.scores >= self._settings.new_score)
        count = len(new.scores)
        beliefs = kalman.begin(new.boxes)
        ids = np.arange(self._next_id, self._next_id + count)
        self._next_id += count
        certain = (new.scores >= self._settings.certain_score) | (self._frame == 1)
        states = np.where(certain, TrackState.CONFIRMED, TrackState.TENTATIVE).astype(np.uint8)
        frames = np.full(count, self._frame)
        return _Table(
            beliefs.mean, beliefs.covariance, ids, new.class_ids, new.scores.copy(), new.scores, states,
            frames, frames.copy(), begin_ways(centres(new.boxes)),
        )  # fmt: skip

    def _forget(self) -> None:
        table = self._table
        table = table.take(self._frame - table.last_frames <= self._settings.buffer + 1)
        boxes = table.beliefs.boxes()
        coasting = np.flatnonzero(table.states == TrackState.COASTING)
        present = np.flatnonzero(table.states != TrackState.COASTING)
        rows, columns = near_pairs(boxes[present], boxes[coasting])
        rows, columns = present[rows], coasting[columns]
        same = extended_iou(boxes[rows], boxes[columns]) > self._settings.duplicate_overlap
        if self._settings.classes_apart:
            same &= table.class_ids[rows] == table.class_ids[columns]
        rows, columns = rows[same], columns[same]
        seen_for = table.last_frames - table.first_frames
        present_is_older = seen_for[rows] > seen_for[columns]
        kept = np.ones(len(table.ids), bool)
        kept[columns[present_is_older]] = False
        kept[rows[~present_is_older]] = False
        self._table = table.take(kept)

    def _tracks(self) -> Tracks:
        table = self._table
        frames_per_second = 1e9 / float(np.median(self._intervals_ns)) if self._intervals_ns else 1.0
        still = (table.states == TrackState.CONFIRMED) & ~is_moving(table.ways, self._settings.least_speed)
        return Tracks(
            ids=table.ids,
            class_ids=table.class_ids.copy(),
            scores=table.scores.copy(),
            boxes=table.beliefs.boxes(),
            velocities=table.mean[:, :2, 1] * frames_per_second,
            states=np.where(still, TrackState.TENTATIVE, table.states).astype(np.uint8),
            ages=(self._frame - table.first_frames).astype(np.int32),
        )
