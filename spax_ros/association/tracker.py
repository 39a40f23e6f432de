"""Life cycle of tracks: ByteTrack's two rounds of matching with GTA's cost.

Detections of high score are matched first. Detections of low score go to the tracks left over. A new track is
confirmed by a second detection in the next frame. A track without a detection coasts on its prediction until
it is detected again or removed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spax_ros.association import kalman
from spax_ros.association.assignment import Indices, solve_assignment
from spax_ros.association.cost import CostFunction, compute_extended_iou, compute_gta_cost, find_near_pairs
from spax_ros.association.motion_evidence import (
    YOUNG_FRAMES,
    ClutterMap,
    MotionEvidence,
    PositionWindow,
    has_evidence,
    start_window,
)
from spax_ros.association.position_history import (
    PositionHistory,
    extend_history,
    is_moving,
    start_history,
    transform_history,
)
from spax_ros.association.spectra import Spectra, SpectralMemory, make_unknown_spectra
from spax_ros.association.tracks import Tracks, TrackState
from spax_ros.transforms import Transform, make_transform
from tracking_runtime.boxes import Boxes, as_boxes, compute_centers

HEIGHT_INDEX = 3  # of the height among the Kalman filter's four quantities
TRUSTED_FRAMES = 6  # frames for which a certain track is confirmed before its motion is known
LEARNING_FRAMES = 2  # first frames, in which nothing is known about clutter
MIN_OBJECT_SHARE = 0.65  # of the new tracks, below which no track is confirmed at once
MAX_TRUSTED_CLUTTER = 0.1  # lost tracks around a track that is confirmed at once
INTERVAL_FRAMES = 9  # frames whose median interval is the frame interval


@dataclass(frozen=True)
class AssociationSettings:
    """Settings of the association. The defaults are published, with the last five settings off.

    Attributes:
        high_score: score above which detections are matched in the first round.
        low_score: score below which detections are ignored.
        new_score: score from which an unmatched detection begins a track. Higher delays tracks and avoids
            false ones.
        first_limit: cost limit of the first round, for detections of high score.
        second_limit: cost limit of the second round, for detections of low score.
        tentative_limit: cost limit for tracks that were detected once.
        duplicate_overlap: extended IoU above which a detected and a coasting track are one.
        max_coasting_frames: frames that a track coasts before it is removed. Higher bridges longer occlusions
            and may switch identities.
        cost: cost of matching a track with a detection.
        certain_score: score from which an unmatched detection begins a track that is confirmed at once.
            Infinity disables it. With `evidence`, only where most new tracks prove to be objects, and for a
            few frames.
        min_speed: speed over the ground, in pixels a frame, below which a track is not confirmed. 0 disables
            it.
        is_class_aware: True if tracks and detections of different classes are never matched. If false, a
            track has the class of the highest total score.
        evidence: motion that confirms a track, beside its second detection. None: none.
        spectral_weight: weight of the spectra in the cost, 0 to 1, if detections have spectra. Higher keeps
            look-alikes of different spectra apart, and loses tracks whose light changes. 0 disables it.
    """

    high_score: float = 0.3
    low_score: float = 0.1
    new_score: float = 0.4
    first_limit: float = 0.9
    second_limit: float = 0.5
    tentative_limit: float = 0.7
    duplicate_overlap: float = 0.85
    max_coasting_frames: int = 20
    cost: CostFunction = compute_gta_cost
    certain_score: float = float("inf")
    min_speed: float = 0.0
    is_class_aware: bool = True
    evidence: MotionEvidence | None = None
    spectral_weight: float = 0.0


@dataclass(frozen=True)
class _TrackTable:
    """All tracks as parallel arrays.

    Attributes:
        mean: means of the Kalman states.
        covariance: covariances of the Kalman states.
        ids: ids ``(n,)``.
        class_ids: class ids ``(n,)``.
        class_weights: lead ``(n,)`` of the class over all others in the vote.
        scores: scores ``(n,)`` of the last detections.
        states: values ``(n,)`` of `TrackState`, without regard to speed.
        first_frames: number ``(n,)`` of the frame with the first detection.
        last_frames: number ``(n,)`` of the frame with the last detection.
        history: ground positions.
        window: detected ground positions.
        is_proven: True for tracks that had the evidence of a moving object, ``(n,)``.
        is_trusted: True for tracks that are confirmed while their evidence is awaited, ``(n,)``.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    ids: NDArray[np.int64]
    class_ids: NDArray[np.uint8]
    class_weights: NDArray[np.float32]
    scores: NDArray[np.float32]
    states: NDArray[np.uint8]
    first_frames: NDArray[np.int64]
    last_frames: NDArray[np.int64]
    history: PositionHistory
    window: PositionWindow
    is_proven: NDArray[np.bool_]
    is_trusted: NDArray[np.bool_]

    @property
    def kalman_states(self) -> kalman.GaussianStates:
        return kalman.GaussianStates(self.mean, self.covariance)

    def select(self, index: NDArray[np.bool_] | Indices) -> _TrackTable:
        return _TrackTable(*(getattr(self, field.name)[index] for field in fields(self)))

    def select_kalman_states(self, index: Indices) -> kalman.GaussianStates:
        return kalman.GaussianStates(self.mean[index], self.covariance[index])

    def append(self, other: _TrackTable) -> _TrackTable:
        columns = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return _TrackTable(*(np.concatenate(pair) for pair in columns))

    def set_kalman_states(self, index: Indices, states: kalman.GaussianStates) -> None:
        self.mean[index] = states.mean
        self.covariance[index] = states.covariance

    def vote_classes(self, index: Indices, class_ids: NDArray[np.uint8], scores: NDArray[np.float32]) -> None:
        """Count one vote of each track for a class: Boyer and Moore's majority vote, weighted by score."""
        weights = self.class_weights[index] + np.where(self.class_ids[index] == class_ids, scores, -scores)
        self.class_ids[index] = np.where(weights < 0, class_ids, self.class_ids[index])
        self.class_weights[index] = np.abs(weights)


@dataclass(frozen=True)
class _ValidDetections:
    """Detections of one frame whose boxes are finite and have a size."""

    boxes: Boxes
    scores: NDArray[np.float32]
    class_ids: NDArray[np.uint8]
    spectra: Spectra

    def select(self, index: NDArray[np.bool_] | Indices) -> _ValidDetections:
        return _ValidDetections(
            self.boxes[index], self.scores[index], self.class_ids[index], self.spectra[index]
        )


def _make_empty_table() -> _TrackTable:
    none = np.zeros(0, np.int64)
    return _TrackTable(
        mean=np.zeros((0, 4, 2)),
        covariance=np.zeros((0, 4, 2, 2)),
        ids=none,
        class_ids=np.zeros(0, np.uint8),
        class_weights=np.zeros(0, np.float32),
        scores=np.zeros(0, np.float32),
        states=np.zeros(0, np.uint8),
        first_frames=none,
        last_frames=none,
        history=start_history(np.zeros((0, 2))),
        window=start_window(np.zeros((0, 2))),
        is_proven=np.zeros(0, bool),
        is_trusted=np.zeros(0, bool),
    )


class GaussianTracker:
    """Tracks from the detections of consecutive frames. Call `update` for frames without detections too.

    Args:
        settings: settings of the association; None: the published ones.
    """

    def __init__(self, settings: AssociationSettings | None = None) -> None:
        self._settings = settings or AssociationSettings()
        self.reset()

    def reset(self) -> None:
        """Delete all tracks; ids count from 1 again."""
        self._table = _make_empty_table()
        self._frame = 0
        self._next_id = 1
        self._stamp_ns: int | None = None
        self._intervals_ns: deque[int] = deque(maxlen=INTERVAL_FRAMES)
        self._clutter = ClutterMap()
        self._spectral_memory = SpectralMemory()

    def update(
        self,
        boxes: ArrayLike,
        scores: ArrayLike,
        class_ids: ArrayLike | None = None,
        stamp_ns: int | None = None,
        camera_motion: NDArray[np.float64] | None = None,
        spectra: Spectra | None = None,
    ) -> Tracks:
        """Match the detections of one frame with the tracks and return all tracks.

        Args:
            boxes: boxes ``(n, 4)``: x, y, width, height in pixels. Boxes without size or with values that are
                not finite are ignored.
            scores: scores ``(n,)``, 0 to 1.
            class_ids: class ids ``(n,)``; None: all 0.
            stamp_ns: time stamp of the frame in nanoseconds. Tracks are predicted over frames that are
                missing by the stamps. None: no frame is missing, and frames are one second apart.
            camera_motion: affine transform ``(2, 3)`` or homography ``(3, 3)`` from the previous frame's
                pixels to this frame's; None: none.
            spectra: mean spectra of the boxes, ``(n, bands)``; None: unknown. The number of bands must not
                change until `reset`.
        """
        self._frame += 1
        detections = self._select_valid(boxes, scores, class_ids, spectra)
        motion = None if camera_motion is None else make_transform(camera_motion)
        self._predict(self._update_interval(stamp_ns), motion)
        self._match_detections(detections)
        self._prove_motion()
        self._remove_tracks()
        return self._make_tracks()

    @staticmethod
    def _select_valid(
        boxes: ArrayLike, scores: ArrayLike, class_ids: ArrayLike | None, spectra: Spectra | None
    ) -> _ValidDetections:
        box_array = as_boxes(boxes)
        score_array = np.asarray(scores, np.float32).reshape(-1)
        classes = np.zeros(len(box_array)) if class_ids is None else class_ids
        valid = np.flatnonzero(np.isfinite(box_array).all(axis=1) & (box_array[:, 2:] > 0).all(axis=1))
        class_array = np.asarray(classes, np.uint8).reshape(-1)
        spectra = make_unknown_spectra(len(box_array)) if spectra is None else spectra
        return _ValidDetections(box_array, score_array, class_array, spectra).select(valid)

    def _update_interval(self, stamp_ns: int | None) -> int:
        """Update the frame interval; return the frames since the previous one, at least 1."""
        if stamp_ns is None:
            return 1
        previous, self._stamp_ns = self._stamp_ns, stamp_ns
        if previous is None or stamp_ns <= previous:
            return 1
        self._intervals_ns.append(stamp_ns - previous)
        interval_ns = np.median(self._intervals_ns)
        return int(np.clip(round((stamp_ns - previous) / interval_ns), 1, self._settings.max_coasting_frames))

    def _predict(self, num_frames: int, camera_motion: Transform | None) -> None:
        """Predict the confirmed and coasting tracks, after compensation of the camera's motion."""
        table = self._table
        if camera_motion is not None:
            all_tracks = np.arange(len(table.ids))
            table.set_kalman_states(
                all_tracks, kalman.apply_camera_motion(table.kalman_states, camera_motion)
            )
            table.history[:] = transform_history(table.history, camera_motion)
            table.window[:] = transform_history(table.window, camera_motion)
        table.window[:, :-1] = table.window[:, 1:]
        table.window[:, -1] = np.nan
        predicted = np.flatnonzero(table.states != TrackState.TENTATIVE)
        coasting = np.flatnonzero(table.states == TrackState.COASTING)
        for _ in range(num_frames):
            table.mean[coasting, HEIGHT_INDEX, 1] = 0
            table.set_kalman_states(predicted, kalman.predict(table.select_kalman_states(predicted)))

    def _match_detections(self, detections: _ValidDetections) -> None:
        settings, table = self._settings, self._table
        high = detections.select(detections.scores > settings.high_score)
        low = detections.select(
            (detections.scores > settings.low_score) & (detections.scores < settings.high_score)
        )
        established = np.flatnonzero(table.states != TrackState.TENTATIVE)
        tentative = np.flatnonzero(table.states == TrackState.TENTATIVE)

        # Step 1: detections of high score with confirmed and coasting tracks.
        matched, unmatched_detections = self._match_round(established, high, settings.first_limit)
        unmatched = np.setdiff1d(established, matched)
        missed = unmatched[table.states[unmatched] == TrackState.CONFIRMED]
        table.states[matched] = TrackState.CONFIRMED

        # Step 2: detections of low score with the confirmed tracks left over.
        matched, _ = self._match_round(missed, low, settings.second_limit)
        table.states[np.setdiff1d(missed, matched)] = TrackState.COASTING

        # Step 3: the remaining detections of high score with tentative tracks; the others are removed.
        high = high.select(unmatched_detections)
        matched, unmatched_detections = self._match_round(tentative, high, settings.tentative_limit)
        table.states[matched] = TrackState.CONFIRMED
        is_kept = np.ones(len(table.ids), bool)
        is_kept[np.setdiff1d(tentative, matched)] = False
        self._count_lost(table, ~is_kept)

        # Step 4: new tracks.
        kept = table.select(is_kept)
        kept.history[:] = extend_history(kept.history, compute_centers(kept.kalman_states.to_boxes()))
        self._table = kept.append(self._start_tracks(high.select(unmatched_detections)))

    def _match_round(
        self, tracks: Indices, detections: _ValidDetections, cost_limit: float
    ) -> tuple[Indices, Indices]:
        """Match and update these tracks; return the matched tracks and the unmatched detections."""
        table = self._table
        track_boxes = table.select_kalman_states(tracks).to_boxes()
        rows, columns = find_near_pairs(track_boxes, detections.boxes)
        if self._settings.is_class_aware:
            is_same_class = table.class_ids[tracks[rows]] == detections.class_ids[columns]
            rows, columns = rows[is_same_class], columns[is_same_class]
        costs = self._settings.cost(track_boxes[rows], detections.boxes[columns], detections.scores[columns])
        weight = self._settings.spectral_weight
        has_spectra = weight > 0 and detections.spectra.shape[1] > 0
        if has_spectra:
            spectral = self._spectral_memory.compute_costs(
                table.ids[tracks[rows]], detections.spectra[columns]
            )
            costs = np.where(np.isfinite(spectral), (1 - weight) * costs + weight * spectral, costs)
        rows, columns = solve_assignment(rows, columns, costs, cost_limit)
        matched = tracks[rows]
        table.set_kalman_states(
            matched, kalman.update(table.select_kalman_states(matched), detections.boxes[columns])
        )
        table.vote_classes(matched, detections.class_ids[columns], detections.scores[columns])
        table.scores[matched] = detections.scores[columns]
        table.last_frames[matched] = self._frame
        if has_spectra:
            self._spectral_memory.update(table.ids[matched], detections.spectra[columns])
        table.window[matched, -1] = compute_centers(detections.boxes[columns])
        return matched, np.setdiff1d(np.arange(len(detections.scores)), columns)

    def _start_tracks(self, detections: _ValidDetections) -> _TrackTable:
        new = detections.select(detections.scores >= self._settings.new_score)
        num_new = len(new.scores)
        kalman_states = kalman.initiate(new.boxes)
        ids = np.arange(self._next_id, self._next_id + num_new)
        if new.spectra.shape[1] > 0:
            self._spectral_memory.update(ids, new.spectra)
        self._next_id += num_new
        is_trusted = self._find_trusted(new)
        is_confirmed = is_trusted | (self._frame == 1)
        states = np.where(is_confirmed, TrackState.CONFIRMED, TrackState.TENTATIVE).astype(np.uint8)
        frames = np.full(num_new, self._frame)
        return _TrackTable(
            mean=kalman_states.mean,
            covariance=kalman_states.covariance,
            ids=ids,
            class_ids=new.class_ids,
            class_weights=new.scores.copy(),
            scores=new.scores,
            states=states,
            first_frames=frames,
            last_frames=frames.copy(),
            history=start_history(compute_centers(new.boxes)),
            window=start_window(compute_centers(new.boxes)),
            is_proven=np.zeros(num_new, bool),
            is_trusted=is_trusted,
        )

    def _find_trusted(self, detections: _ValidDetections) -> NDArray[np.bool_]:
        """Return whether each new track is confirmed before it is detected again ``(n,)``."""
        is_certain = detections.scores >= self._settings.certain_score
        if self._settings.evidence is None:
            return is_certain
        if self._frame <= LEARNING_FRAMES or self._clutter.object_share < MIN_OBJECT_SHARE:
            return np.zeros(len(detections.scores), bool)
        lost_tracks, _ = self._clutter.count_around(compute_centers(detections.boxes))
        return is_certain & (lost_tracks <= MAX_TRUSTED_CLUTTER)

    def _prove_motion(self) -> None:
        """Confirm the tracks with the evidence of a moving object."""
        evidence, table = self._settings.evidence, self._table
        if evidence is None:
            table.is_proven[:] = True
            return
        self._clutter.advance()
        candidates = np.flatnonzero(~table.is_proven & (table.last_frames == self._frame))
        window = table.window[candidates]
        _, lost_tracks = self._clutter.count_around(window[:, -1])
        is_proven = has_evidence(window, lost_tracks, evidence)
        table.is_proven[candidates] = is_proven
        self._clutter.add_proven(int(is_proven.sum()))

    def _count_lost(self, table: _TrackTable, is_lost: NDArray[np.bool_]) -> None:
        """Count the lost tracks that lived for a short time, as clutter does."""
        if self._settings.evidence is not None:
            lost = table.select(is_lost & (table.last_frames - table.first_frames < YOUNG_FRAMES))
            num_detections = np.isfinite(lost.window[:, :, 0]).sum(axis=1)
            self._clutter.add_lost(compute_centers(lost.kalman_states.to_boxes()), num_detections)

    def _remove_tracks(self) -> None:
        """Remove the tracks that coasted too long, and the younger of two tracks of one object."""
        table, settings = self._table, self._settings
        max_coasting = np.full(len(table.ids), settings.max_coasting_frames)
        if settings.evidence is not None:
            max_coasting[~table.is_proven] = settings.evidence.max_coasting_frames
        is_alive = self._frame - table.last_frames <= max_coasting + 1
        self._count_lost(table, ~is_alive)
        table = table.select(is_alive)
        boxes = table.kalman_states.to_boxes()
        coasting = np.flatnonzero(table.states == TrackState.COASTING)
        detected = np.flatnonzero(table.states != TrackState.COASTING)
        rows, columns = find_near_pairs(boxes[detected], boxes[coasting])
        rows, columns = detected[rows], coasting[columns]
        is_duplicate = compute_extended_iou(boxes[rows], boxes[columns]) > self._settings.duplicate_overlap
        if self._settings.is_class_aware:
            is_duplicate &= table.class_ids[rows] == table.class_ids[columns]
        rows, columns = rows[is_duplicate], columns[is_duplicate]
        lifetime = table.last_frames - table.first_frames
        is_detected_older = lifetime[rows] > lifetime[columns]
        is_kept = np.ones(len(table.ids), bool)
        is_kept[columns[is_detected_older]] = False
        is_kept[rows[~is_detected_older]] = False
        self._table = table.select(is_kept)
        self._spectral_memory.keep(self._table.ids)

    def _make_tracks(self) -> Tracks:
        table = self._table
        frames_per_second = 1e9 / float(np.median(self._intervals_ns)) if self._intervals_ns else 1.0
        is_still = (table.states == TrackState.CONFIRMED) & ~is_moving(
            table.history, self._settings.min_speed
        )
        is_awaited = table.is_trusted & (self._frame - table.first_frames < TRUSTED_FRAMES)
        is_unproven = is_still | ~(table.is_proven | is_awaited)
        return Tracks(
            ids=table.ids,
            class_ids=table.class_ids.copy(),
            scores=table.scores.copy(),
            boxes=table.kalman_states.to_boxes(),
            velocities=table.mean[:, :2, 1] * frames_per_second,
            states=np.where(is_unproven, TrackState.TENTATIVE, table.states).astype(np.uint8),
            ages=(self._frame - table.first_frames).astype(np.int32),
        )
