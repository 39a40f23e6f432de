"""The square crops that the network sees, and the way back from them.

A crop's pixel u lies at ``x = centre + (u - size / 2) * side / size`` in the image, in the geometry of
``tracking_runtime.boxes`` (pixel centres at integers + 0.5), so box to crop and back is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi_tracker_ros.cubes.channelwise import filtered
from hsi_tracker_ros.hanet.config import HANetConfig

CONTEXT = 0.5
_STEPS = 8  # per pixel


@dataclass(frozen=True)
class SquareCrop:
    """A square of an image, its centre and side in image pixels."""

    x: float
    y: float
    side: float

    def moved(self, dx: float, dy: float) -> SquareCrop:
        """The same square in an image whose origin is elsewhere."""
        return SquareCrop(self.x + dx, self.y + dy, self.side)

    def settled(self) -> SquareCrop:
        """The square at the nearest eighths of a pixel.

        Crops jump with their place, by whole grey levels, and engines differ in the last bits of a box: such
        bits do not move what is looked at, so that tracks do not depend on the engine.
        """
        x, y, side = (round(value * _STEPS) / _STEPS for value in (self.x, self.y, self.side))
        return SquareCrop(x, y, max(side, 1 / _STEPS))

    def window(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of an image that the square covers, and a pixel of rim; empty if none."""
        half = self.side / 2 + 1
        rows = _span(self.y - half, self.y + half, height)
        columns = _span(self.x - half, self.x + half, width)
        return rows, columns

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of points ``(n, 2)`` of the image lie in the square."""
        return np.asarray((np.abs(points - (self.x, self.y)) < self.side / 2).all(axis=1), bool)

    def corners_inside(self, box: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        """Left, top, right, bottom, in pixels of the crop, of a box x, y, width, height of the image."""
        x, y, width, height = box
        corners = np.array([x, y, x + width, y + height])
        return (corners - (self.x, self.y, self.x, self.y)) * size / self.side + size / 2


def _span(low: float, high: float, length: int) -> slice:
    start = min(max(math.floor(low), 0), length)
    return slice(start, max(min(math.ceil(high), length), start))


def template_side(box: NDArray[np.float64]) -> float:
    """Side of the square around a box that the template shows: the box with half its mean side around it."""
    width, height = box[2:]
    context = CONTEXT * (width + height)
    return math.sqrt((width + context) * (height + context))


def search_side(box: NDArray[np.float64]) -> float:
    """Side of the square around a box that the search crop shows, at the template's scale."""
    return template_side(box) * HANetConfig.search_size / HANetConfig.template_size


def cut(image: NDArray[Any], crop: SquareCrop, size: int, fill: ArrayLike) -> NDArray[Any]:
    """A square of an image at ``size`` x ``size`` pixels, ``fill`` where the image has none.

    Args:
        image: ``(height, width, channels)``.
        crop: which square.
        size: pixels of the result.
        fill: value outside the image: one of all channels, or of each, of which there are four at most.
    """
    scale = crop.side / size
    offset = scale * (1 - size) / 2 - 0.5
    matrix = np.array([[scale, 0, crop.x + offset], [0, scale, crop.y + offset]])
    border = [float(value) for value in np.resize(fill, 4)]  # which further channels have again
    return filtered(
        image,
        partial(
            cv2.warpAffine,
            M=matrix,
            dsize=(size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=border,
        ),
    )
