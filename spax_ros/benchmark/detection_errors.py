"""Ground truth turned into the detections of an imperfect detector, without images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spax_ros.decoding import Detections
from tracking_runtime.boxes import Boxes
from tracking_runtime.frames import GroundTruth

MIN_SIDE_PX = 1.0  # shortest side of a detection
CLUTTER_RATE = 0.3  # detections a frame at each place of clutter
CLUTTER_JITTER_PX = 0.5  # standard deviation of a detection's position at a place of clutter
_TRUE_SCORE = 0.7, 0.2  # mean and standard deviation of the scores of true detections
_FALSE_SCORE = 0.35, 0.15  # mean and standard deviation of the scores of false alarms
_SCORE_RANGE = 0.05, 1.0


@dataclass(frozen=True)
class DetectionErrors:
    """Errors of a detector.

    Attributes:
        miss_rate: fraction of the objects that are missed in a frame, each on its own, 0..1.
        dropout_rate: fraction of the objects for which a drop-out begins in a frame, 0..1.
        dropout_frames: mean length of a drop-out in frames, at least 1.
        false_alarms: mean number of false detections a frame, anywhere in the image.
        clutter: number of fixed places, as glints, with a false detection in about every third frame.
        jitter: standard deviation of a side's and the center's error, in sides of the box.
        seed: seed of the random numbers.
    """

    miss_rate: float = 0.1
    dropout_rate: float = 0.01
    dropout_frames: float = 6.0
    false_alarms: float = 3.0
    clutter: int = 0
    jitter: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class _FalseAlarmRegion:
    """Area and sizes of false alarms.

    Attributes:
        low: left and top of all objects.
        high: right and bottom of all objects.
        sizes: widths and heights ``(n, 2)`` of the objects.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def draw_boxes(self, rng: np.random.Generator, count: int) -> Boxes:
        """Draw boxes ``(count, 4)`` with sizes of the objects at uniform places."""
        sizes = self.sizes[rng.integers(len(self.sizes), size=count)]
        return np.concatenate([rng.uniform(self.low, self.high, (count, 2)) - sizes / 2, sizes], axis=1)


def simulate_detections(
    truth: Sequence[GroundTruth], errors: DetectionErrors
) -> Iterator[tuple[Detections, NDArray[np.bool_]]]:
    """Yield the detections of each frame, and which of them show an object, (detections,).

    False alarms lie in the rectangle around all objects of the video, and have the sizes of objects. Their
    scores are lower than those of objects on average, but the distributions overlap.

    Args:
        truth: objects of each frame.
        errors: errors of the detector. Equal errors, seed included, give equal detections.
    """
    rng = np.random.default_rng(errors.seed)
    region = _find_region(truth)
    clutter = np.zeros((0, 4)) if region is None else region.draw_boxes(rng, errors.clutter)
    hidden_frames: dict[int, int] = {}
    for objects in truth:
        is_seen = _draw_seen(rng, objects.ids, errors, hidden_frames)
        true_boxes = _add_jitter(rng, objects.boxes[is_seen], errors.jitter)
        false_boxes = np.zeros((0, 4))
        if region is not None:
            places = clutter[rng.random(len(clutter)) < CLUTTER_RATE]
            shifts = rng.normal(0, CLUTTER_JITTER_PX, (len(places), 2))
            anywhere = region.draw_boxes(rng, rng.poisson(errors.false_alarms))
            false_boxes = np.concatenate([places + np.pad(shifts, ((0, 0), (0, 2))), anywhere])
        scores = np.concatenate(
            [rng.normal(*_TRUE_SCORE, len(true_boxes)), rng.normal(*_FALSE_SCORE, len(false_boxes))]
        )
        scores = scores.clip(*_SCORE_RANGE).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        detections = Detections(
            np.concatenate([true_boxes, false_boxes])[order], scores[order], np.zeros(len(scores), np.uint8)
        )
        yield detections, order < len(true_boxes)


def _find_region(truth: Sequence[GroundTruth]) -> _FalseAlarmRegion | None:
    """Return the region of the false alarms; None without objects."""
    boxes = np.concatenate([np.zeros((0, 4)), *(objects.boxes for objects in truth)])
    if not len(boxes):
        return None
    return _FalseAlarmRegion(
        boxes[:, :2].min(axis=0), (boxes[:, :2] + boxes[:, 2:]).max(axis=0), boxes[:, 2:]
    )


def _draw_seen(
    rng: np.random.Generator, ids: NDArray[np.int64], errors: DetectionErrors, hidden_frames: dict[int, int]
) -> NDArray[np.bool_]:
    """Return which objects are detected ``(n,)``.

    Args:
        rng: random numbers.
        ids: ids of the frame's objects.
        errors: errors of the detector.
        hidden_frames: remaining frames of each object's drop-out; updated.
    """
    misses, starts = rng.random((2, len(ids)))
    lengths = rng.geometric(1 / errors.dropout_frames, len(ids))
    is_seen = misses >= errors.miss_rate
    for index, track_id in enumerate(ids.tolist()):
        remaining = hidden_frames.pop(track_id, 0)
        if not remaining and starts[index] < errors.dropout_rate:
            remaining = int(lengths[index])
        if remaining:
            is_seen[index] = False
            hidden_frames[track_id] = remaining - 1
    return is_seen


def _add_jitter(rng: np.random.Generator, boxes: Boxes, jitter: float) -> Boxes:
    centers = boxes[:, :2] + boxes[:, 2:] / 2 + rng.normal(0, jitter, (len(boxes), 2)) * boxes[:, 2:]
    sizes = np.maximum(boxes[:, 2:] * np.exp(rng.normal(0, jitter, (len(boxes), 2))), MIN_SIDE_PX)
    return np.concatenate([centers - sizes / 2, sizes], axis=1)
