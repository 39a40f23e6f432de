"""Frames, their ground truth and detections, and the protocol of frame sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes
from tracking_runtime.spectral_info import SpectralInfo


def _make_empty_ids() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _make_empty_class_ids() -> NDArray[np.uint8]:
    return np.zeros(0, np.uint8)


def _make_empty_boxes() -> Boxes:
    return np.zeros((0, 4))


@dataclass(frozen=True)
class GroundTruth:
    """Objects visible in one frame, as parallel arrays.

    Attributes:
        ids: identity of each object through the sequence, (n,), from 1.
        class_ids: class of each object, (n,), as an index into the class names of the source.
        boxes: box of each object in pixels, (n, 4): x, y, width, height.
    """

    ids: NDArray[np.int64] = field(default_factory=_make_empty_ids)
    class_ids: NDArray[np.uint8] = field(default_factory=_make_empty_class_ids)
    boxes: Boxes = field(default_factory=_make_empty_boxes)


@dataclass(frozen=True)
class Frame:
    """An image of a camera with its stamp.

    Attributes:
        stamp_ns: time of the exposure in nanoseconds.
        image: image, (H, W) or (H, W, C), uint8, uint16 or float32.
        encoding: encoding as in sensor_msgs/Image: mono8, mono16, bgr8, 8UC<n>, 16UC<n> or 32FC<n>.
        frame_id: name of the camera's coordinate frame.
        truth: ground truth; None if unknown, empty if no object is visible.
    """

    stamp_ns: int
    image: NDArray[Any]
    encoding: str
    frame_id: str = "camera"
    truth: GroundTruth | None = None


def compute_box_image_size(frame: Frame, bands: SpectralInfo | None) -> tuple[int, int]:
    """Return the width and height in box pixels: those of the cube if the image is a raw mosaic."""
    height, width = frame.image.shape[:2]
    if frame.image.ndim == 3 or bands is None or bands.mosaic is None:
        return width, height
    rows, columns = bands.mosaic
    return width // columns, height // rows


@dataclass(frozen=True)
class FrameDetections:
    """Detections of one frame.

    Attributes:
        stamp_ns: stamp of the frame in nanoseconds.
        boxes: boxes in pixels, (n, 4): x, y, width, height.
        labels: class name of each box, empty if unknown.
    """

    stamp_ns: int
    boxes: Boxes
    labels: Sequence[str]


class FrameSource(Protocol):
    """A sequence of frames, computed or read one at a time. Iterating again yields the same frames."""

    @property
    def name(self) -> str:
        """Name for users: a file, a folder, or a scene with its seed."""

    @property
    def rate_hz(self) -> float:
        """Frames per second."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class, by its id."""

    @property
    def spectral_info(self) -> SpectralInfo | None:
        """Bands of the camera; None for a gray or color camera."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]: ...
