"""Picture of a video's worst frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, as_boxes, compute_centers
from tracking_runtime.datasets.sequences import ImageSequence, Truths, TruthSequence, VideoSequence
from tracking_runtime.evaluation.video_scores import Prediction, VideoScores
from tracking_runtime.frames import Frame
from tracking_runtime.messages.image_encodings import encode_jpeg
from tracking_runtime.overlay import BgrImage, TrackDrawing, TrackVisibility, draw_frame, draw_overlay

_MAX_WINDOW_PX = 480  # side of the part of a large image that is drawn
_PICTURE_PX = 960  # width up to which the picture is enlarged
_JPEG_QUALITY = 82  # percent


@dataclass(frozen=True)
class WorstFramePicture:
    """Picture of a video's worst frame.

    Attributes:
        jpeg: content of a JPEG file.
        caption: one line of text: video, frame and error.
    """

    jpeg: bytes
    caption: str


def draw_worst_frame(
    video: VideoSequence, truth: Truths, prediction: Prediction, scores: VideoScores, first_frame: int
) -> WorstFramePicture | None:
    """Draw the ground truth and the prediction on the frame with the largest error.

    Args:
        video: video.
        truth: ground truth of each frame.
        prediction: prediction for each frame.
        scores: scores of the prediction.
        first_frame: index in the video of the first frame of truth and prediction.

    Returns:
        Picture; None if the video has no images or no errors.
    """
    frame_errors = np.nan_to_num(np.array(scores.frame_errors), nan=0.0)
    if isinstance(video, TruthSequence) or not frame_errors.any():
        return None
    index = int(frame_errors.argmax())
    frame = _read_frame(video, first_frame + index)
    if frame is None:
        return None
    known_truth = truth[index]
    title = f"{scores.name}, frame {first_frame + index + 1}"
    image = _draw(
        draw_frame(frame, video.spectral_info),
        _make_drawing(prediction, index),
        as_boxes([]) if known_truth is None else known_truth.boxes,
        title,
    )
    if isinstance(prediction, np.ndarray):
        error = f"overlap {1 - frame_errors[index]:.2f}"
    else:
        error = f"{int(frame_errors[index])} misses and false tracks"
    return WorstFramePicture(encode_jpeg(image, _JPEG_QUALITY), f"{title}: {error}")


def _draw(image: BgrImage, drawing: TrackDrawing, truth: Boxes, caption: str) -> BgrImage:
    """Draw truth and tracks. Crop a large image to the window that contains most of them."""
    height, width = image.shape[:2]
    centers = compute_centers(np.concatenate([truth, drawing.boxes]))
    x = _choose_window(centers[:, 0], width)
    y = _choose_window(centers[:, 1], height)
    offset = np.array([x.start, y.start, 0, 0], np.float64)
    return draw_overlay(
        image[y, x].copy(),
        replace(drawing, boxes=drawing.boxes - offset),
        truth=truth - offset,
        caption=caption,
        scale=max(1, round(_PICTURE_PX / (x.stop - x.start))),
    )


def _choose_window(positions: NDArray[np.float64], size: int) -> slice:
    """Choose the part of an image axis that contains the most positions."""
    if size <= _MAX_WINDOW_PX or not len(positions):
        return slice(0, size)
    starts = np.clip(positions - _MAX_WINDOW_PX / 2, 0, size - _MAX_WINDOW_PX).astype(np.int64)
    is_inside = (positions >= starts[:, None]) & (positions < starts[:, None] + _MAX_WINDOW_PX)
    start = int(starts[is_inside.sum(axis=1).argmax()])
    return slice(start, start + _MAX_WINDOW_PX)


def _read_frame(video: VideoSequence, index: int) -> Frame | None:
    if isinstance(video, ImageSequence):
        return video.read_frame(index)
    return next(islice(video, index, None), None)


def _make_drawing(prediction: Prediction, index: int) -> TrackDrawing:
    if isinstance(prediction, np.ndarray):
        box = prediction[index]
        boxes = as_boxes([box] if np.isfinite(box).all() else [])
        ids = np.ones(len(boxes), np.int64)
    else:
        boxes = prediction[index].boxes
        ids = prediction[index].ids
    return TrackDrawing(ids, boxes, [TrackVisibility.SEEN] * len(ids), [""] * len(ids))
