"""Square crops of an image, the inputs of the network.

Pixel u of a crop is at `x = center + (u - size / 2) * side / size` in the image. Pixel centers are at
integers + 0.5, as in `tracking_runtime.boxes`, so that converting a box to a crop and back is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi_tracker_ros.cubes.channelwise import apply_channelwise
from hsi_tracker_ros.hanet.config import HANetConfig

CONTEXT = 0.5  # context around a box, as a fraction of its mean side
_STEPS_PER_PIXEL = 8


@dataclass(frozen=True)
class SquareCrop:
    """A square of an image: center and side in pixels of the image."""

    x: float
    y: float
    side: float

    def translate(self, dx: float, dy: float) -> SquareCrop:
        """Return the square moved by (dx, dy) pixels."""
        return SquareCrop(self.x + dx, self.y + dy, self.side)

    def round_to_eighths(self) -> SquareCrop:
        """Return the square rounded to eighths of a pixel.

        Engines differ in the last bits of a box. A rounded crop has equal pixels on every engine, so that
        tracks do not depend on the engine.
        """
        x, y, side = (
            round(value * _STEPS_PER_PIXEL) / _STEPS_PER_PIXEL for value in (self.x, self.y, self.side)
        )
        return SquareCrop(x, y, max(side, 1 / _STEPS_PER_PIXEL))

    def compute_window(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of an image under the square and one pixel around it; empty
        if outside.
        """
        half = self.side / 2 + 1
        rows = _make_slice(self.y - half, self.y + half, height)
        columns = _make_slice(self.x - half, self.x + half, width)
        return rows, columns

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which points `(n, 2)` of the image are in the square."""
        return np.asarray((np.abs(points - (self.x, self.y)) < self.side / 2).all(axis=1), bool)

    def compute_crop_corners(self, box: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        """Return left, top, right, bottom of a box x, y, width, height of the image, in pixels of
        the crop.
        """
        x, y, width, height = box
        corners = np.array([x, y, x + width, y + height])
        return (corners - (self.x, self.y, self.x, self.y)) * size / self.side + size / 2


def _make_slice(low: float, high: float, length: int) -> slice:
    start = min(max(math.floor(low), 0), length)
    return slice(start, max(min(math.ceil(high), length), start))


def compute_template_side(box: NDArray[np.float64]) -> float:
    """Return the side of the template's square around a box: the box with half its mean side as context."""
    width, height = box[2:]
    context = CONTEXT * (width + height)
    return math.sqrt((width + context) * (height + context))


def compute_search_side(box: NDArray[np.float64]) -> float:
    """Return the side of the search region's square around a box, at the scale of the template."""
    return compute_template_side(box) * HANetConfig.search_size / HANetConfig.template_size


def cut_crop(image: NDArray[Any], crop: SquareCrop, size: int, fill: ArrayLike) -> NDArray[Any]:
    """Cut a square out of an image and resize it to `size` x `size` pixels.

    Args:
        image: the image, `(height, width, channels)`.
        crop: the square.
        size: side of the result in pixels.
        fill: value outside the image: one for all channels, or one for each of at most four channels.
    """
    scale = crop.side / size
    offset = scale * (1 - size) / 2 - 0.5
    matrix = np.array([[scale, 0, crop.x + offset], [0, scale, crop.y + offset]])
    border = [float(value) for value in np.resize(fill, 4)]  # repeated for further channels
    return apply_channelwise(
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
