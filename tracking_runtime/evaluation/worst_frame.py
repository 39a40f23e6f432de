"""The worst frame of a video as a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, as_boxes, centres
from tracking_runtime.datasets.sequences import ImageSequence, Truths, TruthSequence, VideoSequence
from tracking_runtime.evaluation.video_scores import Answer, VideoScores
from tracking_runtime.frames import Frame
from tracking_runtime.overlay import Marks, Presence, draw_overlay, to_bgr

_LARGEST_PX = 480  # of a window that is shown
_SHOWN_PX = 960
_QUALITY = 82


@dataclass(frozen=True)
class Drawn:
    """A picture: a JPEG file's bytes, and a line that says what it shows."""

    jpeg: bytes
    caption: str


def picture_of_worst(
    video: VideoSequence, truth: Truths, answer: Answer, scores: VideoScores, first: int
) -> Drawn | None:
    """The frame with the largest error, with truth and answer drawn on it.

    Args:
        video: whose frame ``first`` is the first of truth and answer.
        truth: of each frame.
        answer: to each frame.
        scores: of the answer.
        first: index in the video.

    Returns:
        None where there are no images or no errors.
    """
    badness = np.nan_to_num(np.array(scores.badness), nan=0.0)
    if isinstance(video, TruthSequence) or not badness.any():
        return None
    index = int(badness.argmax())
    frame = _frame(video, first + index)
    if frame is None:
        return None
    known = truth[index]
    drawn = _drawn(
        _picture(frame, video),
        _marks(answer, index),
        as_boxes([]) if known is None else known.boxes,
        f"{scores.name}, frame {first + index + 1}",
    )
    if isinstance(answer, np.ndarray):
        error = f"overlap {1 - badness[index]:.2f}"
    else:
        error = f"{int(badness[index])} misses and false tracks"
    return Drawn(_jpeg(drawn), f"{scores.name}, frame {first + index + 1}: {error}")


def _drawn(picture: NDArray[np.uint8], marks: Marks, truth: Boxes, caption: str) -> NDArray[np.uint8]:
    """Truth and tracks on a picture; of a large one the window with most of them."""
    height, width = picture.shape[:2]
    middles = centres(np.concatenate([truth, marks.boxes]))
    x, y = (_window(middles[:, axis], size) for axis, size in enumerate((width, height)))
    offset = np.array([x.start, y.start, 0, 0], np.float64)
    return draw_overlay(
        picture[y, x].copy(),
        replace(marks, boxes=marks.boxes - offset),
        truth=truth - offset,
        caption=caption,
        scale=max(1, round(_SHOWN_PX / (x.stop - x.start))),
    )


def _window(places: NDArray[np.float64], size: int) -> slice:
    """The part of an axis with most of some places."""
    if size <= _LARGEST_PX or not len(places):
        return slice(0, size)
    starts = np.clip(places - _LARGEST_PX / 2, 0, size - _LARGEST_PX).astype(np.int64)
    inside = (places >= starts[:, None]) & (places < starts[:, None] + _LARGEST_PX)
    start = int(starts[inside.sum(axis=1).argmax()])
    return slice(start, start + _LARGEST_PX)


def _frame(video: VideoSequence, index: int) -> Frame | None:
    if isinstance(video, ImageSequence):
        return video.frame(index)
    return next(islice(video, index, None), None)


def _picture(frame: Frame, video: VideoSequence) -> NDArray[np.uint8]:
    """A frame as people look at it, a pixel for each that boxes count."""
    info, image = video.spectral_info, frame.image
    if image.ndim == 2 and info is not None and info.mosaic is not None:
        image = image[:: info.mosaic[0], :: info.mosaic[1]]
    return to_bgr(image, frame.encoding)


def _marks(answer: Answer, index: int) -> Marks:
    if isinstance(answer, np.ndarray):
        box = answer[index]
        boxes = as_boxes([box] if np.isfinite(box).all() else [])
        ids = np.ones(len(boxes), np.int64)
    else:
        ids, boxes = answer[index].ids, answer[index].boxes
    return Marks(ids, boxes, [Presence.SEEN] * len(ids), [""] * len(ids))


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
