"""What a tracker's answers to one video are worth, and those to many videos together.

Everything here is plain data that goes through JSON without loss, so that a run can be resumed, and two runs
be compared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes
from tracking_runtime.datasets.sequences import Truths
from tracking_runtime.evaluation import py_motmetrics
from tracking_runtime.evaluation.detection import score_detections
from tracking_runtime.evaluation.identity_groups import names_of
from tracking_runtime.evaluation.multi_object import (
    MATCHINGS,
    Counts,
    Matching,
    ScoredBoxes,
    combined,
    count,
    count_frames,
)
from tracking_runtime.evaluation.one_pass import (
    MATLAB,
    OTB,
    Scores,
    frame_overlaps,
    mean_scores,
    one_pass_errors,
    score,
)
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import Made

Answer = Boxes | Sequence[ScoredBoxes]
"""What a tracker said of a video: ``(frames, 4)`` boxes of one target, or the objects of each frame."""

ONE_TARGET_FIGURES = {
    "success": "area under the success curve, OTB: 21 thresholds, overlap above each",
    "precision": "frames with the centre within 20 px",
    "success_matlab": "area under the success curve, MATLAB: 0.02 to 1.00, overlap at least each",
    "precision_matlab": "frames with the centre closer than 20 px",
    "normalised_precision": "area under the precision curve in units of the target's size, up to one half",
    "mean_overlap": "mean intersection over union",
}
MANY_OBJECTS_FIGURES = {
    "MOTA": "1 - (misses + false tracks + identity switches) / objects",
    "IDF1": "identities kept",
    "challenge_score": "(MOTA + IDF1) / 2, by which the SatVideoDT challenge ranks",
    "HOTA": "detection and association, mean over thresholds 0.05 to 0.95",
    "recall": "objects matched",
    "precision": "tracks that match",
    "IDs": "identity switches",
    "FP": "tracks that match nothing",
    "FN": "objects that nothing matches",
    "MT": "objects tracked in more than 80 % of their frames; by py-motmetrics in 80 % or more",
    "ML": "objects tracked in less than 20 % of their frames",
    "detection_F1": "harmonic mean of precision and recall, matched frame by frame without identities",
    "detection_AP": "COCO's average precision at the matching's threshold",
}


SCHEMA = 2
"""Of what is kept of a video and of a run; other versions' are not read."""

ClearBy = Literal["trackeval", "motmetrics"]


@dataclass(frozen=True)
class Rules:
    """How many objects are scored.

    Attributes:
        matching: when a track is an object, a key of ``MATCHINGS``.
        clear_by: whose CLEAR and identity figures.
    """

    matching: str = "iou0.3"
    clear_by: ClearBy = "trackeval"

    def __post_init__(self) -> None:
        """Raise SourceError where the library that is to count is not installed."""
        if self.clear_by == "motmetrics":
            py_motmetrics.check_installed()


DEFAULT_RULES = Rules()


@dataclass(frozen=True)
class VideoScores:
    """One video's figures.

    Attributes:
        name: of the video.
        frames: that have a truth.
        figures: by name, see ``ONE_TARGET_FIGURES`` and ``MANY_OBJECTS_FIGURES``.
        attributes: what makes the video hard.
        matching: by which objects and tracks were matched; empty for one target.
        clear_by: whose CLEAR and identity figures these are.
        details: what figures of several videos are made of.
        badness: ``(frames,)`` how wrong each frame is; NaN where nothing is known.
    """

    name: str
    frames: int
    figures: Mapping[str, float]
    attributes: tuple[str, ...] = ()
    matching: str = ""
    clear_by: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    badness: tuple[float, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as numbers, lists and texts."""
        return plain(asdict(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> VideoScores:
        """What ``as_json`` made."""
        numbers = {name: _number(value) for name, value in content["figures"].items()}
        badness = tuple(_number(value) for value in content["badness"])
        attributes = tuple(content["attributes"])
        return cls(**{**content, "figures": numbers, "badness": badness, "attributes": attributes})


@dataclass(frozen=True)
class Summary:
    """Figures of many videos together.

    Attributes:
        videos: that count.
        figures: means over videos for one target, of all boxes together for many objects.
        by_attribute: the same of the videos that have an attribute.
        by_class: the same of the objects of a class, where videos have many objects.
        curves: success and precision over their thresholds, for one target.
    """

    videos: int
    figures: Mapping[str, float]
    by_attribute: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def score_video(
    name: str,
    truth: Truths,
    answer: Answer,
    *,
    attributes: tuple[str, ...] = (),
    class_names: Sequence[str] = (),
    rules: Rules = DEFAULT_RULES,
) -> VideoScores:
    """Figures of one video.

    Args:
        name: of the video.
        truth: of each frame; a frame without does not count.
        answer: the tracker's, of as many frames.
        attributes: of the video.
        class_names: of the truth's classes, by index.
        rules: for many objects.

    Raises:
        ValueError: the two have different lengths, or one target is scored against a truth of several.
    """
    if len(answer) != len(truth):
        raise ValueError(f"{name}: answers for {len(answer)} frames, but there are {len(truth)}")
    if isinstance(answer, np.ndarray):
        return _score_one_target(name, truth, answer, attributes)
    return _score_many_objects(name, truth, answer, attributes, class_names, rules)


def summarise(videos: Sequence[VideoScores]) -> Summary:
    """Figures of many videos, all of one kind.

    Raises:
        ValueError: there is none in which a frame counts, or some have one target and others many objects.
    """
    counted = [video for video in videos if video.details]
    if not counted:
        raise ValueError("no video has a frame that counts")
    of_kind = {"counts" in video.details: video.name for video in counted}
    if len(of_kind) > 1:
        raise ValueError(
            f"{of_kind[False]} is scored as one target and {of_kind[True]} as many objects, which have no "
            "figures in common: evaluate them apart, or see whether a result file has the wrong columns"
        )
    by_attribute = {
        attribute: figures_of([video for video in counted if attribute in video.attributes])
        for attribute in sorted({attribute for video in counted for attribute in video.attributes})
    }
    return Summary(
        len(counted), figures_of(counted), by_attribute, _figures_by_class(counted), _curves_of(counted)
    )


def plain(value: Any) -> Any:
    """Arrays as lists, NumPy's numbers as Python's, NaN as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def target_boxes(truth: Truths) -> Boxes:
    """``(frames, 4)`` of the one target of a truth, NaN where it is absent or nothing is known.

    Raises:
        ValueError: there are several in a frame.
    """
    boxes = np.full((len(truth), 4), np.nan)
    for index, objects in enumerate(truth):
        if objects is not None and len(objects.ids) > 1:
            raise ValueError(f"{len(objects.ids)} objects in frame {index + 1} where one target is scored")
        if objects is not None and len(objects.ids):
            boxes[index] = objects.boxes[0]
    return boxes


def _score_one_target(name: str, truth: Truths, answer: Boxes, attributes: tuple[str, ...]) -> VideoScores:
    try:
        boxes = target_boxes(truth)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    errors = one_pass_errors(answer, boxes)
    if not len(errors.overlaps):
        return VideoScores(name, 0, {}, attributes)
    scores = {"otb": score(errors, OTB), "matlab": score(errors, MATLAB)}
    details: dict[str, Any] = {key: asdict(value) for key, value in scores.items()}
    details["mean_overlap"] = float(errors.overlaps.mean())
    badness = 1 - frame_overlaps(answer, boxes)
    return VideoScores(
        name,
        len(errors.overlaps),
        _one_target_figures([details]),
        attributes,
        details=plain(details),
        badness=tuple(float(value) for value in badness),
    )


def _score_many_objects(
    name: str,
    truth: Truths,
    answer: Sequence[ScoredBoxes],
    attributes: tuple[str, ...],
    class_names: Sequence[str],
    rules: Rules,
) -> VideoScores:
    known = np.flatnonzero([objects is not None for objects in truth])
    nothing = VideoScores(name, 0, {}, attributes, rules.matching, rules.clear_by)
    if not len(known):
        return nothing
    actual = Made(len(known), lambda index: _found(truth[known[index]]))
    claimed = Made(len(known), lambda index: answer[known[index]])
    try:
        together = _counted(actual, claimed, rules)
        by_class = _counted_by_class(actual, claimed, together, class_names, rules)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    badness = np.full(len(truth), np.nan)
    badness[known] = count_frames(actual, claimed, MATCHINGS[rules.matching]).errors
    return replace(
        nothing,
        frames=len(known),
        figures=_many_objects_figures([together]),
        details=plain({**together, "classes": by_class}),
        badness=tuple(float(value) for value in badness),
    )


def _found(objects: GroundTruth | None) -> ScoredBoxes:
    objects = objects or GroundTruth()
    ones = np.ones(len(objects.ids))
    return ScoredBoxes(objects.ids, objects.boxes, ones, objects.class_ids.astype(np.int64))


def _counted(
    actual: Sequence[ScoredBoxes], claimed: Sequence[ScoredBoxes], rules: Rules
) -> dict[str, Mapping[str, Any]]:
    """What the libraries make of some objects."""
    matching = MATCHINGS[rules.matching]
    details: dict[str, Mapping[str, Any]] = {
        "counts": asdict(count(actual, claimed, matching)),
        "detection": asdict(score_detections(actual, claimed, matching)),
    }
    if rules.clear_by == "motmetrics":
        details["motmetrics"] = py_motmetrics.count(actual, claimed, matching)
    return details


def _counted_by_class(
    actual: Sequence[ScoredBoxes],
    claimed: Sequence[ScoredBoxes],
    together: Mapping[str, Any],
    class_names: Sequence[str],
    rules: Rules,
) -> dict[str, Mapping[str, Any]]:
    """The same of each class: tracks of it against objects of it, or all tracks where there is one class.

    There are no figures by class of several where the tracks' classes are not known, or where most tracks
    that match are of another class than their object: their numbers mean other classes then.
    """
    true, told = (names_of(f.class_ids for f in frames) for frames in (actual, claimed))
    if len(true) < 2:
        return {_class_name(kind, class_names): together for kind in true}
    if len(told) and (told.max() < 0 or not _classes_agree(actual, claimed, true, MATCHINGS[rules.matching])):
        return {}
    return {
        _class_name(kind, class_names): _counted(_of_class(actual, kind), _of_class(claimed, kind), rules)
        for kind in np.union1d(true, told[told >= 0])
    }


def _classes_agree(
    actual: Sequence[ScoredBoxes],
    claimed: Sequence[ScoredBoxes],
    kinds: NDArray[np.int64],
    matching: Matching,
) -> bool:
    """Whether at least half of the tracks that match are of their object's class."""
    alike = sum(
        int(count_frames(_of_class(actual, kind), _of_class(claimed, kind), matching).matches.sum())
        for kind in kinds
    )
    return 2 * alike >= int(count_frames(actual, claimed, matching).matches.sum())


def _of_class(frames: Sequence[ScoredBoxes], kind: int) -> Sequence[ScoredBoxes]:
    def chosen(index: int) -> ScoredBoxes:
        frame = frames[index]
        which = frame.class_ids == kind
        return ScoredBoxes(frame.ids[which], frame.boxes[which], frame.scores[which], frame.class_ids[which])

    return Made(len(frames), chosen)


def _class_name(kind: int, class_names: Sequence[str]) -> str:
    return class_names[kind] if 0 <= kind < len(class_names) else f"class {kind + 1}"


def _figures_by_class(videos: Sequence[VideoScores]) -> dict[str, dict[str, float]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for video in videos:
        for name, details in video.details.get("classes", {}).items():
            found[name].append(details)
    return {name: _many_objects_figures(found[name]) for name in sorted(found)}


def figures_of(videos: Sequence[VideoScores]) -> dict[str, float]:
    """Figures of videos together, all of one kind and each with a frame that counts."""
    details = [video.details for video in videos]
    return _many_objects_figures(details) if "counts" in details[0] else _one_target_figures(details)


def _one_target_figures(details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over videos, each counting the same."""
    otb, matlab = (mean_scores([_scores(each[name]) for each in details]) for name in ("otb", "matlab"))
    return {
        "success": otb.success,
        "precision": otb.precision,
        "success_matlab": matlab.success,
        "precision_matlab": matlab.precision,
        "normalised_precision": otb.normalised_precision,
        "mean_overlap": float(np.mean([each["mean_overlap"] for each in details])),
    }


def _many_objects_figures(details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of all boxes together; detection as its papers have it, the mean over videos."""
    scores = combined([_counts(each["counts"]) for each in details]).scores
    figures = {
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
        counted = py_motmetrics.combined([each["motmetrics"] for each in details])
        figures.update({name: counted[theirs] for name, theirs in py_motmetrics.FIGURES.items()})
    figures["challenge_score"] = (figures["MOTA"] + figures["IDF1"]) / 2
    figures["detection_F1"] = _mean_of_known(details, "f1")
    figures["detection_AP"] = _mean_of_known(details, "average_precision")
    return {name: figures[name] for name in MANY_OBJECTS_FIGURES}


def _mean_of_known(details: Sequence[Mapping[str, Any]], name: str) -> float:
    """The mean of a figure of detection over the videos that have it; NaN if none has."""
    known = [_number(each["detection"][name]) for each in details]
    known = [value for value in known if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _curves_of(videos: Sequence[VideoScores]) -> dict[str, tuple[float, ...]]:
    if "otb" not in videos[0].details:
        return {}
    mean = mean_scores([_scores(video.details["otb"]) for video in videos])
    return {
        "success": tuple(mean.success_curve.tolist()),
        "precision": tuple(mean.precision_curve.tolist()),
    }


def _scores(content: Mapping[str, Any]) -> Scores:
    curves = {name: np.asarray(content[name], np.float64) for name in ("success_curve", "precision_curve")}
    return Scores(**{**content, **curves})


def _counts(content: Mapping[str, Any]) -> Counts:
    hota: dict[str, float | NDArray[np.float64]] = {
        name: np.asarray(value, np.float64) if isinstance(value, list | np.ndarray) else value
        for name, value in content["hota"].items()
    }
    return Counts(content["clear"], content["identity"], hota, content["objects"])


def _number(value: float | None) -> float:
    return math.nan if value is None else value
