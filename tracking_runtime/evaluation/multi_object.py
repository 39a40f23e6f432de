"""Figures of multi-object tracking by TrackEval, with the matching rules of the field as presets.

Only tracks that were seen in a frame count there: coasting and tentative ones are no claims, as in the
official results. Figures of several sequences are of all their boxes together, as TrackEval combines them; so
are those of the groups of identities that a long sequence falls into.

One definition differs between the field's tools: TrackEval, and so this module, calls an object mostly
tracked that is matched in more than 80 % of its frames, py-motmetrics one matched in 80 % or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from trackeval.metrics import CLEAR, HOTA, Identity

from tracking_runtime.boxes import Boxes, as_boxes, centres, intersection_over_union
from tracking_runtime.evaluation.identity_groups import LARGEST_TABLE, groups_apart
from tracking_runtime.io.disk_list import Made, Spool

Similarity = Callable[[Boxes, Boxes], NDArray[np.float64]]


def centre_similarity(truth: Boxes, tracked: Boxes) -> NDArray[np.float64]:
    """``(n, m)`` 1 for the same centre, 0.5 at 5 px, 0 from 10 px on."""
    distance = np.linalg.norm(centres(truth)[:, None] - centres(tracked)[None], axis=2)
    return np.clip(1 - distance / 10, 0, 1)


@dataclass(frozen=True)
class Matching:
    """When a track is the object.

    Attributes:
        name: as reports call it.
        similarity: of true and tracked boxes, 0..1.
        threshold: from which they match.
    """

    name: str
    similarity: Similarity
    threshold: float


IOU_03 = Matching("IoU >= 0.3 (SPAX, MP2Net)", intersection_over_union, 0.3)
IOU_04 = Matching("IoU >= 0.4 (CFTracker)", intersection_over_union, 0.4)
ANY_OVERLAP = Matching("any overlap (CFTracker's repository)", intersection_over_union, 1e-7)
CENTRE_5PX = Matching("centres closer than 5 px (HiEUM)", centre_similarity, 0.5 + 1e-9)  # not at 5 px
MATCHINGS: Mapping[str, Matching] = {
    "iou0.3": IOU_03,
    "iou0.4": IOU_04,
    "any-overlap": ANY_OVERLAP,
    "centre5px": CENTRE_5PX,
}


@dataclass(frozen=True)
class FrameBoxes:
    """Identified boxes in one frame: ids ``(n,)``, boxes ``(n, 4)``."""

    ids: NDArray[np.int64]
    boxes: Boxes


@dataclass(frozen=True)
class ScoredBoxes(FrameBoxes):
    """The same with ``(n,)`` scores and class ids, as trackers give them."""

    scores: NDArray[np.float64]
    class_ids: NDArray[np.int64]

    @classmethod
    def none(cls) -> ScoredBoxes:
        """A frame with nothing in it."""
        return cls(np.zeros(0, np.int64), as_boxes([]), np.zeros(0), np.zeros(0, np.int64))


@dataclass(frozen=True)
class MotScores:
    """TrackEval's figures, its numbers untouched.

    Attributes:
        mota: CLEAR accuracy.
        idf1: identity F1.
        hota: higher-order accuracy, mean over its thresholds; of IoU or of the matching's similarity.
        detection_accuracy: HOTA's DetA, mean over its thresholds.
        association_accuracy: HOTA's AssA, mean over its thresholds.
        precision: share of the tracked boxes that match.
        recall: share of the true boxes that are matched.
        identity_switches: CLEAR's IDSW.
        false_positives: tracked boxes that match nothing.
        misses: true boxes that nothing matches.
        mostly_tracked: objects matched in more than 80 % of their frames.
        mostly_lost: objects matched in less than 20 %.
        fragmentations: interruptions of objects' matches.
        objects: true identities.
        truths: true boxes.
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
class Counts:
    """What TrackEval makes of one sequence, or of several together, by its own names.

    Attributes:
        clear: of its metric CLEAR.
        identity: of its metric Identity.
        hota: of its metric HOTA, values and ``(19,)`` arrays.
        objects: true identities.
    """

    clear: Mapping[str, Any]
    identity: Mapping[str, Any]
    hota: Mapping[str, Any]
    objects: int

    @property
    def scores(self) -> MotScores:
        """The usual figures."""
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


def count(
    truth: Sequence[FrameBoxes],
    tracked: Sequence[FrameBoxes],
    matching: Matching = IOU_03,
    *,
    largest_table: int = LARGEST_TABLE,
) -> Counts:
    """TrackEval's results of one sequence, its frames in order.

    Args:
        truth: of each frame.
        tracked: in each frame.
        matching: when a track is the object.
        largest_table: see ``groups_apart``.

    Raises:
        ValueError: the two have different lengths, or a frame has an id twice.
    """
    if len(truth) != len(tracked):
        raise ValueError(f"{len(tracked)} tracked frames for {len(truth)} true ones")
    options = {"THRESHOLD": matching.threshold, "PRINT_CONFIG": False}
    identity, hota = Identity(options), HOTA()
    data = _trackeval_data(truth, tracked, matching)
    parts = []
    for part in apart(truth, tracked, matching, largest_table=largest_table):
        of_part = _trackeval_data(*part, matching)
        parts.append((identity.eval_sequence(of_part), hota.eval_sequence(of_part)))
    return Counts(
        clear=CLEAR(options).eval_sequence(data),
        identity=_together(identity, [found for found, _ in parts]),
        hota=_together(hota, [found for _, found in parts]),
        objects=data["num_gt_ids"],
    )


def apart(
    truth: Sequence[FrameBoxes],
    tracked: Sequence[FrameBoxes],
    matching: Matching,
    *,
    largest_table: int = LARGEST_TABLE,
) -> Iterator[tuple[Sequence[FrameBoxes], Sequence[FrameBoxes]]]:
    """A sequence as one, or if it has very many identities as several, whose identities never meet.

    Yields:
        truth and tracks of the frames that have any of a group; one pair of nothing where nothing is in any.
    """
    similarities = _similarities(truth, tracked, matching)
    groups = groups_apart(_ids(truth), _ids(tracked), similarities, largest=largest_table)
    for parts in chain([next(groups, ())], groups):
        true_part, tracked_part = Spool[FrameBoxes](), Spool[FrameBoxes]()
        for part in parts:
            true_part.append(_chosen(truth[part.frame], part.true))
            tracked_part.append(_chosen(tracked[part.frame], part.tracked))
        yield true_part, tracked_part


def evaluate(
    truth: Sequence[FrameBoxes], tracked: Sequence[FrameBoxes], matching: Matching = IOU_03
) -> MotScores:
    """Figures of one sequence, its frames in order.

    Raises:
        ValueError: the two have different lengths, or a frame has an id twice.
    """
    return count(truth, tracked, matching).scores


def combined(sequences: Sequence[Counts]) -> Counts:
    """Several sequences as one, by TrackEval."""
    options = {"PRINT_CONFIG": False}
    return Counts(
        clear=CLEAR(options).combine_sequences(dict(enumerate(counts.clear for counts in sequences))),
        identity=Identity(options).combine_sequences(
            dict(enumerate(counts.identity for counts in sequences))
        ),
        hota=HOTA().combine_sequences(dict(enumerate(counts.hota for counts in sequences))),
        objects=sum(counts.objects for counts in sequences),
    )


@dataclass(frozen=True)
class FrameCounts:
    """``(frames,)`` objects and tracks in each frame, and matches between them."""

    objects: NDArray[np.int64]
    tracks: NDArray[np.int64]
    matches: NDArray[np.int64]

    @property
    def errors(self) -> NDArray[np.int64]:
        """``(frames,)`` misses and false tracks."""
        return self.objects + self.tracks - 2 * self.matches


def count_frames(
    truth: Sequence[FrameBoxes], tracked: Sequence[FrameBoxes], matching: Matching = IOU_03
) -> FrameCounts:
    """Counts in each frame alone, matched one to one, with the largest similarity in all."""
    counts = np.zeros((len(truth), 3), np.int64)
    for frame, (actual, claimed) in enumerate(zip(truth, tracked, strict=True)):
        similarity = matching.similarity(actual.boxes, claimed.boxes)
        similarity = np.where(similarity >= matching.threshold, similarity, 0)
        matches = (similarity[linear_sum_assignment(-similarity)] > 0).sum()
        counts[frame] = len(actual.ids), len(claimed.ids), matches
    return FrameCounts(*counts.T)


@dataclass(frozen=True)
class Coverage:
    """How well one object was covered by any track.

    Attributes:
        frames: in which the object is.
        covered: of them, those with a track's centre near the object's.
        identities: different tracks that covered it.
        longest_identity: frames covered by the one that did so most.
    """

    frames: int
    covered: int
    identities: int
    longest_identity: int

    @property
    def share(self) -> float:
        """Of the object's frames, those covered."""
        return self.covered / self.frames if self.frames else float("nan")


def coverage(
    truth: Sequence[FrameBoxes], tracked: Sequence[FrameBoxes], *, object_id: int = 1, within_px: float = 5.0
) -> Coverage:
    """In how many of its frames an object has a track's centre within some pixels of its own."""
    frames, ids = 0, []
    for actual, claimed in zip(truth, tracked, strict=True):
        box = actual.boxes[actual.ids == object_id]
        if len(box) == 0:
            continue
        frames += 1
        distance = np.linalg.norm(centres(claimed.boxes) - centres(box[:1]), axis=1)
        if len(distance) and distance.min() <= within_px:
            ids.append(int(claimed.ids[distance.argmin()]))
    _, counts = np.unique(ids, return_counts=True)
    return Coverage(frames, len(ids), len(counts), int(counts.max(initial=0)))


def _ids(frames: Sequence[FrameBoxes]) -> Sequence[NDArray[np.int64]]:
    return Made(len(frames), lambda frame: frames[frame].ids)


def _similarities(
    truth: Sequence[FrameBoxes], tracked: Sequence[FrameBoxes], matching: Matching
) -> Sequence[NDArray[np.float64]]:
    return Made(len(truth), lambda frame: matching.similarity(truth[frame].boxes, tracked[frame].boxes))


def _chosen(frame: FrameBoxes, which: NDArray[np.bool_]) -> FrameBoxes:
    return FrameBoxes(frame.ids[which], frame.boxes[which])


def _together(metric: Any, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a metric of TrackEval makes of the parts of one sequence; a single one stays as it is."""
    combined: Mapping[str, Any] = metric.combine_sequences(dict(enumerate(parts)))
    return combined if len(parts) > 1 else parts[0]


def _trackeval_data(
    truth: Sequence[FrameBoxes], tracked: Sequence[FrameBoxes], matching: Matching
) -> dict[str, Any]:
    """What TrackEval reads a frame at a time, as often as it likes, and the counts that it wants before."""
    gt_names, gt_count = _names_and_count(truth)
    tracker_names, tracker_count = _names_and_count(tracked)
    return {
        "num_timesteps": len(truth),
        "num_gt_ids": len(gt_names),
        "num_tracker_ids": len(tracker_names),
        "num_gt_dets": gt_count,
        "num_tracker_dets": tracker_count,
        "gt_ids": _consecutive(truth, gt_names),
        "tracker_ids": _consecutive(tracked, tracker_names),
        "similarity_scores": _similarities(truth, tracked, matching),
    }


def _names_and_count(frames: Sequence[FrameBoxes]) -> tuple[NDArray[np.int64], int]:
    """The ids in some frames, in order, and how often any of them is in one."""
    names: set[int] = set()
    count = 0
    for number, frame in enumerate(frames):
        ids, counts = np.unique(frame.ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"id {ids[counts > 1][0]} is twice in frame {number}")
        names.update(ids.tolist())
        count += len(ids)
    return np.array(sorted(names), np.int64), count


def _consecutive(frames: Sequence[FrameBoxes], names: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
    """Ids counted from 0 without gaps, as TrackEval wants them, by the ids that they stand for."""
    return Made(len(frames), lambda frame: np.searchsorted(names, frames[frame].ids))
