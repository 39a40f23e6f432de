"""One-pass evaluation of a single target (Wu et al., OTB, 2013), in both published variants.

- A frame counts if it shows the target. The first frame, on which the box is given, counts if it is among the
  frames: published result files contain the given box.
- A missing prediction (NaN) is a failure: overlap 0, infinite distance. The MATLAB scripts in circulation
  leave such frames out, which favors trackers that stop early.
- A prediction without a size has overlap 0, but has a center, whose distance counts.
- Metrics of several videos are the means of the videos' metrics.

`score_absence` measures whether a tracker reports that its target is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.boxes import Boxes, as_boxes, clip_to_image, compute_centers, to_corners

PRECISION_PX = 20.0
"""Distance threshold of the precision, in pixels."""

PRECISION_THRESHOLDS_PX = np.arange(0, 51, dtype=np.float64)
"""Distance thresholds of the precision curve, in pixels."""

NORMALIZED_THRESHOLDS = np.linspace(0, 0.5, 51)
"""Distance thresholds of the normalized precision, in units of the box's width and height."""


@dataclass(frozen=True)
class SuccessProtocol:
    """Thresholds of overlap and their comparison.

    Attributes:
        name: name of the protocol.
        thresholds: overlaps over which the success is averaged.
        is_overlap_inclusive: True if an overlap equal to the threshold is a success.
        is_distance_inclusive: True if a distance equal to the threshold is precise.
    """

    name: str
    thresholds: NDArray[np.float64]
    is_overlap_inclusive: bool
    is_distance_inclusive: bool


def _make_matlab_range(count: int) -> NDArray[np.float64]:
    """Make `1/count` to 1 like MATLAB's `0:1/count:1`: from 0 up to the middle, from 1 down to the middle.

    The last bit of a threshold matters for boxes of whole pixels, whose overlap often equals the threshold.
    """
    step = 1 / count
    numbers = np.arange(1, count + 1)
    return np.where(numbers <= count // 2, numbers * step, 1 - (count - numbers) * step)


OTB = SuccessProtocol("OTB", np.linspace(0, 1, 21), is_overlap_inclusive=False, is_distance_inclusive=True)
MATLAB = SuccessProtocol(
    "MATLAB", _make_matlab_range(50), is_overlap_inclusive=True, is_distance_inclusive=False
)


@dataclass(frozen=True)
class OnePassErrors:
    """Overlap and distance in each frame that counts, (n,) each.

    Attributes:
        overlaps: intersection over union.
        distances_px: distance of the centers in pixels; infinite if the prediction is NaN.
        normalized_distances: distance of the centers in units of the true box's width and height.
    """

    overlaps: NDArray[np.float64]
    distances_px: NDArray[np.float64]
    normalized_distances: NDArray[np.float64]


@dataclass(frozen=True)
class OnePassScores:
    """Metrics of one video, or means over several videos.

    Attributes:
        success: area under the success curve, 0..1.
        precision: fraction of frames with a center distance within 20 px.
        normalised_precision: area under the curve of normalized precision up to half the box's size.
        success_curve: fraction of frames at each of the protocol's thresholds.
        precision_curve: fraction of frames at 0..50 px.
        frames: number of frames that count.
    """

    success: float
    precision: float
    normalised_precision: float
    success_curve: NDArray[np.float64]
    precision_curve: NDArray[np.float64]
    frames: int


def compute_one_pass_errors(predicted: ArrayLike, truth: ArrayLike) -> OnePassErrors:
    """Compute the errors in the frames that show the target.

    Args:
        predicted: boxes, (frames, 4). NaN rows are failures. Boxes without a size overlap nothing.
        truth: boxes, (frames, 4); NaN or without a size in frames without the target, which do not count.

    Raises:
        ValueError: the lengths differ.
    """
    predicted = as_boxes(predicted)
    truth = as_boxes(truth)
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predicted boxes for {len(truth)} frames")
    is_present = _has_size(truth)
    predicted = predicted[is_present]
    truth = truth[is_present]
    has_size = _has_size(predicted)
    is_finite = np.isfinite(predicted).all(axis=1)
    overlaps = np.zeros(len(truth))
    overlaps[has_size] = _compute_overlap(predicted[has_size], truth[has_size])
    offsets = np.full((len(truth), 2), np.inf)
    offsets[is_finite] = compute_centers(predicted[is_finite]) - compute_centers(truth[is_finite])
    return OnePassErrors(
        overlaps, np.linalg.norm(offsets, axis=1), np.linalg.norm(offsets / truth[:, 2:], axis=1)
    )


def compute_frame_overlaps(predicted: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Compute the overlap of every frame, (frames,); NaN if the target is absent.

    Raises:
        ValueError: the lengths differ.
    """
    is_present = _has_size(as_boxes(truth))
    overlaps = np.full(len(is_present), np.nan)
    overlaps[is_present] = compute_one_pass_errors(predicted, truth).overlaps
    return overlaps


def score_one_pass(errors: OnePassErrors, protocol: SuccessProtocol = OTB) -> OnePassScores:
    """Compute the metrics of one video; NaN if no frame counts."""
    if len(errors.overlaps) == 0:
        return OnePassScores(
            success=np.nan,
            precision=np.nan,
            normalised_precision=np.nan,
            success_curve=np.full(len(protocol.thresholds), np.nan),
            precision_curve=np.full(len(PRECISION_THRESHOLDS_PX), np.nan),
            frames=0,
        )
    exceeds = np.greater_equal if protocol.is_overlap_inclusive else np.greater
    is_near = np.less_equal if protocol.is_distance_inclusive else np.less
    success_curve = exceeds(errors.overlaps, protocol.thresholds[:, None]).mean(axis=1)
    precision_curve = is_near(errors.distances_px, PRECISION_THRESHOLDS_PX[:, None]).mean(axis=1)
    return OnePassScores(
        success=float(success_curve.mean()),
        precision=float(is_near(errors.distances_px, PRECISION_PX).mean()),
        normalised_precision=float(
            is_near(errors.normalized_distances, NORMALIZED_THRESHOLDS[:, None]).mean()
        ),
        success_curve=success_curve,
        precision_curve=precision_curve,
        frames=len(errors.overlaps),
    )


def average_scores(videos: Sequence[OnePassScores]) -> OnePassScores:
    """Average the metrics of videos with equal weights. Leave out videos without a frame that counts.

    Raises:
        ValueError: no video has a frame that counts.
    """
    scored = [video for video in videos if video.frames]
    if not scored:
        raise ValueError("no video has a frame that counts")
    return OnePassScores(
        success=float(np.mean([video.success for video in scored])),
        precision=float(np.mean([video.precision for video in scored])),
        normalised_precision=float(np.mean([video.normalised_precision for video in scored])),
        success_curve=np.mean([video.success_curve for video in scored], axis=0),
        precision_curve=np.mean([video.precision_curve for video in scored], axis=0),
        frames=sum(video.frames for video in scored),
    )


@dataclass(frozen=True)
class AbsenceScores:
    """Reports of LOST, compared with the target's presence.

    Attributes:
        num_absent_frames: number of frames without the target.
        noticed_fraction: fraction of them that the tracker reports as LOST; NaN without such frames.
        num_present_frames: number of frames with the target.
        false_alarm_fraction: fraction of them that the tracker reports as LOST; NaN without such frames.
    """

    num_absent_frames: int
    noticed_fraction: float
    num_present_frames: int
    false_alarm_fraction: float


def score_absence(is_lost: ArrayLike, truth: ArrayLike) -> AbsenceScores:
    """Compare the tracker's reports of LOST with the ground truth.

    Args:
        is_lost: True for frames in which the tracker reports LOST, (frames,).
        truth: boxes, (frames, 4); NaN or without a size if the target is absent.

    Raises:
        ValueError: the lengths differ.
    """
    lost = np.asarray(is_lost, bool)
    is_present = _has_size(as_boxes(truth))
    if len(lost) != len(is_present):
        raise ValueError(f"{len(lost)} predictions for {len(is_present)} frames")
    return AbsenceScores(
        num_absent_frames=int((~is_present).sum()),
        noticed_fraction=float(lost[~is_present].mean()) if (~is_present).any() else float("nan"),
        num_present_frames=int(is_present.sum()),
        false_alarm_fraction=float(lost[is_present].mean()) if is_present.any() else float("nan"),
    )


def clip_to_visible(boxes: ArrayLike, width: float, height: float) -> Boxes:
    """Clip boxes to the image. Return NaN for boxes outside of the image."""
    clipped = clip_to_image(boxes, width, height)
    return np.where(_has_size(clipped)[:, None], clipped, np.nan)


def _has_size(boxes: Boxes) -> NDArray[np.bool_]:
    """Return whether each box is finite and has a positive width and height."""
    return np.asarray(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))


def _compute_overlap(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Compute the intersection over union of each pair of boxes, (n,)."""
    a_corners = to_corners(a)
    b_corners = to_corners(b)
    sides = np.minimum(a_corners[:, 2:], b_corners[:, 2:]) - np.maximum(a_corners[:, :2], b_corners[:, :2])
    intersection = np.clip(sides, 0, None).prod(axis=1)
    return intersection / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - intersection)
