"""Images of objects for the training of an RGB branch: frames of tracking sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes
from tracking_runtime.datasets.sequences import ImageSequence, VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.video_scores import find_target_boxes
from tracking_runtime.io.image_file import read_image_file
from tracking_runtime.overlay import to_bgr

_MIN_VISIBLE_FRAMES = 2  # sequences in which the target is visible less often give no pairs


@dataclass(frozen=True)
class ObjectSequence:
    """Frames that show one object.

    Attributes:
        name: name of the sequence.
        image_paths: image file of each frame.
        boxes: box of the object in each frame, (frames, 4): x, y, width, height; NaN if it is not visible.
    """

    name: str
    image_paths: tuple[Path, ...]
    boxes: Boxes


def select_object_sequences(videos: Sequence[VideoSequence]) -> list[ObjectSequence]:
    """Return the videos as sequences of one object each.

    Raises:
        SourceError: a video is not stored as one image file per frame, or shows its target in fewer than two
            frames.
    """
    return [_make_object_sequence(video) for video in videos]


def _make_object_sequence(video: VideoSequence) -> ObjectSequence:
    if not isinstance(video, ImageSequence) or video.spectral_info is not None:
        raise SourceError(f"video {video.name} must be a folder of color images with one target")
    boxes = find_target_boxes(video.truth)
    if np.isfinite(boxes[:, 0]).sum() < _MIN_VISIBLE_FRAMES:
        raise SourceError(f"video {video.name} must show its target in at least {_MIN_VISIBLE_FRAMES} frames")
    return ObjectSequence(video.name, video.image_paths[: len(boxes)], boxes)


def read_color_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as (height, width, 3), blue, green, red. Gray images become color images.

    Raises:
        SourceError: the file is not an image or is damaged.
    """
    try:
        return to_bgr(*read_image_file(path))
    except SourceError as error:
        raise SourceError(f"{error}, or remove it from the training data") from error
