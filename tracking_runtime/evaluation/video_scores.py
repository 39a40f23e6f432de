"""Metrics of a tracker on one video.

The scores are plain data without loss in JSON, so that runs can be resumed and compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, ScoredBoxes
from tracking_runtime.datasets.sequences import Truths
from tracking_runtime.evaluation import py_motmetrics
from tracking_runtime.evaluation.detection import score_detections
from tracking_runtime.evaluation.identity_groups import find_unique_ids
from tracking_runtime.evaluation.multi_object import (
    MATCHINGS,
    Matching,
    TrackEvalCounts,
    combine_counts,
    compute_counts,
    count_matches_per_frame,
)
from tracking_runtime.evaluation.one_pass import (
    MATLAB,
    OTB,
    OnePassScores,
    average_scores,
    compute_frame_overlaps,
    compute_one_pass_errors,
    score_one_pass,
)
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import LazySequence
from tracking_runtime.io.json_data import to_json_data

Prediction = Boxes | Sequence[ScoredBoxes]
"""Output of a tracker for a video: boxes of one target, (frames, 4), or the objects of each frame."""

SINGLE_TARGET_METRICS = {
    "success": "area under the success curve, OTB: 21 thresholds, overlap above each",
    "precision": "fraction of frames with the center within 20 px",
    "success_matlab": "area under the success curve, MATLAB: 0.02 to 1.00, overlap at least each",
    "precision_matlab": "fraction of frames with the center closer than 20 px",
    "normalised_precision": "area under the precision curve in units of the target's size, up to one half",
    "mean_overlap": "mean intersection over union",
}
"""Name and description of each metric of a single target."""

MULTI_OBJECT_METRICS = {
    "MOTA": "1 - (misses + false tracks + identity switches) / objects",
    "IDF1": "F1 of the identities",
    "challenge_score": "(MOTA + IDF1) / 2, the ranking of the SatVideoDT challenge",
    "HOTA": "detection and association, mean over thresholds 0.05 to 0.95",
    "recall": "fraction of objects matched",
    "precision": "fraction of tracks that match",
    "IDs": "identity switches",
    "FP": "tracks without a match",
    "FN": "objects without a match",
    "MT": "objects tracked in more than 80 % of their frames; by py-motmetrics in 80 % or more",
    "ML": "objects tracked in less than 20 % of their frames",
    "detection_F1": "harmonic mean of precision and recall, matched frame by frame without identities",
    "detection_AP": "COCO's average precision at the threshold of the matching",
}
"""Name and description of each metric of many objects."""

SCHEMA = 2
"""Version of the files of a run and of its videos. Files of other versions are not read."""

ClearBy = Literal["trackeval", "motmetrics"]
"""Library of the CLEAR and identity metrics."""


@dataclass(frozen=True)
class ScoringRules:
    """Rules by which many objects are scored.

    Attributes:
        matching: rule of a match, a key of `MATCHINGS`.
        clear_by: library of the CLEAR and identity metrics.
    """

    matching: str = "iou0.3"
    clear_by: ClearBy = "trackeval"

    def __post_init__(self) -> None:
        """Raise SourceError if the library is not installed."""
        if self.clear_by == "motmetrics":
            py_motmetrics.check_installed()


DEFAULT_RULES = ScoringRules()


@dataclass(frozen=True)
class VideoScores:
    """Metrics of one video.

    Attributes:
        name: name of the video.
        num_frames: number of frames with ground truth.
        metrics: metrics by name, see `SINGLE_TARGET_METRICS` and `MULTI_OBJECT_METRICS`.
        attributes: the benchmark's abbreviations of what makes the video hard to track.
        matching: rule of a match; empty for a single target.
        clear_by: library of the CLEAR and identity metrics; empty for a single target.
        details: counts and curves from which the metrics of several videos are computed.
        frame_errors: error of each frame, (frames,); NaN without ground truth.
    """

    name: str
    num_frames: int
    metrics: Mapping[str, float]
    attributes: tuple[str, ...] = ()
    matching: str = ""
    clear_by: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    frame_errors: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the scores as numbers, lists and texts. The keys are those of the files."""
        return {
            "name": self.name,
            "frames": self.num_frames,
            "figures": to_json_data(self.metrics),
            "attributes": list(self.attributes),
            "matching": self.matching,
            "clear_by": self.clear_by,
            "details": to_json_data(self.details),
            "badness": to_json_data(self.frame_errors),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> VideoScores:
        """Make scores from the output of `to_json`. Raise KeyError if a key is missing."""
        return cls(
            name=content["name"],
            num_frames=content["frames"],
            metrics={name: _to_float(value) for name, value in content["figures"].items()},
            attributes=tuple(content["attributes"]),
            matching=content["matching"],
            clear_by=content["clear_by"],
            details=content["details"],
            frame_errors=tuple(_to_float(value) for value in content["badness"]),
        )


def score_video(
    name: str,
    truth: Truths,
    prediction: Prediction,
    *,
    attributes: tuple[str, ...] = (),
    class_names: Sequence[str] = (),
    rules: ScoringRules = DEFAULT_RULES,
) -> VideoScores:
    """Compute the metrics of one video.

    Args:
        name: name of the video.
        truth: ground truth of each frame. A frame without ground truth (None) does not count.
        prediction: output of the tracker for each frame.
        attributes: the benchmark's abbreviations of what makes the video hard to track.
        class_names: name of each class id of the ground truth.
        rules: rules by which many objects are scored.

    Raises:
        ValueError: the lengths differ, a frame contains an id twice, or the prediction is of a single target
            but the ground truth has several objects.
    """
    if len(prediction) != len(truth):
        raise ValueError(f"{name}: predictions for {len(prediction)} frames, ground truth for {len(truth)}")
    try:
        if isinstance(prediction, np.ndarray):
            return _score_single_target(name, truth, prediction, attributes)
        return _score_many_objects(name, truth, prediction, attributes, class_names, rules)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def find_target_boxes(truth: Truths) -> Boxes:
    """Return the boxes of a single target, (frames, 4); NaN without the target or without ground truth.

    Raises:
        ValueError: a frame contains several objects.
    """
    boxes = np.full((len(truth), 4), np.nan)
    for index, objects in enumerate(truth):
        if objects is not None and len(objects.ids) > 1:
            raise ValueError(
                f"a single target is scored, but frame {index + 1} has {len(objects.ids)} objects"
            )
        if objects is not None and len(objects.ids):
            boxes[index] = objects.boxes[0]
    return boxes


def compute_metrics(details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Compute the metrics of one or several videos together.

    Args:
        details: `VideoScores.details` of each video, all of one kind and each with a frame that counts.
    """
    if "counts" in details[0]:
        return _compute_multi_object_metrics(details)
    return _compute_single_target_metrics(details)


def average_one_pass_scores(details: Sequence[Mapping[str, Any]], protocol: str) -> OnePassScores:
    """Average the scores of a protocol (`otb` or `matlab`) over the details of videos."""
    return average_scores([_read_one_pass_scores(each[protocol]) for each in details])


def _score_single_target(
    name: str, truth: Truths, prediction: Boxes, attributes: tuple[str, ...]
) -> VideoScores:
    boxes = find_target_boxes(truth)
    errors = compute_one_pass_errors(prediction, boxes)
    if not len(errors.overlaps):
        return VideoScores(name, 0, {}, attributes)
    details: dict[str, Any] = {
        "otb": asdict(score_one_pass(errors, OTB)),
        "matlab": asdict(score_one_pass(errors, MATLAB)),
        "mean_overlap": float(errors.overlaps.mean()),
    }
    frame_errors = 1 - compute_frame_overlaps(prediction, boxes)
    return VideoScores(
        name,
        len(errors.overlaps),
        compute_metrics([details]),
        attributes,
        details=to_json_data(details),
        frame_errors=tuple(float(error) for error in frame_errors),
    )


def _score_many_objects(
    name: str,
    truth: Truths,
    prediction: Sequence[ScoredBoxes],
    attributes: tuple[str, ...],
    class_names: Sequence[str],
    rules: ScoringRules,
) -> VideoScores:
    known = np.flatnonzero([objects is not None for objects in truth])
    empty = VideoScores(name, 0, {}, attributes, rules.matching, rules.clear_by)
    if not len(known):
        return empty
    true = LazySequence(len(known), lambda index: _to_scored_boxes(truth[known[index]]))
    predicted = LazySequence(len(known), lambda index: prediction[known[index]])
    details = _count_objects(true, predicted, rules)
    details_by_class = _count_objects_by_class(true, predicted, details, class_names, rules)
    frame_errors = np.full(len(truth), np.nan)
    frame_errors[known] = count_matches_per_frame(true, predicted, MATCHINGS[rules.matching]).errors
    return replace(
        empty,
        num_frames=len(known),
        metrics=compute_metrics([details]),
        details=to_json_data({**details, "classes": details_by_class}),
        frame_errors=tuple(float(error) for error in frame_errors),
    )


def _to_scored_boxes(objects: GroundTruth | None) -> ScoredBoxes:
    objects = objects or GroundTruth()
    scores = np.ones(len(objects.ids))
    return ScoredBoxes(objects.ids, objects.boxes, scores, objects.class_ids.astype(np.int64))


def _count_objects(
    true: Sequence[ScoredBoxes], predicted: Sequence[ScoredBoxes], rules: ScoringRules
) -> dict[str, Mapping[str, Any]]:
    """Return the counts of each library."""
    matching = MATCHINGS[rules.matching]
    details: dict[str, Mapping[str, Any]] = {
        "counts": asdict(compute_counts(true, predicted, matching)),
        "detection": asdict(score_detections(true, predicted, matching)),
    }
    if rules.clear_by == "motmetrics":
        details["motmetrics"] = py_motmetrics.compute_counts(true, predicted, matching)
    return details


def _count_objects_by_class(
    true: Sequence[ScoredBoxes],
    predicted: Sequence[ScoredBoxes],
    details: Mapping[str, Any],
    class_names: Sequence[str],
    rules: ScoringRules,
) -> dict[str, Mapping[str, Any]]:
    """Return the counts of each class: its tracks against its objects, or all tracks if there is one class.

    The result is empty for several classes if the tracks have no classes. The same holds if most matching
    tracks have another class than their object, because the class numbers then have other meanings.
    """
    true_classes = find_unique_ids(frame.class_ids for frame in true)
    predicted_classes = find_unique_ids(frame.class_ids for frame in predicted)
    if len(true_classes) < 2:
        return {_get_class_name(class_id, class_names): details for class_id in true_classes}
    if len(predicted_classes):
        has_classes = predicted_classes.max() >= 0
        if not has_classes or not _classes_agree(true, predicted, true_classes, MATCHINGS[rules.matching]):
            return {}
    return {
        _get_class_name(class_id, class_names): _count_objects(
            _select_class(true, class_id), _select_class(predicted, class_id), rules
        )
        for class_id in np.union1d(true_classes, predicted_classes[predicted_classes >= 0])
    }


def _classes_agree(
    true: Sequence[ScoredBoxes],
    predicted: Sequence[ScoredBoxes],
    class_ids: NDArray[np.int64],
    matching: Matching,
) -> bool:
    """Return whether at least half of the matching tracks have the class of their object."""
    num_equal = sum(
        int(
            count_matches_per_frame(
                _select_class(true, class_id), _select_class(predicted, class_id), matching
            ).matches.sum()
        )
        for class_id in class_ids
    )
    return 2 * num_equal >= int(count_matches_per_frame(true, predicted, matching).matches.sum())


def _select_class(frames: Sequence[ScoredBoxes], class_id: int) -> Sequence[ScoredBoxes]:
    def select(index: int) -> ScoredBoxes:
        frame = frames[index]
        mask = frame.class_ids == class_id
        return ScoredBoxes(frame.ids[mask], frame.boxes[mask], frame.scores[mask], frame.class_ids[mask])

    return LazySequence(len(frames), select)


def _get_class_name(class_id: int, class_names: Sequence[str]) -> str:
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id + 1}"


def _compute_single_target_metrics(details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Average over videos with equal weights."""
    otb = average_one_pass_scores(details, "otb")
    matlab = average_one_pass_scores(details, "matlab")
    return {
        "success": otb.success,
        "precision": otb.precision,
        "success_matlab": matlab.success,
        "precision_matlab": matlab.precision,
        "normalised_precision": otb.normalised_precision,
        "mean_overlap": float(np.mean([each["mean_overlap"] for each in details])),
    }


def _compute_multi_object_metrics(details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Compute the metrics of all boxes together. Average those of detection over videos, as its papers do."""
    scores = combine_counts([_read_counts(each["counts"]) for each in details]).scores
    metrics = {
        "MOTA": scores.mota,
        "IDF1": scores.idf1,
        "HOTA": scores.hota,
        "recall": scores.recall,
        "precision": scores.precision,
        "IDs": scores.identity_switches,
        "FP": scores.false_positives,
        "FN": scores.misses,
        "MT": scores.mostly_tracked,
        "ML": scores.mostly_lost,
    }
    if "motmetrics" in details[0]:
        counts = py_motmetrics.combine_counts([each["motmetrics"] for each in details])
        metrics.update({name: counts[theirs] for name, theirs in py_motmetrics.METRIC_NAMES.items()})
    metrics["challenge_score"] = (metrics["MOTA"] + metrics["IDF1"]) / 2
    metrics["detection_F1"] = _average_detection_metric(details, "f1")
    metrics["detection_AP"] = _average_detection_metric(details, "average_precision")
    return {name: metrics[name] for name in MULTI_OBJECT_METRICS}


def _average_detection_metric(details: Sequence[Mapping[str, Any]], name: str) -> float:
    """Average a metric of detection over the videos that have it; NaN if none has."""
    values = [_to_float(each["detection"][name]) for each in details]
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _read_one_pass_scores(content: Mapping[str, Any]) -> OnePassScores:
    curves = {name: np.asarray(content[name], np.float64) for name in ("success_curve", "precision_curve")}
    return OnePassScores(**{**content, **curves})


def _read_counts(content: Mapping[str, Any]) -> TrackEvalCounts:
    hota: dict[str, float | NDArray[np.float64]] = {
        name: np.asarray(value, np.float64) if isinstance(value, list | np.ndarray) else value
        for name, value in content["hota"].items()
    }
    return TrackEvalCounts(content["clear"], content["identity"], hota, content["objects"])


def _to_float(value: float | None) -> float:
    return math.nan if value is None else value
