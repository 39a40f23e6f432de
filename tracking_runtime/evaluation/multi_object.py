"""Metrics of multi-object tracking as in TrackEval, with the matching rules of the field as presets.

Predictions contain only tracks that were detected in their frame. Coasting and tentative tracks are left out,
as in the official results. Metrics of several sequences are computed from all their boxes together, as
TrackEval does. The same holds for the identity groups of a long sequence.

The tools of the field differ in one definition. TrackEval, and this module, counts an object as mostly
tracked if it is matched in more than 80 % of its frames. py-motmetrics counts an object that is matched in 80
% or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tracking_runtime.boxes import Boxes, FrameBoxes, compute_centers, intersection_over_union
from tracking_runtime.evaluation.identity_groups import MAX_TABLE_SIZE, find_identity_groups
from tracking_runtime.evaluation.tracking_metrics import (
    TrackingData,
    combine_clear,
    combine_hota,
    combine_identity,
    compute_clear,
    compute_hota,
    compute_identity,
)
from tracking_runtime.io.disk_list import DiskList, LazySequence

Similarity = Callable[[Boxes, Boxes], NDArray[np.float64]]


def compute_center_similarity(truth: Boxes, predictions: Boxes) -> NDArray[np.float64]:
    """Compute the similarity of centers, (n, m): 1 for equal centers, 0.5 at 5 px, 0 from 10 px."""
    distance_px = np.linalg.norm(compute_centers(truth)[:, None] - compute_centers(predictions)[None], axis=2)
    return np.clip(1 - distance_px / 10, 0, 1)


@dataclass(frozen=True)
class Matching:
    """Rule by which a predicted box matches a true one.

    Attributes:
        name: name in reports.
        similarity: function from true and predicted boxes to their similarity, (n, m), 0..1.
        threshold: minimum similarity of a match.
    """

    name: str
    similarity: Similarity
    threshold: float


IOU_03 = Matching("IoU >= 0.3 (SPAX, MP2Net)", intersection_over_union, 0.3)
IOU_04 = Matching("IoU >= 0.4 (CFTracker)", intersection_over_union, 0.4)
ANY_OVERLAP = Matching("any overlap (CFTracker's repository)", intersection_over_union, 1e-7)
CENTER_5PX = Matching(
    "centers closer than 5 px (HiEUM)",
    compute_center_similarity,
    0.5 + 1e-9,  # excludes a distance of exactly 5 px
)
MATCHINGS: Mapping[str, Matching] = {
    "iou0.3": IOU_03,
    "iou0.4": IOU_04,
    "any-overlap": ANY_OVERLAP,
    "centre5px": CENTER_5PX,
}


@dataclass(frozen=True)
class MotScores:
    """Metrics of multi-object tracking, by the definitions of TrackEval.

    Attributes:
        mota: CLEAR accuracy.
        idf1: F1 of the identities.
        hota: higher-order accuracy, mean over its thresholds of IoU or of the matching's similarity.
        detection_accuracy: DetA of HOTA, mean over its thresholds.
        association_accuracy: AssA of HOTA, mean over its thresholds.
        precision: fraction of the predicted boxes that match.
        recall: fraction of the true boxes that are matched.
        identity_switches: IDSW of CLEAR.
        false_positives: number of predicted boxes without a match.
        misses: number of true boxes without a match.
        mostly_tracked: number of objects that are matched in more than 80 % of their frames.
        mostly_lost: number of objects that are matched in less than 20 % of their frames.
        fragmentations: number of interruptions of objects' matches.
        objects: number of true identities.
        truths: number of true boxes.
    """

    mota: float
    idf1: float
    hota: float
    detection_accuracy: float
    association_accuracy: float
    precision: float
    recall: float
    identity_switches: int
    false_positives: int
    misses: int
    mostly_tracked: int
    mostly_lost: int
    fragmentations: int
    objects: int
    truths: int


@dataclass(frozen=True)
class TrackEvalCounts:
    """Results for one or several sequences, by TrackEval's names.

    Attributes:
        clear: results of its metric CLEAR.
        identity: results of its metric Identity.
        hota: results of its metric HOTA: values and arrays, (19,).
        objects: number of true identities.
    """

    clear: Mapping[str, Any]
    identity: Mapping[str, Any]
    hota: Mapping[str, Any]
    objects: int

    @property
    def scores(self) -> MotScores:
        """Usual metrics."""
        clear = self.clear
        return MotScores(
            mota=float(clear["MOTA"]),
            idf1=float(self.identity["IDF1"]),
            hota=float(np.mean(self.hota["HOTA"])),
            detection_accuracy=float(np.mean(self.hota["DetA"])),
            association_accuracy=float(np.mean(self.hota["AssA"])),
            precision=float(clear["CLR_Pr"]),
            recall=float(clear["CLR_Re"]),
            identity_switches=int(clear["IDSW"]),
            false_positives=int(clear["CLR_FP"]),
            misses=int(clear["CLR_FN"]),
            mostly_tracked=int(clear["MT"]),
            mostly_lost=int(clear["ML"]),
            fragmentations=int(clear["Frag"]),
            objects=self.objects,
            truths=int(clear["CLR_TP"] + clear["CLR_FN"]),
        )


def compute_counts(
    truth: Sequence[FrameBoxes],
    predictions: Sequence[FrameBoxes],
    matching: Matching = IOU_03,
    *,
    max_table_size: int = MAX_TABLE_SIZE,
) -> TrackEvalCounts:
    """Compute the results of one sequence, as TrackEval does.

    Args:
        truth: true boxes of each frame in order.
        predictions: predicted boxes of each frame in order.
        matching: rule of a match.
        max_table_size: size of a table of identities, see `find_identity_groups`.

    Raises:
        ValueError: the lengths differ, or a frame contains an id twice.
    """
    if len(truth) != len(predictions):
        raise ValueError(f"{len(predictions)} frames of predictions for {len(truth)} frames of ground truth")
    data = _make_tracking_data(truth, predictions, matching)
    identity_parts = []
    hota_parts = []
    for group in split_by_identity_group(truth, predictions, matching, max_table_size=max_table_size):
        group_data = _make_tracking_data(*group, matching)
        identity_parts.append(compute_identity(group_data, matching.threshold))
        hota_parts.append(compute_hota(group_data))
    return TrackEvalCounts(
        clear=compute_clear(data, matching.threshold),
        identity=combine_identity(identity_parts) if len(identity_parts) > 1 else identity_parts[0],
        hota=combine_hota(hota_parts) if len(hota_parts) > 1 else hota_parts[0],
        objects=data.num_true_ids,
    )


def split_by_identity_group(
    truth: Sequence[FrameBoxes],
    predictions: Sequence[FrameBoxes],
    matching: Matching,
    *,
    max_table_size: int = MAX_TABLE_SIZE,
) -> Iterator[tuple[Sequence[FrameBoxes], Sequence[FrameBoxes]]]:
    """Split a sequence with many identities into sequences whose identities never overlap.

    Yields:
        Truth and predictions of the frames with an identity of a group. An empty sequence yields one empty
        pair.
    """
    similarities = _compute_similarities(truth, predictions, matching)
    groups = find_identity_groups(
        _list_ids(truth), _list_ids(predictions), similarities, max_table_size=max_table_size
    )
    for group in chain([next(groups, ())], groups):
        group_truth = DiskList[FrameBoxes]()
        group_predictions = DiskList[FrameBoxes]()
        for frame in group:
            group_truth.append(_select_boxes(truth[frame.frame_index], frame.truth_mask))
            group_predictions.append(_select_boxes(predictions[frame.frame_index], frame.prediction_mask))
        yield group_truth, group_predictions


def score_tracks(
    truth: Sequence[FrameBoxes], predictions: Sequence[FrameBoxes], matching: Matching = IOU_03
) -> MotScores:
    """Compute the metrics of one sequence, with its frames in order.

    Raises:
        ValueError: the lengths differ, or a frame contains an id twice.
    """
    return compute_counts(truth, predictions, matching).scores


def combine_counts(sequences: Sequence[TrackEvalCounts]) -> TrackEvalCounts:
    """Combine several sequences, as if they were one."""
    return TrackEvalCounts(
        clear=combine_clear([counts.clear for counts in sequences]),
        identity=combine_identity([counts.identity for counts in sequences]),
        hota=combine_hota([counts.hota for counts in sequences]),
        objects=sum(counts.objects for counts in sequences),
    )


@dataclass(frozen=True)
class FrameCounts:
    """Counts of each frame.

    Attributes:
        objects: number of true objects, (frames,).
        tracks: number of predicted objects, (frames,).
        matches: number of matches between them, (frames,).
    """

    objects: NDArray[np.int64]
    tracks: NDArray[np.int64]
    matches: NDArray[np.int64]

    @property
    def errors(self) -> NDArray[np.int64]:
        """Number of misses and false positives, (frames,)."""
        return self.objects + self.tracks - 2 * self.matches


def count_matches_per_frame(
    truth: Sequence[FrameBoxes], predictions: Sequence[FrameBoxes], matching: Matching = IOU_03
) -> FrameCounts:
    """Count the matches of each frame on its own: one to one, with the largest total similarity."""
    counts = np.zeros((len(truth), 3), np.int64)
    for index, (true, predicted) in enumerate(zip(truth, predictions, strict=True)):
        similarity = matching.similarity(true.boxes, predicted.boxes)
        similarity = np.where(similarity >= matching.threshold, similarity, 0)
        num_matches = (similarity[linear_sum_assignment(-similarity)] > 0).sum()
        counts[index] = len(true.ids), len(predicted.ids), num_matches
    return FrameCounts(*counts.T)


@dataclass(frozen=True)
class Coverage:
    """Coverage of one object by any tracks.

    Attributes:
        num_frames: number of frames that show the object.
        num_covered: number of these frames in which a track's center is near the object's.
        num_identities: number of different tracks that cover the object.
        num_longest_identity: number of frames covered by the track that covers the object the longest.
    """

    num_frames: int
    num_covered: int
    num_identities: int
    num_longest_identity: int

    @property
    def fraction(self) -> float:
        """Fraction of the object's frames that are covered; NaN without frames."""
        return self.num_covered / self.num_frames if self.num_frames else float("nan")


def compute_coverage(
    truth: Sequence[FrameBoxes],
    predictions: Sequence[FrameBoxes],
    *,
    object_id: int = 1,
    max_distance_px: float = 5.0,
) -> Coverage:
    """Compute the coverage of one object.

    Args:
        truth: true boxes of each frame.
        predictions: predicted boxes of each frame.
        object_id: id of the object.
        max_distance_px: maximum distance of the centers in pixels.
    """
    num_frames = 0
    covering_ids = []
    for true, predicted in zip(truth, predictions, strict=True):
        box = true.boxes[true.ids == object_id]
        if len(box) == 0:
            continue
        num_frames += 1
        distance_px = np.linalg.norm(compute_centers(predicted.boxes) - compute_centers(box[:1]), axis=1)
        if len(distance_px) and distance_px.min() <= max_distance_px:
            covering_ids.append(int(predicted.ids[distance_px.argmin()]))
    _, counts = np.unique(covering_ids, return_counts=True)
    return Coverage(num_frames, len(covering_ids), len(counts), int(counts.max(initial=0)))


def _list_ids(frames: Sequence[FrameBoxes]) -> Sequence[NDArray[np.int64]]:
    return LazySequence(len(frames), lambda index: frames[index].ids)


def _compute_similarities(
    truth: Sequence[FrameBoxes], predictions: Sequence[FrameBoxes], matching: Matching
) -> Sequence[NDArray[np.float64]]:
    return LazySequence(
        len(truth), lambda index: matching.similarity(truth[index].boxes, predictions[index].boxes)
    )


def _select_boxes(frame: FrameBoxes, mask: NDArray[np.bool_]) -> FrameBoxes:
    return FrameBoxes(frame.ids[mask], frame.boxes[mask])


def _make_tracking_data(
    truth: Sequence[FrameBoxes], predictions: Sequence[FrameBoxes], matching: Matching
) -> TrackingData:
    true_ids, num_true_boxes = _count_ids(truth)
    predicted_ids, num_predicted_boxes = _count_ids(predictions)
    return TrackingData(
        true_ids=_renumber_ids(truth, true_ids),
        predicted_ids=_renumber_ids(predictions, predicted_ids),
        similarities=_compute_similarities(truth, predictions, matching),
        num_true_ids=len(true_ids),
        num_predicted_ids=len(predicted_ids),
        num_true_boxes=num_true_boxes,
        num_predicted_boxes=num_predicted_boxes,
    )


def _count_ids(frames: Sequence[FrameBoxes]) -> tuple[NDArray[np.int64], int]:
    """Return the sorted unique ids of all frames and the number of boxes.

    Raises:
        ValueError: a frame contains an id twice.
    """
    unique_ids: set[int] = set()
    num_boxes = 0
    for index, frame in enumerate(frames):
        ids, counts = np.unique(frame.ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"id {ids[counts > 1][0]} is twice in frame {index}")
        unique_ids.update(ids.tolist())
        num_boxes += len(ids)
    return np.array(sorted(unique_ids), np.int64), num_boxes


def _renumber_ids(frames: Sequence[FrameBoxes], unique_ids: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
    """Return the ids of each frame counted from 0 without gaps."""
    return LazySequence(len(frames), lambda index: np.searchsorted(unique_ids, frames[index].ids))
