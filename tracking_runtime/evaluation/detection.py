"""Detections without identities: precision, recall and F1 of each frame, average precision by pycocotools."""

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

from tracking_runtime.evaluation.multi_object import IOU_03, FrameBoxes, Matching, ScoredBoxes, count_frames
from tracking_runtime.io.disk_list import sorted_on_disk

_CATEGORY = 1
_KEY = 0, _CATEGORY  # of the only frame that is held
_RECALLS = np.linspace(0, 1, 101)


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
    counts = count_frames(truth, detected, matching)
    matched, objects, claims = (int(n.sum()) for n in (counts.matches, counts.objects, counts.tracks))
    return DetectionScores(
        precision=matched / claims if claims else 0.0,
        recall=matched / objects if objects else 0.0,
        f1=2 * matched / (claims + objects) if claims + objects else 0.0,
        average_precision=_average_precision(truth, detected, matching, objects) if objects else float("nan"),
    )


def _average_precision(
    truth: Sequence[FrameBoxes], detected: Sequence[ScoredBoxes], matching: Matching, objects: int
) -> float:
    """COCO's average precision with any rule of matching, any number of objects of any size.

    Detections are matched by pycocotools a frame at a time, and summed up as it does, but in a stream.
    """
    claims = chain.from_iterable(map(_FrameMatches(matching), truth, detected))
    ranked = sorted_on_disk(claims, key=lambda claim: -claim[0])
    return _mean_precision((right for _, right in ranked), objects)


def _mean_precision(ranked: Iterable[bool], objects: int) -> float:
    """The mean, over 101 recalls, of the best precision at that recall or a larger one.

    Args:
        ranked: whether a detection is right, the most certain one first.
        objects: that there are.
    """
    recalls = _RECALLS.tolist()
    best = np.zeros(len(recalls))
    found = 0
    for rank, right in enumerate(ranked, start=1):
        if right:
            found += 1
            reached = bisect_right(recalls, found / objects) - 1
            best[reached] = max(best[reached], found / (rank + np.spacing(1)))
    return float(np.maximum.accumulate(best[::-1]).mean())


class _FrameMatches(COCOeval):
    """COCO's matching of one frame, with similarities of our own.

    Args:
        matching: when a detection is an object.
    """

    def __init__(self, matching: Matching) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(None, None, "bbox")
        self._matching = matching
        self.params.catIds = [_CATEGORY]
        self.params.iouThrs = np.array([matching.threshold])
        self._gts: dict[Any, list[dict[str, Any]]] = {}
        self._dts: dict[Any, list[dict[str, Any]]] = {}
        self.ious: dict[Any, NDArray[np.float64]] = {}

    def __call__(self, actual: FrameBoxes, claimed: ScoredBoxes) -> Iterable[tuple[float, bool]]:
        """Score of each detection, the most certain first, and whether it is an object."""
        order = np.argsort(-claimed.scores, kind="stable")
        self._gts = {_KEY: [_annotation(k, 0.0) for k in range(1, len(actual.ids) + 1)]}
        self._dts = {_KEY: [_annotation(k, s) for k, s in enumerate(claimed.scores[order].tolist(), start=1)]}
        self.ious = {_KEY: self._matching.similarity(claimed.boxes[order], actual.boxes)}
        matched = self.evaluateImg(*_KEY, [0, float("inf")], maxDet=len(order))
        if matched is None:
            return ()
        return zip(matched["dtScores"], (matched["dtMatches"][0] > 0).tolist(), strict=True)


def _annotation(number: int, score: float) -> dict[str, Any]:
    return {"id": number, "score": score, "area": 1.0, "ignore": 0, "iscrowd": 0}
