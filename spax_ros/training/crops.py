"""Crops of SPAX's training clips: a random square through consecutive frames, randomly flipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spax_ros.preprocessing import NUM_CHANNELS, VELOCITY_CHANNELS
from spax_ros.training.clips import Clip, ClipFrame
from tracking_runtime.boxes import Boxes, compute_centers
from tracking_runtime.frames import GroundTruth

_START_FRACTION = 0.5  # of the crops, which begin with the clip
_MIN_LATER_START = 4  # frames; earliest start of the other crops
_CENTER_RANGE = (0.1, 0.9)  # position of the chosen object in the square, as a fraction of its side
_FLIP_Y = np.array([-1, 1], np.int64)  # factors of a shift y, x
_FLIP_X = np.array([1, -1], np.int64)


@dataclass(frozen=True)
class CropFrame:
    """One frame of a crop.

    Attributes:
        mask: active pixels, (size, size) bool.
        inputs: network input, (channels, size, size); 0 at inactive pixels.
        shift: position in the previous frame minus position in this frame, in whole pixels, (2,): y, x.
        truth: objects with their center in the crop.
    """

    mask: NDArray[np.bool_]
    inputs: NDArray[np.float32]
    shift: NDArray[np.int64]
    truth: GroundTruth


def draw_crop(
    clip: Clip, size: int, length: int, rng: np.random.Generator, class_id: int | None = None
) -> list[CropFrame]:
    """Cut a random square around an object out of consecutive frames; flip and transpose it at random.

    Half of the crops begin with the clip, when little of the background is known and few pixels are active.

    Args:
        clip: clip that the crop is cut from.
        size: side of the square in pixels.
        length: number of frames of the crop.
        rng: random number generator.
        class_id: class of the object in the square, if the clip shows one then; None allows every class.
    """
    frames = _draw_frames(clip, length, rng)
    middle_frame = frames[length // 2]
    corner = _draw_corner(clip, middle_frame.truth, size, rng, class_id)
    is_flipped_y, is_flipped_x, is_transposed = rng.random(3) < 0.5
    crop = []
    for clip_frame in frames:
        frame = _cut_frame(clip_frame, clip.width, corner, size)
        if is_flipped_y:
            frame = _flip_y(frame)
        if is_flipped_x:
            frame = _flip_x(frame)
        if is_transposed:
            frame = _transpose(frame)
        crop.append(_remove_outside_objects(frame))
    return crop


def _draw_frames(clip: Clip, length: int, rng: np.random.Generator) -> Sequence[ClipFrame]:
    last_start = len(clip.frames) - length
    start = 0
    if rng.random() >= _START_FRACTION:
        start = int(rng.integers(min(_MIN_LATER_START, last_start), last_start + 1))
    return clip.frames[start : start + length]


def _draw_corner(
    clip: Clip, truth: GroundTruth, size: int, rng: np.random.Generator, class_id: int | None
) -> tuple[int, int]:
    """Return x and y of the upper left corner of a square around an object, or around the image's center."""
    boxes_of_class = truth.boxes[truth.class_ids == class_id]
    boxes = boxes_of_class if len(boxes_of_class) else truth.boxes
    center = np.array([clip.width / 2, clip.height / 2])
    if len(boxes):
        center = compute_centers(boxes[rng.integers(len(boxes))])[0]
    corner = center - rng.uniform(*_CENTER_RANGE, 2) * size
    max_corner = [max(clip.width - size, 0), max(clip.height - size, 0)]
    left, top = np.clip(corner, 0, max_corner).astype(int)
    return left, top


def _cut_frame(frame: ClipFrame, clip_width: int, corner: tuple[int, int], size: int) -> CropFrame:
    left, top = corner
    y = frame.pixels // clip_width - top
    x = frame.pixels % clip_width - left
    is_inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    mask = np.zeros((size, size), bool)
    mask[y[is_inside], x[is_inside]] = True
    inputs = np.zeros((frame.inputs.shape[1], size, size), np.float32)
    inputs[:, y[is_inside], x[is_inside]] = frame.inputs[is_inside].T
    boxes = frame.truth.boxes - [left, top, 0, 0]
    return CropFrame(mask, inputs, np.round(frame.shift).astype(np.int64), _with_boxes(frame.truth, boxes))


def _flip_y(frame: CropFrame) -> CropFrame:
    boxes = frame.truth.boxes.copy()
    boxes[:, 1] = len(frame.mask) - boxes[:, 1] - boxes[:, 3]
    truth = _with_boxes(frame.truth, boxes)
    inputs = _with_velocity(frame.inputs[:, ::-1], lambda velocity: velocity * [[[1]], [[-1]]])
    return CropFrame(frame.mask[::-1], inputs, frame.shift * _FLIP_Y, truth)


def _flip_x(frame: CropFrame) -> CropFrame:
    boxes = frame.truth.boxes.copy()
    boxes[:, 0] = len(frame.mask) - boxes[:, 0] - boxes[:, 2]
    truth = _with_boxes(frame.truth, boxes)
    inputs = _with_velocity(frame.inputs[:, :, ::-1], lambda velocity: velocity * [[[-1]], [[1]]])
    return CropFrame(frame.mask[:, ::-1], inputs, frame.shift * _FLIP_X, truth)


def _transpose(frame: CropFrame) -> CropFrame:
    truth = _with_boxes(frame.truth, frame.truth.boxes[:, [1, 0, 3, 2]])
    inputs = _with_velocity(frame.inputs.transpose(0, 2, 1), lambda velocity: velocity[::-1])
    return CropFrame(frame.mask.T, inputs, frame.shift[::-1], truth)


def _with_velocity(
    inputs: NDArray[np.float32], change: Callable[[NDArray[np.float32]], NDArray[Any]]
) -> NDArray[np.float32]:
    """Return network input whose channels x, y of the velocity, if it has any, are changed."""
    if len(inputs) < NUM_CHANNELS["gray_residual_velocity"]:
        return inputs
    result = inputs.copy()
    result[VELOCITY_CHANNELS] = change(inputs[VELOCITY_CHANNELS])
    return result


def _remove_outside_objects(frame: CropFrame) -> CropFrame:
    centers = compute_centers(frame.truth.boxes)
    is_inside = ((centers >= 0) & (centers < len(frame.mask))).all(axis=1)
    truth = GroundTruth(
        frame.truth.ids[is_inside], frame.truth.class_ids[is_inside], frame.truth.boxes[is_inside]
    )
    return CropFrame(frame.mask, frame.inputs, frame.shift, truth)


def _with_boxes(truth: GroundTruth, boxes: Boxes) -> GroundTruth:
    return GroundTruth(truth.ids, truth.class_ids, boxes)
