"""Frames with what is known of them, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes
from tracking_runtime.spectral_info import SpectralInfo


def _no_ids() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _no_classes() -> NDArray[np.uint8]:
    return np.zeros(0, np.uint8)


def _no_boxes() -> Boxes:
    return np.zeros((0, 4))


@dataclass(frozen=True)
class GroundTruth:
    """The objects visible in one frame, as parallel arrays; an absent object is not in them.

    Attributes:
        ids: ``(n,)`` identity through the sequence, from 1.
        class_ids: ``(n,)`` index into the source's class names.
        boxes: ``(n, 4)`` x, y, width, height in pixels.
    """

    ids: NDArray[np.int64] = field(default_factory=_no_ids)
    class_ids: NDArray[np.uint8] = field(default_factory=_no_classes)
    boxes: Boxes = field(default_factory=_no_boxes)


@dataclass(frozen=True)
class Frame:
    """One image of a camera.

    Attributes:
        stamp_ns: when it was taken, in nanoseconds.
        image: ``(height, width)`` or ``(height, width, channels)``, uint8, uint16 or float32.
        encoding: as in sensor_msgs/Image: mono8, mono16, bgr8, 8UC<n>, 16UC<n> or 32FC<n>.
        truth: None where nothing is known; an empty GroundTruth where it is known that nothing is there.
    """

    stamp_ns: int
    image: NDArray[Any]
    encoding: str
    frame_id: str = "camera"
    truth: GroundTruth | None = None


class FrameSource(Protocol):
    """A sequence of frames, made or read one at a time; iterating twice gives the same frames."""

    @property
    def name(self) -> str:
        """What people call it: a file, a folder or a scene with its seed."""

    @property
    def rate_hz(self) -> float:
        """Frames per second at which it was taken."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class id, by index."""

    @property
    def spectral_info(self) -> SpectralInfo | None:
        """The camera's bands; None for an ordinary camera."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]: ...
