"""One-pass evaluation of a single target (Wu et al., OTB, 2013), in both variants that are published.

A frame counts where the target is in it. A missing prediction (NaN) is a failure: no overlap, infinitely
far; the MATLAB scripts in circulation leave such frames out, which favours whoever gives up. A prediction
without a size overlaps nothing, but has a centre, whose distance counts, as there. Figures of several videos
are the means of the videos' figures. The first frame, on which the box is given, counts if it is among the
frames: published result files have the given box there.

Whether a tracker knows that its target is gone is a question apart, see :func:`score_absence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.boxes import Boxes, as_boxes, centres, clip_to_image, corners

PRECISION_PX = 20.0
PRECISION_THRESHOLDS_PX = np.arange(0, 51, dtype=np.float64)
NORMALISED_THRESHOLDS = np.linspace(0, 0.5, 51)


@dataclass(frozen=True)
class Protocol:
    """How overlaps and distances are counted.

    Attributes:
        name: as it is called.
        thresholds: of overlap, over which success is averaged.
        inclusive: whether an overlap equal to the threshold is a success.
        within: whether a distance equal to the threshold is precise.
    """

    name: str
    thresholds: NDArray[np.float64]
    inclusive: bool
    within: bool


def _matlab_steps(count: int) -> NDArray[np.float64]:
    """``1/count`` to 1 as MATLAB's ``0:1/count:1`` has them: from 0 up to the middle, from 1 down after it.

    The last bit of a threshold decides about boxes of whole pixels, which often overlap by just as much.
    """
    step, numbers = 1 / count, np.arange(1, count + 1)
    return np.where(numbers <= count // 2, numbers * step, 1 - (count - numbers) * step)


OTB = Protocol("OTB", np.linspace(0, 1, 21), inclusive=False, within=True)
MATLAB = Protocol("MATLAB", _matlab_steps(50), inclusive=True, within=False)


@dataclass(frozen=True)
class Errors:
    """What went wrong in each frame that counts, ``(n,)`` each.

    Attributes:
        overlaps: intersection over union.
        distances_px: between the centres, infinite where the prediction is NaN.
        normalised: the same, in units of the true box's width and height.
    """

    overlaps: NDArray[np.float64]
    distances_px: NDArray[np.float64]
    normalised: NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Figures of one video, or the means of several.

    Attributes:
        success: area under the success curve, 0..1.
        precision: share of frames with the centre within 20 px.
        normalised_precision: area under the normalised precision curve up to half the box's size.
        success_curve: share of frames at each of the protocol's thresholds.
        precision_curve: share of frames at 0..50 px.
        frames: that counted.
    """

    success: float
    precision: float
    normalised_precision: float
    success_curve: NDArray[np.float64]
    precision_curve: NDArray[np.float64]
    frames: int


def one_pass_errors(predicted: ArrayLike, truth: ArrayLike) -> Errors:
    """Errors in the frames in which the target is.

    Args:
        predicted: ``(frames, 4)`` boxes; NaN rows are failures, sizeless ones overlap nothing.
        truth: ``(frames, 4)`` boxes; NaN or sizeless rows are frames without the target, which don't count.

    Raises:
        ValueError: the two have different lengths.
    """
    predicted, truth = as_boxes(predicted), as_boxes(truth)
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predicted boxes for {len(truth)} frames")
    present = _usable(truth)
    predicted, truth = predicted[present], truth[present]
    sized, placed = _usable(predicted), np.isfinite(predicted).all(axis=1)
    overlaps = np.zeros(len(truth))
    overlaps[sized] = _overlap(predicted[sized], truth[sized])
    offsets = np.full((len(truth), 2), np.inf)
    offsets[placed] = centres(predicted[placed]) - centres(truth[placed])
    return Errors(overlaps, np.linalg.norm(offsets, axis=1), np.linalg.norm(offsets / truth[:, 2:], axis=1))


def frame_overlaps(predicted: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """``(frames,)`` overlap of every frame, NaN where the target is absent.

    Raises:
        ValueError: the two have different lengths.
    """
    present = _usable(as_boxes(truth))
    overlaps = np.full(len(present), np.nan)
    overlaps[present] = one_pass_errors(predicted, truth).overlaps
    return overlaps


def score(errors: Errors, protocol: Protocol = OTB) -> Scores:
    """Figures of one video; NaN if no frame counts."""
    if len(errors.overlaps) == 0:
        nothing = np.full(len(protocol.thresholds), np.nan), np.full(len(PRECISION_THRESHOLDS_PX), np.nan)
        return Scores(np.nan, np.nan, np.nan, *nothing, 0)
    exceeds = np.greater_equal if protocol.inclusive else np.greater
    near = np.less_equal if protocol.within else np.less
    success_curve = exceeds(errors.overlaps, protocol.thresholds[:, None]).mean(axis=1)
    precision_curve = near(errors.distances_px, PRECISION_THRESHOLDS_PX[:, None]).mean(axis=1)
    normalised = near(errors.normalised, NORMALISED_THRESHOLDS[:, None]).mean()
    precision = near(errors.distances_px, PRECISION_PX).mean()
    return Scores(
        float(success_curve.mean()), float(precision), float(normalised), success_curve, precision_curve,
        len(errors.overlaps),
    )  # fmt: skip


def mean_scores(videos: Sequence[Scores]) -> Scores:
    """Means over videos, each counting the same, without those in which no frame counts.

    Raises:
        ValueError: there is none.
    """
    counted = [video for video in videos if video.frames]
    if not counted:
        raise ValueError("no video has a frame that counts")
    return Scores(
        success=float(np.mean([video.success for video in counted])),
        precision=float(np.mean([video.precision for video in counted])),
        normalised_precision=float(np.mean([video.normalised_precision for video in counted])),
        success_curve=np.mean([video.success_curve for video in counted], axis=0),
        precision_curve=np.mean([video.precision_curve for video in counted], axis=0),
        frames=sum(video.frames for video in counted),
    )


@dataclass(frozen=True)
class AbsenceScores:
    """Whether a tracker knew when its target was not there.

    Attributes:
        absent_frames: frames without the target.
        noticed: share of them in which the tracker called it lost; NaN if there are none.
        present_frames: frames with the target.
        false_alarms: share of them in which the tracker called it lost; NaN if there are none.
    """

    absent_frames: int
    noticed: float
    present_frames: int
    false_alarms: float


def score_absence(called_lost: ArrayLike, truth: ArrayLike) -> AbsenceScores:
    """Compare what the tracker said of the target's presence with the truth.

    Args:
        called_lost: ``(frames,)`` whether the tracker called the target lost.
        truth: ``(frames, 4)`` boxes, NaN or sizeless where the target is absent.

    Raises:
        ValueError: the two have different lengths.
    """
    lost, present = np.asarray(called_lost, bool), _usable(as_boxes(truth))
    if len(lost) != len(present):
        raise ValueError(f"{len(lost)} answers of the tracker for {len(present)} frames")
    return AbsenceScores(
        absent_frames=int((~present).sum()),
        noticed=float(lost[~present].mean()) if (~present).any() else float("nan"),
        present_frames=int(present.sum()),
        false_alarms=float(lost[present].mean()) if present.any() else float("nan"),
    )


def visible_part(boxes: ArrayLike, width: float, height: float) -> Boxes:
    """Boxes cut at the image's edges, NaN where nothing of them is inside."""
    clipped = clip_to_image(boxes, width, height)
    return np.where(_usable(clipped)[:, None], clipped, np.nan)


def _usable(boxes: Boxes) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))


def _overlap(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    a_corners, b_corners = corners(a), corners(b)
    sides = np.minimum(a_corners[:, 2:], b_corners[:, 2:]) - np.maximum(a_corners[:, :2], b_corners[:, :2])
    intersection = np.clip(sides, 0, None).prod(axis=1)
    return intersection / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - intersection)
