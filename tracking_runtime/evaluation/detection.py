"""Detection without identities: precision, recall, F1, and average precision by pycocotools."""

from __future__ import annotations

import contextlib
import io
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from tracking_runtime.boxes import FrameBoxes, ScoredBoxes
from tracking_runtime.evaluation.multi_object import IOU_03, Matching, count_matches_per_frame
from tracking_runtime.io.disk_list import sort_on_disk

_CATEGORY_ID = 1
_IMAGE_KEY = 0, _CATEGORY_ID  # pycocotools holds one frame at a time, as image 0
_RECALLS = np.linspace(0, 1, 101)  # recalls of COCO's average precision


@dataclass(frozen=True)
class DetectionScores:
    """Metrics of detection, regardless of identities.

    Attributes:
        precision: fraction of the detections that match an object, one to one in each frame.
        recall: fraction of the objects that are detected.
        f1: harmonic mean of precision and recall.
        average_precision: COCO's average precision over 101 recalls at the matching's threshold; NaN without
            objects.
    """

    precision: float
    recall: float
    f1: float
    average_precision: float


def score_detections(
    truth: Sequence[FrameBoxes], detections: Sequence[ScoredBoxes], matching: Matching = IOU_03
) -> DetectionScores:
    """Compute the metrics of one sequence, with its frames in order.

    Raises:
        ValueError: the lengths differ.
    """
    if len(truth) != len(detections):
        raise ValueError(f"{len(detections)} frames of detections for {len(truth)} frames of ground truth")
    counts = count_matches_per_frame(truth, detections, matching)
    num_matches, num_objects, num_detections = (
        int(values.sum()) for values in (counts.matches, counts.objects, counts.tracks)
    )
    num_boxes = num_detections + num_objects
    return DetectionScores(
        precision=num_matches / num_detections if num_detections else 0.0,
        recall=num_matches / num_objects if num_objects else 0.0,
        f1=2 * num_matches / num_boxes if num_boxes else 0.0,
        average_precision=(
            _compute_average_precision(truth, detections, matching, num_objects)
            if num_objects
            else float("nan")
        ),
    )


def _compute_average_precision(
    truth: Sequence[FrameBoxes], detections: Sequence[ScoredBoxes], matching: Matching, num_objects: int
) -> float:
    """Compute COCO's average precision with any matching rule, for any number and size of objects.

    pycocotools matches the detections frame by frame. The sum follows pycocotools, but in a stream.
    """
    matches = chain.from_iterable(map(_FrameMatcher(matching), truth, detections))
    ranked = sort_on_disk(matches, key=lambda match: -match[0])
    return _average_precisions((is_correct for _, is_correct in ranked), num_objects)


def _average_precisions(ranked: Iterable[bool], num_objects: int) -> float:
    """Average, over 101 recalls, the best precision at that recall or a larger one.

    Args:
        ranked: True for each correct detection, in order of decreasing score.
        num_objects: number of objects.
    """
    recalls = _RECALLS.tolist()
    best_precision = np.zeros(len(recalls))
    num_correct = 0
    for rank, is_correct in enumerate(ranked, start=1):
        if is_correct:
            num_correct += 1
            index = bisect_right(recalls, num_correct / num_objects) - 1
            best_precision[index] = max(best_precision[index], num_correct / (rank + np.spacing(1)))
    return float(np.maximum.accumulate(best_precision[::-1]).mean())


class _FrameMatcher(COCOeval):
    """COCO's matching of one frame, with the similarity of a matching rule.

    Args:
        matching: rule of a match.
    """

    def __init__(self, matching: Matching) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(None, None, "bbox")
        self._matching = matching
        self.params.catIds = [_CATEGORY_ID]
        self.params.iouThrs = np.array([matching.threshold])
        self._gts: dict[Any, list[dict[str, Any]]] = {}
        self._dts: dict[Any, list[dict[str, Any]]] = {}
        self.ious: dict[Any, NDArray[np.float64]] = {}

    def __call__(self, true: FrameBoxes, detected: ScoredBoxes) -> Iterable[tuple[float, bool]]:
        """Return the score of each detection, in decreasing order, and whether it is correct."""
        order = np.argsort(-detected.scores, kind="stable")
        scores = detected.scores[order].tolist()
        self._gts = {_IMAGE_KEY: [_make_annotation(k, 0.0) for k in range(1, len(true.ids) + 1)]}
        self._dts = {_IMAGE_KEY: [_make_annotation(k, score) for k, score in enumerate(scores, start=1)]}
        self.ious = {_IMAGE_KEY: self._matching.similarity(detected.boxes[order], true.boxes)}
        matches = self.evaluateImg(*_IMAGE_KEY, [0, float("inf")], maxDet=len(order))
        if matches is None:
            return ()
        return zip(matches["dtScores"], (matches["dtMatches"][0] > 0).tolist(), strict=True)


def _make_annotation(number: int, score: float) -> dict[str, Any]:
    return {"id": number, "score": score, "area": 1.0, "ignore": 0, "iscrowd": 0}
