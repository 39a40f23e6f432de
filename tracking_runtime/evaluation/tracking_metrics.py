"""CLEAR, identity metrics and HOTA of multi-object tracking, by the definitions of their papers.

Where the papers leave a choice, it is that of TrackEval, with which the field publishes its results. The
results equal those of TrackEval, and have its names. The tests compare both.

- CLEAR: K. Bernardin, R. Stiefelhagen: *Evaluating multiple object tracking performance: the CLEAR MOT
  metrics*, 2008.
- Identity: E. Ristani et al.: *Performance measures and a data set for multi-target, multi-camera tracking*,
  2016.
- HOTA: J. Luiten et al.: *HOTA: a higher order metric for evaluating multi-object tracking*, 2020.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

HOTA_THRESHOLDS = np.arange(0.05, 0.99, 0.05)
"""Similarities at which HOTA is computed, (19,)."""

_EPSILON = float(np.finfo(np.float64).eps)
_CONTINUITY_BONUS = 1000.0  # above every similarity, so that CLEAR keeps a match while it is valid
_MOSTLY_TRACKED = 0.8  # fraction of an object's frames; mostly tracked is above
_MOSTLY_LOST = 0.2  # fraction of an object's frames; mostly lost is below
_CLEAR_COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "MT", "PT", "ML", "Frag", "CLR_Frames")
_IDENTITY_COUNTS = ("IDTP", "IDFN", "IDFP")
_HOTA_COUNTS = ("HOTA_TP", "HOTA_FN", "HOTA_FP")
_HOTA_MEANS = ("AssA", "AssRe", "AssPr")


@dataclass(frozen=True)
class TrackingData:
    """Ids and similarities of a sequence. Each list has an item a frame and is iterated several times.

    Attributes:
        true_ids: ids of the objects, each (n,), from 0 without gaps.
        predicted_ids: ids of the tracks, each (m,), from 0 without gaps.
        similarities: similarity of each object and track, each (n, m), 0..1.
        num_true_ids: number of different objects.
        num_predicted_ids: number of different tracks.
        num_true_boxes: number of boxes of objects.
        num_predicted_boxes: number of boxes of tracks.
    """

    true_ids: Sequence[NDArray[np.int64]]
    predicted_ids: Sequence[NDArray[np.int64]]
    similarities: Sequence[NDArray[np.float64]]
    num_true_ids: int
    num_predicted_ids: int
    num_true_boxes: int
    num_predicted_boxes: int

    @property
    def is_empty(self) -> bool:
        """True if there are no objects or no tracks."""
        return not self.num_true_boxes or not self.num_predicted_boxes

    def iterate_frames(
        self,
    ) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        """Iterate over the frames: ids (objects,) and (tracks,), and their similarities (objects, tracks)."""
        return zip(self.true_ids, self.predicted_ids, self.similarities, strict=True)


def compute_clear(data: TrackingData, threshold: float) -> dict[str, Any]:
    """Compute the CLEAR metrics of a sequence.

    Args:
        data: sequence.
        threshold: minimum similarity of a match.
    """
    result: dict[str, Any] = {**dict.fromkeys(_CLEAR_COUNTS, 0), "MOTA": 0.0, "CLR_Re": 0.0, "CLR_Pr": 0.0}
    if data.is_empty:
        result["CLR_FN"], result["CLR_FP"] = data.num_true_boxes, data.num_predicted_boxes
        result["ML"] = 0 if data.num_predicted_boxes else data.num_true_ids
        return result
    num_frames_of_id = np.zeros(data.num_true_ids, np.int64)
    num_matches_of_id = np.zeros(data.num_true_ids, np.int64)
    num_fragments_of_id = np.zeros(data.num_true_ids, np.int64)
    last_match = np.full(data.num_true_ids, -1)  # track that matched each object last
    previous_match = np.full(data.num_true_ids, -1)  # track that matched it in the last frame with both
    for true_ids, predicted_ids, similarity in data.iterate_frames():
        num_frames_of_id[true_ids] += 1
        if not len(true_ids) or not len(predicted_ids):
            result["CLR_FN"] += len(true_ids)
            result["CLR_FP"] += len(predicted_ids)
            continue
        is_continued = predicted_ids[None] == previous_match[true_ids][:, None]
        rows, columns = _match(similarity, is_continued, threshold)
        objects, tracks = true_ids[rows], predicted_ids[columns]
        before = last_match[objects]
        result["IDSW"] += int(((before >= 0) & (before != tracks)).sum())
        was_unmatched = previous_match < 0
        last_match[objects] = tracks
        previous_match[:] = -1
        previous_match[objects] = tracks
        num_matches_of_id[objects] += 1
        num_fragments_of_id += was_unmatched & (previous_match >= 0)
        result["CLR_TP"] += len(objects)
        result["CLR_FN"] += len(true_ids) - len(objects)
        result["CLR_FP"] += len(predicted_ids) - len(objects)
    is_present = num_frames_of_id > 0
    fractions = num_matches_of_id[is_present] / num_frames_of_id[is_present]
    result["MT"] = int((fractions > _MOSTLY_TRACKED).sum())
    result["PT"] = int((fractions >= _MOSTLY_LOST).sum()) - result["MT"]
    result["ML"] = data.num_true_ids - result["MT"] - result["PT"]
    result["Frag"] = int((num_fragments_of_id[num_fragments_of_id > 0] - 1).sum())
    result["CLR_Frames"] = len(data.true_ids)
    return _finish_clear(result)


def _match(
    similarity: NDArray[np.float64], is_continued: NDArray[np.bool_], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of the pairs of objects and tracks that match in a frame.

    Args:
        similarity: similarity of objects and tracks, (objects, tracks).
        is_continued: pairs that matched in the previous frame, which come first, (objects, tracks).
        threshold: minimum similarity of a match.
    """
    score = _CONTINUITY_BONUS * is_continued + similarity
    score[similarity < threshold - _EPSILON] = 0
    rows, columns = linear_sum_assignment(-score)
    is_match = score[rows, columns] > _EPSILON
    return rows[is_match], columns[is_match]


def combine_clear(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine the CLEAR metrics of sequences, as if they were one."""
    return _finish_clear(_add_counts(results, _CLEAR_COUNTS))


def compute_identity(data: TrackingData, threshold: float) -> dict[str, Any]:
    """Compute the identity metrics of a sequence.

    Args:
        data: sequence.
        threshold: minimum similarity of a match.
    """
    if data.is_empty:
        return {
            "IDTP": 0,
            "IDFN": data.num_true_boxes,
            "IDFP": data.num_predicted_boxes,
            **dict.fromkeys(("IDR", "IDP", "IDF1"), 0.0),
        }
    num_matches = np.zeros((data.num_true_ids, data.num_predicted_ids))
    for true_ids, predicted_ids, similarity in data.iterate_frames():
        rows, columns = np.nonzero(similarity >= threshold)
        num_matches[true_ids[rows], predicted_ids[columns]] += 1
    # One track for each object, so that most boxes match.
    num_true_positives = int(num_matches[linear_sum_assignment(-num_matches)].sum())
    return _finish_identity(
        {
            "IDTP": num_true_positives,
            "IDFN": data.num_true_boxes - num_true_positives,
            "IDFP": data.num_predicted_boxes - num_true_positives,
        }
    )


def combine_identity(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine the identity metrics of sequences, whose identities differ: counts are added."""
    return _finish_identity(_add_counts(results, _IDENTITY_COUNTS))


def compute_hota(data: TrackingData) -> dict[str, Any]:
    """Compute HOTA of a sequence at each of `HOTA_THRESHOLDS`. The values are arrays, (19,)."""
    zeros = np.zeros(len(HOTA_THRESHOLDS))
    result: dict[str, Any] = {name: zeros.copy() for name in (*_HOTA_COUNTS, *_HOTA_MEANS, "LocA")}
    if data.is_empty:
        result["HOTA_FN"] += data.num_true_boxes
        result["HOTA_FP"] += data.num_predicted_boxes
        result["LocA"] += 1
        return {**result, **dict.fromkeys(("DetA", "DetRe", "DetPr", "HOTA"), zeros)}
    alignment, num_true, num_predicted = _compute_alignment(data)
    num_matches = np.zeros((len(HOTA_THRESHOLDS), data.num_true_ids, data.num_predicted_ids), np.int32)
    for true_ids, predicted_ids, similarity in data.iterate_frames():
        num_matched = zeros
        if len(true_ids) and len(predicted_ids):
            rows, columns = linear_sum_assignment(
                -alignment[true_ids[:, None], predicted_ids[None]] * similarity
            )
            matched = similarity[rows, columns]
            is_match = matched[None] >= HOTA_THRESHOLDS[:, None] - _EPSILON
            num_matched = is_match.sum(axis=1)
            num_matches[:, true_ids[rows], predicted_ids[columns]] += is_match
            result["LocA"] += is_match @ matched
        result["HOTA_TP"] += num_matched
        result["HOTA_FN"] += len(true_ids) - num_matched
        result["HOTA_FP"] += len(predicted_ids) - num_matched
    num_boxes = num_true[:, None] + num_predicted[None]
    for index, matches in enumerate(num_matches):  # one threshold at a time, for the memory
        unions = (num_boxes - matches, num_true[:, None], num_predicted[None])
        for name, union in zip(_HOTA_MEANS, unions, strict=True):
            total = (matches * (matches / np.maximum(1, union))).sum()
            result[name][index] = total / max(1, result["HOTA_TP"][index])
    result["LocA"] = np.maximum(1e-10, result["LocA"]) / np.maximum(1e-10, result["HOTA_TP"])
    return _finish_hota(result)


def combine_hota(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine HOTA of sequences, whose identities differ."""
    combined = {
        name: np.sum([np.asarray(result[name], np.float64) for result in results], axis=0)
        for name in _HOTA_COUNTS
    }
    weights = [np.asarray(result["HOTA_TP"], np.float64) for result in results]
    for name in (*_HOTA_MEANS, "LocA"):
        total = np.sum(
            [weight * result[name] for weight, result in zip(weights, results, strict=True)], axis=0
        )
        if name == "LocA":
            combined[name] = np.maximum(1e-10, total) / np.maximum(1e-10, combined["HOTA_TP"])
        else:
            combined[name] = total / np.maximum(1, combined["HOTA_TP"])
    return _finish_hota(combined)


def _compute_alignment(
    data: TrackingData,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how well each object and track agree in the whole sequence, (n, m), and the boxes of each."""
    potential = np.zeros((data.num_true_ids, data.num_predicted_ids))
    num_true = np.zeros(data.num_true_ids)
    num_predicted = np.zeros(data.num_predicted_ids)
    for true_ids, predicted_ids, similarity in data.iterate_frames():
        union = similarity.sum(axis=0)[None] + similarity.sum(axis=1)[:, None] - similarity
        is_positive = union > _EPSILON
        share = np.zeros_like(similarity)
        share[is_positive] = similarity[is_positive] / union[is_positive]
        potential[true_ids[:, None], predicted_ids[None]] += share
        num_true[true_ids] += 1
        num_predicted[predicted_ids] += 1
    return potential / (num_true[:, None] + num_predicted[None] - potential), num_true, num_predicted


def _add_counts(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    return {name: sum(result[name] for result in results) for name in names}


def _finish_clear(result: Mapping[str, Any]) -> dict[str, Any]:
    """Add the ratios to the counts of CLEAR."""
    matches, false_positives = result["CLR_TP"], result["CLR_FP"]
    objects = max(1, matches + result["CLR_FN"])
    return {
        **result,
        "MOTA": (matches - false_positives - result["IDSW"]) / objects,
        "CLR_Re": matches / objects,
        "CLR_Pr": matches / max(1, matches + false_positives),
    }


def _finish_identity(result: Mapping[str, Any]) -> dict[str, Any]:
    matches, misses, false_positives = (result[name] for name in _IDENTITY_COUNTS)
    return {
        **result,
        "IDR": matches / max(1, matches + misses),
        "IDP": matches / max(1, matches + false_positives),
        "IDF1": matches / max(1, matches + 0.5 * false_positives + 0.5 * misses),
    }


def _finish_hota(result: Mapping[str, Any]) -> dict[str, Any]:
    matches, misses, false_positives = (result[name] for name in _HOTA_COUNTS)
    detection = matches / np.maximum(1, matches + misses + false_positives)
    return {
        **result,
        "DetRe": matches / np.maximum(1, matches + misses),
        "DetPr": matches / np.maximum(1, matches + false_positives),
        "DetA": detection,
        "HOTA": np.sqrt(detection * result["AssA"]),
    }
