"""Boxes as every module, file format and metric here means them.

A box is x, y, width, height in pixels of the source image, (x, y) its top-left corner. Pixel centres lie at
integers + 0.5, so the first pixel of a row covers 0..1. In a raw mosaic a pixel is a whole period of filters,
a pixel of its cube, as in the benchmarks of hyperspectral tracking. Arrays of boxes are ``(n, 4)`` float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]


def as_boxes(boxes: ArrayLike) -> Boxes:
    """Boxes as an ``(n, 4)`` float64 array; an empty sequence gives ``(0, 4)``."""
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def corners(boxes: ArrayLike) -> Boxes:
    """``(n, 4)`` left, top, right, bottom of boxes x, y, width, height."""
    boxes = as_boxes(boxes)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def from_corners(ltrb: ArrayLike) -> Boxes:
    """Boxes x, y, width, height of ``(n, 4)`` left, top, right, bottom."""
    ltrb = as_boxes(ltrb)
    return np.concatenate([ltrb[:, :2], ltrb[:, 2:] - ltrb[:, :2]], axis=1)


def centres(boxes: ArrayLike) -> NDArray[np.float64]:
    """``(n, 2)`` x, y of the boxes' centres."""
    boxes = as_boxes(boxes)
    return boxes[:, :2] + boxes[:, 2:] / 2


def intersection_over_union(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """``(n, m)`` overlap of every box of ``a`` with every box of ``b``; 0 where both are empty."""
    a_left, a_top, a_right, a_bottom = corners(a).T[:, :, None]
    b_left, b_top, b_right, b_bottom = corners(b).T[:, None]
    width = np.clip(np.minimum(a_right, b_right) - np.maximum(a_left, b_left), 0, None)
    height = np.clip(np.minimum(a_bottom, b_bottom) - np.maximum(a_top, b_top), 0, None)
    intersection = width * height
    union = as_boxes(a)[:, None, 2:].prod(axis=-1) + as_boxes(b)[None, :, 2:].prod(axis=-1) - intersection
    overlap = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return np.minimum(overlap, 1.0)  # rounding of tiny boxes far from the origin


def clip_to_image(boxes: ArrayLike, width: float, height: float) -> Boxes:
    """The part of each box inside a ``width`` x ``height`` image; zero-sized where there is none."""
    size = np.array([width, height, width, height], dtype=np.float64)
    return from_corners(np.clip(corners(boxes), 0, size))


def border_distance(boxes: ArrayLike, width: float, height: float) -> NDArray[np.float64]:
    """Pixels ``(n,)`` from each box to the nearest border of the image; negative: it reaches across."""
    left, top, right, bottom = corners(boxes).T
    distance: NDArray[np.float64] = np.minimum.reduce([left, top, width - right, height - bottom])
    return distance
