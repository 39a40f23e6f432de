"""Detections without identities: precision, recall and F1 of each frame, average precision by pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from tracking_runtime.evaluation.multi_object import IOU_03, FrameBoxes, Matching, ScoredBoxes, frame_matches

_CATEGORY = 1
_ACCUMULATED = ("dtScores", "dtMatches", "dtIgnore", "gtIgnore")


@dataclass(frozen=True)
class DetectionScores:
    """How well objects were found, whoever they are.

    Attributes:
        precision: share of the detections that are objects, matched one to one in each frame.
        recall: share of the objects that were detected.
        f1: harmonic mean of the two.
        average_precision: COCO's, over 101 recalls, at the matching's threshold; NaN without objects.
    """

    precision: float
    recall: float
    f1: float
    average_precision: float


def score_detections(
    truth: Sequence[FrameBoxes], detected: Sequence[ScoredBoxes], matching: Matching = IOU_03
) -> DetectionScores:
    """Figures of one sequence, its frames in order.

    Raises:
        ValueError: the two have different lengths.
    """
    if len(truth) != len(detected):
        raise ValueError(f"{len(detected)} frames of detections for {len(truth)} true ones")
    matched = int(frame_matches(truth, detected, matching).sum())
    objects, claims = (sum(len(frame.ids) for frame in frames) for frames in (truth, detected))
    return DetectionScores(
        precision=matched / claims if claims else 0.0,
        recall=matched / objects if objects else 0.0,
        f1=2 * matched / (claims + objects) if claims + objects else 0.0,
        average_precision=average_precision(truth, detected, matching),
    )


def average_precision(
    truth: Sequence[FrameBoxes], detected: Sequence[ScoredBoxes], matching: Matching = IOU_03
) -> float:
    """COCO's average precision with any rule of matching, any number of objects of any size."""
    return _AnyMatching(truth, detected, matching).average_precision()


class _AnyMatching(COCOeval):
    """COCO's evaluation with frames prepared one at a time, and similarities of our own."""

    def __init__(
        self, truth: Sequence[FrameBoxes], detected: Sequence[ScoredBoxes], matching: Matching
    ) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(None, None, "bbox")
        self._truth, self._detected, self._matching = truth, detected, matching
        most = max((len(frame.ids) for frame in detected), default=0)
        self.params.imgIds = list(range(len(truth)))
        self.params.catIds = [_CATEGORY]
        self.params.iouThrs = np.array([matching.threshold])
        self.params.maxDets = [max(most, 1)]
        self.params.areaRng, self.params.areaRngLbl = [[0, float("inf")]], ["all"]
        self._gts: dict[Any, list[dict[str, Any]]] = {}
        self._dts: dict[Any, list[dict[str, Any]]] = {}
        self.ious: dict[Any, NDArray[np.float64]] = {}

    def average_precision(self) -> float:
        """The mean of the precisions at 101 recalls."""
        self.evalImgs = [self._evaluate_frame(number) for number in self.params.imgIds]
        self._paramsEval = copy.deepcopy(self.params)
        with contextlib.redirect_stdout(io.StringIO()):
            self.accumulate()
        precisions = self.eval["precision"].reshape(-1)
        return float(precisions.mean()) if precisions.min() >= 0 else float("nan")

    def _evaluate_frame(self, number: int) -> Any:
        key = (number, _CATEGORY)
        actual, claimed = self._truth[number], self._detected[number]
        order = np.argsort(-claimed.scores, kind="stable")
        self._gts = {key: [_annotation(k + 1, 0.0) for k in range(len(actual.ids))]}
        self._dts = {key: [_annotation(k + 1, float(claimed.scores[at])) for k, at in enumerate(order)]}
        self.ious = {key: self._matching.similarity(claimed.boxes[order], actual.boxes)}
        matched = self.evaluateImg(number, _CATEGORY, self.params.areaRng[0], self.params.maxDets[0])
        return matched and {name: np.asarray(matched[name]) for name in _ACCUMULATED}


def _annotation(number: int, score: float) -> dict[str, Any]:
    return {"id": number, "score": score, "area": 1.0, "ignore": 0, "iscrowd": 0}
