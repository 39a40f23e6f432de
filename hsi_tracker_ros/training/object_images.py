"""Images of objects for the training of an RGB branch: frames of tracking sequences, and photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes
from tracking_runtime.datasets.file_tree import walk_paths
from tracking_runtime.datasets.sequences import ImageSequence, VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.video_scores import find_target_boxes
from tracking_runtime.io.image_file import IMAGE_SUFFIXES, is_image, read_image_file
from tracking_runtime.overlay import to_bgr

_LABEL_COLUMNS = 5  # class, center x, center y, width, height; the last four as fractions of the image
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


@dataclass(frozen=True)
class Photograph:
    """A photograph and the objects in it.

    Attributes:
        path: image file.
        boxes: boxes of the objects as fractions of the image, (objects, 4): x, y, width, height; (0, 4) if
            the objects are unknown.
    """

    path: Path
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


def find_photographs(folder: Path) -> list[Photograph]:
    """Return the photographs in a folder and its subfolders, with their objects.

    A text file with the name of a photograph contains its objects, one per line: class, center x, center y,
    width and height, the last four as fractions of the image (the format of YOLO).

    Raises:
        SourceError: the folder contains no photographs, or a text file is invalid.
    """
    return [Photograph(path, _read_boxes(path.with_suffix(".txt"))) for path in find_photograph_paths(folder)]


def find_photograph_paths(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders in alphabetical order, without hidden ones.

    Raises:
        SourceError: the folder contains none.
    """
    paths = [path for path in walk_paths(folder) if is_image(path)]
    if not paths:
        raise SourceError(f"{folder} contains no photographs ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths


def _read_boxes(path: Path) -> Boxes:
    """Read the boxes of a photograph, (objects, 4) as fractions of the image; (0, 4) without a file."""
    if not path.exists():
        return np.zeros((0, 4))
    try:
        rows = np.loadtxt(path, ndmin=2).reshape(-1, _LABEL_COLUMNS)
    except ValueError as error:
        raise SourceError(f"{path} must have lines of {_LABEL_COLUMNS} numbers: {error}") from error
    sizes = rows[:, 3:]
    if not np.isfinite(rows).all() or (sizes <= 0).any() or (rows[:, 1:] > 1).any() or (rows < 0).any():
        raise SourceError(f"{path} must contain centers and sizes as fractions of the image, 0 to 1")
    return np.concatenate([rows[:, 1:3] - sizes / 2, sizes], axis=1)


def read_color_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as (height, width, 3), blue, green, red. Gray images become color images.

    Raises:
        SourceError: the file is not an image or is damaged.
    """
    try:
        return to_bgr(*read_image_file(path))
    except SourceError as error:
        raise SourceError(f"{error}, or remove it from the training data") from error
