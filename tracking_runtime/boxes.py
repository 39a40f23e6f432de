"""Box arrays: corners, centers, overlap and clipping.

A box is x, y, width, height in pixels of the source image; (x, y) is its top-left corner. Pixel centers are
at integers + 0.5, so the first pixel of a row covers 0..1. In a raw mosaic a pixel is a whole period of
filters: a pixel of the cube, as in hyperspectral benchmarks. Arrays of boxes are (n, 4), float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]
"""Boxes x, y, width, height in pixels, ``(n, 4)``; (x, y) is the upper left corner."""

IDS_PER_EPOCH = 1 << 32  # ids of an epoch or clip are below this


def as_boxes(boxes: ArrayLike) -> Boxes:
    """Convert boxes to an (n, 4) float64 array. An empty sequence gives (0, 4)."""
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def to_corners(boxes: ArrayLike) -> Boxes:
    """Convert boxes x, y, width, height to left, top, right, bottom, (n, 4)."""
    boxes = as_boxes(boxes)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def from_corners(ltrb: ArrayLike) -> Boxes:
    """Convert left, top, right, bottom, (n, 4), to boxes x, y, width, height."""
    ltrb = as_boxes(ltrb)
    return np.concatenate([ltrb[:, :2], ltrb[:, 2:] - ltrb[:, :2]], axis=1)


def compute_centers(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return the centers x, y of boxes, (n, 2)."""
    boxes = as_boxes(boxes)
    return boxes[:, :2] + boxes[:, 2:] / 2


def intersection_over_union(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the overlap of every box of `a` with every box of `b`, (n, m), 0..1; 0 if both are empty."""
    a_left, a_top, a_right, a_bottom = to_corners(a).T[:, :, None]
    b_left, b_top, b_right, b_bottom = to_corners(b).T[:, None]
    width = np.clip(np.minimum(a_right, b_right) - np.maximum(a_left, b_left), 0, None)
    height = np.clip(np.minimum(a_bottom, b_bottom) - np.maximum(a_top, b_top), 0, None)
    intersection = width * height
    union = as_boxes(a)[:, None, 2:].prod(axis=-1) + as_boxes(b)[None, :, 2:].prod(axis=-1) - intersection
    overlap = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return np.minimum(overlap, 1.0)  # rounding errors of tiny boxes far from the origin


def clip_to_image(boxes: ArrayLike, width: float, height: float) -> Boxes:
    """Clip boxes to an image of `width` x `height` pixels. A box outside gets zero size."""
    size = np.array([width, height, width, height], dtype=np.float64)
    return from_corners(np.clip(to_corners(boxes), 0, size))


def compute_border_distance(boxes: ArrayLike, width: float, height: float) -> NDArray[np.float64]:
    """Return the distance of each box to the nearest image border in pixels, (n,); negative outside."""
    left, top, right, bottom = to_corners(boxes).T
    distance: NDArray[np.float64] = np.minimum.reduce([left, top, width - right, height - bottom])
    return distance


def make_unique_ids(ids: ArrayLike, epoch: int) -> NDArray[np.int64]:
    """Return ids that no other epoch has. The original id is the result modulo `IDS_PER_EPOCH`.

    Args:
        ids: ids that are unique within the epoch, (n,).
        epoch: number of the epoch or clip.
    """
    return np.asarray(ids, np.int64) + epoch * IDS_PER_EPOCH


@dataclass(frozen=True)
class FrameBoxes:
    """Boxes of one frame with their identities.

    Attributes:
        ids: identity of each box through the video, (n,).
        boxes: boxes in pixels, (n, 4): x, y, width, height.
    """

    ids: NDArray[np.int64]
    boxes: Boxes


@dataclass(frozen=True)
class ScoredBoxes(FrameBoxes):
    """Boxes of one frame with their identities, scores and classes, as a tracker returns them.

    Attributes:
        scores: confidence of each box, (n,), 0..1.
        class_ids: class of each box as an index into the class names, (n,); -1 if unknown.
        states: state of each box, (n,): `confirmed`, `tracking`, `uncertain` or `lost`; empty if unknown.
        velocities: velocity x, y of each box in pixels per second over the ground, without the motion of the
            camera, (n, 2); None if the tracker does not measure it.
    """

    scores: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    states: tuple[str, ...] = ()
    velocities: NDArray[np.float64] | None = None

    @classmethod
    def none(cls) -> ScoredBoxes:
        """Return the boxes of a frame without any object."""
        return cls(np.zeros(0, np.int64), as_boxes([]), np.zeros(0), np.zeros(0, np.int64))
