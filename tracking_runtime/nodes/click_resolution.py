"""What a click means: the frame that was on the screen, and the box that was meant."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.boxes import Boxes, as_boxes, corners


@dataclass(frozen=True)
class Shown:
    """A frame that somebody may have been looking at.

    Attributes:
        stamp_ns: the frame's.
        frame_id: the camera's.
        arrived_s: when its tracks came, on any steady clock.
    """

    stamp_ns: int
    frame_id: str
    arrived_s: float


@dataclass(frozen=True)
class Detected:
    """What a detector found in one frame.

    Attributes:
        stamp_ns: the frame's.
        boxes: ``(n, 4)`` x, y, width, height in pixels.
        labels: name of each one's class; empty where it is not known.
    """

    stamp_ns: int
    boxes: Boxes
    labels: Sequence[str]


def on_screen(frames: Sequence[Shown], click_ns: int, now_s: float, delay_s: float) -> Shown | None:
    """The frame that a click referred to.

    Args:
        frames: in the order in which they came.
        click_ns: the stamp that came with the click: a frame's own, or of any clock.
        now_s: when the click came, on the clock of the frames' arrivals.
        delay_s: from a frame's arrival until people see it.

    Returns:
        the frame of that very stamp, else the newest that was to be seen, else the oldest; None without any.
    """
    by_stamp = {frame.stamp_ns: frame for frame in frames}
    if click_ns in by_stamp:
        return by_stamp[click_ns]
    seen = [frame for frame in frames if frame.arrived_s <= now_s - delay_s]
    return seen[-1] if seen else next(iter(frames), None)


def nearest_in_time(detections: deque[Detected], stamp_ns: int, within_s: float) -> Detected | None:
    """The detections of the frame nearest to a stamp, unless they are further than ``within_s`` from it."""
    nearest = min(detections, key=lambda each: abs(each.stamp_ns - stamp_ns), default=None)
    return nearest if nearest and abs(nearest.stamp_ns - stamp_ns) <= within_s * 1e9 else None


def nearest_box(boxes: ArrayLike, point: ArrayLike, reach: float) -> int | None:
    """Index of the box that a point is in, the smallest of several; else of the nearest one.

    Args:
        boxes: ``(n, 4)`` x, y, width, height.
        point: x, y.
        reach: no box further than this from the point counts.
    """
    boxes = as_boxes(boxes)
    if not len(boxes):
        return None
    place = np.asarray(point, np.float64)
    left_top, right_bottom = np.split(corners(boxes), 2, axis=1)
    outside = np.maximum(np.maximum(left_top - place, place - right_bottom), 0)
    distances = np.linalg.norm(outside, axis=1)
    best = int(np.lexsort((boxes[:, 2] * boxes[:, 3], distances))[0])
    return best if distances[best] <= reach else None


def box_around(point: ArrayLike, size: ArrayLike) -> NDArray[np.float64]:
    """``(4,)`` the box of a width and height with a point in its centre."""
    width_height = np.asarray(size, np.float64)
    return np.concatenate([np.asarray(point, np.float64) - width_height / 2, width_height])


def box_of_corners(points: ArrayLike) -> NDArray[np.float64]:
    """``(4,)`` the upright box around ``(n, 2)`` points."""
    points = np.asarray(points, np.float64)
    return np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])
