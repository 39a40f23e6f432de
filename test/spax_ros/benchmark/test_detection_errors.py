"""Tests of the detections made from ground truth."""

from __future__ import annotations

import numpy as np
import pytest

from spax_ros.benchmark.detection_errors import DetectionErrors, simulate_detections
from tracking_runtime.frames import GroundTruth

PERFECT = DetectionErrors(miss_rate=0, dropout_rate=0, false_alarms=0, jitter=0)


def make_truth(num_frames: int, num_objects: int = 20) -> list[GroundTruth]:
    """Return objects in a row that move to the right by one pixel a frame."""
    rows = np.arange(num_objects)
    return [
        GroundTruth(
            rows + 1,
            np.zeros(num_objects, np.uint8),
            np.column_stack([np.full(num_objects, frame), 20 * rows, *np.full((2, num_objects), 8)]).astype(
                float
            ),
        )
        for frame in range(num_frames)
    ]


def test_perfect_detector_returns_the_truth() -> None:
    truth = make_truth(3)

    for objects, (detections, is_object) in zip(truth, simulate_detections(truth, PERFECT), strict=True):
        order = np.argsort(detections.boxes[:, 1])
        np.testing.assert_allclose(detections.boxes[order], objects.boxes)
        assert is_object.all()
        assert (np.diff(detections.scores) <= 0).all()


def test_equal_seeds_give_equal_detections() -> None:
    truth = make_truth(5)
    first, again, other = (
        [detections.boxes for detections, _ in simulate_detections(truth, DetectionErrors(seed=seed))]
        for seed in (1, 1, 2)
    )

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_misses_and_false_alarms_have_their_rates() -> None:
    errors = DetectionErrors(miss_rate=0.25, dropout_rate=0, false_alarms=4, jitter=0)

    counts = np.array([(is_object.sum(), (~is_object).sum()) for _, is_object in _simulate(200, errors)])

    assert counts.mean(axis=0) == pytest.approx([0.75 * 20, 4], rel=0.1)


def test_dropouts_hide_objects_for_their_mean_length() -> None:
    errors = DetectionErrors(miss_rate=0, dropout_rate=0.02, dropout_frames=5, false_alarms=0, jitter=0)
    is_seen = np.zeros((2000, 20), bool)

    for frame, (detections, _) in enumerate(_simulate(2000, errors)):
        is_seen[frame, np.round(detections.boxes[:, 1] / 20).astype(int)] = True

    num_dropouts = (is_seen[:-1] & ~is_seen[1:]).sum()
    assert (~is_seen).sum() / num_dropouts == pytest.approx(5, rel=0.15)
    assert num_dropouts / is_seen.sum() == pytest.approx(0.02, rel=0.15)


def test_clutter_stays_at_its_places() -> None:
    errors = DetectionErrors(false_alarms=0, clutter=3)

    boxes = np.concatenate([detections.boxes[~is_object] for detections, is_object in _simulate(100, errors)])

    assert len(boxes) == pytest.approx(0.3 * 3 * 100, rel=0.3)
    places = boxes[:, :2] + boxes[:, 2:] / 2
    num_near = (np.linalg.norm(places[:, None] - places[None], axis=2) < 5).sum(axis=1)
    assert num_near.min() > 15


def test_video_without_objects_has_no_detections() -> None:
    detections = [found for found, _ in simulate_detections([GroundTruth()] * 3, DetectionErrors(clutter=5))]

    assert [len(each) for each in detections] == [0, 0, 0]


def _simulate(num_frames: int, errors: DetectionErrors) -> list:
    return list(simulate_detections(make_truth(num_frames), errors))
