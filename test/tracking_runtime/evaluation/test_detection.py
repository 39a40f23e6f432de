"""Detection metrics, compared with pycocotools and with values computed by hand."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tracking_runtime.boxes import FrameBoxes, ScoredBoxes, as_boxes
from tracking_runtime.evaluation.detection import score_detections
from tracking_runtime.evaluation.multi_object import CENTER_5PX

BOX = [10.0, 10.0, 20.0, 20.0]
FAR_BOX = [300.0, 10.0, 20.0, 20.0]
FALSE_BOX = [600.0, 0.0, 20.0, 20.0]


def compute_coco_precision(truth: list[FrameBoxes], detections: list[ScoredBoxes]) -> float:
    """Compute the average precision at IoU 0.3 by pycocotools."""
    dataset = COCO()
    annotations = [
        {"image_id": number, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0}
        for number, frame in enumerate(truth, start=1)
        for box in frame.boxes.tolist()
    ]
    dataset.dataset = {
        "images": [{"id": number} for number in range(1, len(truth) + 1)],
        "categories": [{"id": 1}],
        "annotations": [{"id": k, **annotation} for k, annotation in enumerate(annotations, start=1)],
    }
    results = [
        {"image_id": number, "category_id": 1, "bbox": box, "score": score}
        for number, frame in enumerate(detections, start=1)
        for box, score in zip(frame.boxes.tolist(), frame.scores.tolist(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        dataset.createIndex()
        evaluation = COCOeval(dataset, dataset.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.3])
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][0, :, 0, 0, -1].mean()


def make_video(rng: np.random.Generator) -> tuple[list[FrameBoxes], list[ScoredBoxes]]:
    """Make 32 frames of up to four objects and noisy detections, with few different scores."""
    truth, detections = [], []
    for t in range(32):
        boxes = as_boxes([[60 * k + t % 8, 20, 10, 10] for k in range(4)])
        is_visible = rng.random(4) < 0.9
        is_found = rng.random(4) < 0.8
        num_found = int(is_found.sum())
        ids = np.arange(4)
        truth.append(FrameBoxes(ids[is_visible], boxes[is_visible]))
        detections.append(
            ScoredBoxes(
                ids[is_found],
                boxes[is_found] + rng.normal(0, 1, (num_found, 4)),
                np.round(rng.random(num_found), 1),
                np.zeros(num_found, np.int64),
            )
        )
    return truth, detections


def test_average_precision_by_hand():
    """Ranked by score: correct, wrong, correct, for 2 objects. Precision 1 up to recall 1/2, then 2/3."""
    truth = [FrameBoxes(np.arange(2), as_boxes([BOX, FAR_BOX]))]
    boxes = as_boxes([FAR_BOX, FALSE_BOX, BOX])
    detections = [ScoredBoxes(np.arange(3), boxes, np.array([0.9, 0.5, 0.2]), np.zeros(3, np.int64))]

    scores = score_detections(truth, detections)

    assert scores.average_precision == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert (scores.precision, scores.recall) == (pytest.approx(2 / 3), 1)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_average_precision_equals_pycocotools(seed):
    """Many scores are equal, within a frame and between frames."""
    truth, detections = make_video(np.random.default_rng(seed))

    scores = score_detections(truth, detections)

    expected = compute_coco_precision(truth, detections)
    assert scores.average_precision == pytest.approx(expected, abs=1e-12)


def test_average_precision_counts_more_than_100_detections():
    """COCO would ignore all but 100 detections of a frame."""
    boxes = as_boxes([[40 * (k % 25), 40 * (k // 25), 4, 4] for k in range(500)])
    detections = ScoredBoxes(np.arange(500), boxes, np.linspace(1, 0.5, 500), np.zeros(500, np.int64))
    shifted = replace(detections, boxes=boxes + np.array([3, 0, 0, 0]))

    scores = score_detections([FrameBoxes(np.arange(500), boxes)], [shifted], CENTER_5PX)

    assert (scores.average_precision, scores.f1) == (pytest.approx(1), 1)
