"""Resolution of a click to a displayed frame and a box."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.boxes import as_boxes, to_corners
from tracking_runtime.frames import FrameDetections


@dataclass(frozen=True)
class DisplayedFrame:
    """A frame whose tracks were displayed.

    Attributes:
        stamp_ns: stamp of the frame in nanoseconds.
        frame_id: coordinate frame of the camera.
        arrived_s: arrival time of the tracks in seconds, on a monotonic clock.
    """

    stamp_ns: int
    frame_id: str
    arrived_s: float


def find_displayed_frame(
    frames: Sequence[DisplayedFrame], click_ns: int, now_s: float, delay_s: float
) -> DisplayedFrame | None:
    """Return the frame that a click refers to.

    Args:
        frames: frames in the order of arrival.
        click_ns: stamp of the click in nanoseconds: the stamp of a frame, or of any clock.
        now_s: arrival time of the click in seconds, on the clock of `arrived_s`.
        delay_s: delay in seconds between the arrival of a frame and its display.

    Returns:
        The frame with the stamp of the click, else the newest displayed frame, else the oldest frame. None
        without frames.
    """
    by_stamp = {frame.stamp_ns: frame for frame in frames}
    if click_ns in by_stamp:
        return by_stamp[click_ns]
    displayed = [frame for frame in frames if frame.arrived_s <= now_s - delay_s]
    return displayed[-1] if displayed else next(iter(frames), None)


def find_nearest_detections(
    detections: deque[FrameDetections], stamp_ns: int, max_difference_s: float
) -> FrameDetections | None:
    """Return the detections nearest to a stamp; None if none is within `max_difference_s`."""
    nearest = min(detections, key=lambda found: abs(found.stamp_ns - stamp_ns), default=None)
    return nearest if nearest and abs(nearest.stamp_ns - stamp_ns) <= max_difference_s * 1e9 else None


def find_nearest_box(boxes: ArrayLike, point: ArrayLike, max_distance: float) -> int | None:
    """Return the index of the smallest box that contains a point, else of the nearest box.

    Args:
        boxes: boxes in pixels, `(n, 4)`: x, y, width, height.
        point: x, y in pixels.
        max_distance: largest distance of a box from the point in pixels.

    Returns:
        The index; None if all boxes are farther than `max_distance`.
    """
    boxes = as_boxes(boxes)
    if not len(boxes):
        return None
    position = np.asarray(point, np.float64)
    left_top, right_bottom = np.split(to_corners(boxes), 2, axis=1)
    outside = np.maximum(np.maximum(left_top - position, position - right_bottom), 0)
    distances = np.linalg.norm(outside, axis=1)
    best = int(np.lexsort((boxes[:, 2] * boxes[:, 3], distances))[0])
    return best if distances[best] <= max_distance else None


def make_box_around(point: ArrayLike, size: ArrayLike) -> NDArray[np.float64]:
    """Return the box of a width and height with a point as its center, `(4,)`."""
    width_height = np.asarray(size, np.float64)
    return np.concatenate([np.asarray(point, np.float64) - width_height / 2, width_height])


def make_bounding_box(points: ArrayLike) -> NDArray[np.float64]:
    """Return the upright bounding box of points `(n, 2)`, `(4,)`."""
    points = np.asarray(points, np.float64)
    return np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])
