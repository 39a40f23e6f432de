"""Square crops of an image, the inputs of the network.

Pixel u of a crop is at `x = center + (u - size / 2) * width / size` in the image. Pixel centers are at
integers + 0.5, as in `tracking_runtime.boxes`, so that converting a box to a crop and back is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi_tracker_ros.cubes.channelwise import apply_channelwise

_STEPS_PER_PIXEL = 8


@dataclass(frozen=True)
class SquareCrop:
    """A region of an image that becomes a square crop: a square, unless `aspect` stretches it.

    Attributes:
        x: center in pixels of the image.
        y: center in pixels of the image.
        side: side of the square of the same area in pixels of the image.
        aspect: width of the region divided by its height; 1: a square.
    """

    x: float
    y: float
    side: float
    aspect: float = 1.0

    @property
    def width(self) -> float:
        """Width in pixels of the image."""
        return self.side * math.sqrt(self.aspect)

    @property
    def height(self) -> float:
        """Height in pixels of the image."""
        return self.side / math.sqrt(self.aspect)

    def compute_scale(self, size: int) -> NDArray[np.float64]:
        """Return the width and height ``(2,)`` in the image of a pixel of a crop of this size."""
        return np.array([self.width, self.height]) / size

    def translate(self, dx: float, dy: float) -> SquareCrop:
        """Return the region moved by (dx, dy) pixels."""
        return replace(self, x=self.x + dx, y=self.y + dy)

    def round_to_eighths(self) -> SquareCrop:
        """Return the region with its center and its sides rounded to eighths of a pixel.

        Engines differ in the last bits of a box. A rounded crop has equal pixels on every engine, so that
        tracks do not depend on the engine.
        """
        x, y, width, height = (
            round(value * _STEPS_PER_PIXEL) / _STEPS_PER_PIXEL
            for value in (self.x, self.y, self.width, self.height)
        )
        width, height = (max(side, 1 / _STEPS_PER_PIXEL) for side in (width, height))
        return SquareCrop(x, y, math.sqrt(width * height), width / height)

    def compute_window(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of an image under the region and one pixel around it.

        Args:
            height: height of the image in pixels.
            width: width of the image in pixels.

        Returns:
            rows and columns; empty if the region is outside of the image.
        """
        half_width, half_height = self.width / 2 + 1, self.height / 2 + 1
        rows = _make_slice(self.y - half_height, self.y + half_height, height)
        columns = _make_slice(self.x - half_width, self.x + half_width, width)
        return rows, columns

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which points `(n, 2)` of the image are in the region."""
        half = (self.width / 2, self.height / 2)
        return np.asarray((np.abs(points - (self.x, self.y)) < half).all(axis=1), bool)

    def compute_crop_corners(self, box: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        """Return the corners of a box of the image in pixels of the crop.

        Args:
            box: x, y, width, height in pixels of the image, (4,).
            size: side of the crop in pixels.

        Returns:
            left, top, right, bottom, (4,); outside of 0..size where the box leaves the crop.
        """
        x, y, width, height = box
        corners = np.array([x, y, x + width, y + height])
        sides = (self.width, self.height, self.width, self.height)
        return (corners - (self.x, self.y, self.x, self.y)) * size / sides + size / 2


def _make_slice(low: float, high: float, length: int) -> slice:
    start = min(max(math.floor(low), 0), length)
    return slice(start, max(min(math.ceil(high), length), start))


@dataclass(frozen=True)
class CropGeometry:
    """Sizes of a network's crops, and how much of the image around a box they show.

    The square of a template has the area of the box, padded by `context` and scaled by `template_scale`.

    Attributes:
        template_size: side of a template crop in its own pixels.
        search_size: side of a search crop in its own pixels.
        context: context added to width and height, as a fraction of their sum.
        template_scale: side of the template's square in sides of the padded box.
        search_scale: side of the search region's square in sides of the padded box.
        stretches: True: the regions have the aspect of the box, so that it is a square in the crops.
    """

    template_size: int
    search_size: int
    context: float
    template_scale: float
    search_scale: float
    stretches: bool = False

    def make_template_crop(self, box: NDArray[np.float64]) -> SquareCrop:
        """Return the region of an image that the template around a box shows."""
        return self._make_crop(box, self.compute_template_side(box))

    def make_search_crop(self, box: NDArray[np.float64]) -> SquareCrop:
        """Return the region of an image around a box that is searched."""
        return self._make_crop(box, self.compute_search_side(box))

    def compute_template_side(self, box: NDArray[np.float64]) -> float:
        """Return the side of the template's square around a box in pixels of the image."""
        return self._compute_padded_side(box) * self.template_scale

    def compute_search_side(self, box: NDArray[np.float64]) -> float:
        """Return the side of the search region's square around a box in pixels of the image."""
        return self._compute_padded_side(box) * self.search_scale

    def _make_crop(self, box: NDArray[np.float64], side: float) -> SquareCrop:
        x, y, width, height = (float(value) for value in box)
        return SquareCrop(x + width / 2, y + height / 2, side, width / height if self.stretches else 1.0)

    def _compute_padded_side(self, box: NDArray[np.float64]) -> float:
        width, height = box[2:]
        context = self.context * (width + height)
        return math.sqrt((width + context) * (height + context))


SIAMBAN_GEOMETRY = CropGeometry(127, 255, context=0.5, template_scale=1.0, search_scale=255 / 127)
"""Crops of SiamBAN, HA-Net and NanoTrack: search regions have the scale of the template."""


def compute_template_side(box: NDArray[np.float64]) -> float:
    """Return the side of SiamBAN's template around a box: the box with half its mean side as context."""
    return SIAMBAN_GEOMETRY.compute_template_side(box)


def compute_search_side(box: NDArray[np.float64]) -> float:
    """Return the side of SiamBAN's search region around a box, at the scale of the template."""
    return SIAMBAN_GEOMETRY.compute_search_side(box)


def cut_crop(image: NDArray[Any], crop: SquareCrop, size: int, fill: ArrayLike) -> NDArray[Any]:
    """Cut a region out of an image and resize it to `size` x `size` pixels.

    Args:
        image: the image, `(height, width, channels)`.
        crop: the region.
        size: side of the result in pixels.
        fill: value outside the image: one for all channels, or one for each of at most four channels.
    """
    scale_x, scale_y = crop.compute_scale(size)
    x = crop.x + scale_x * (1 - size) / 2 - 0.5
    y = crop.y + scale_y * (1 - size) / 2 - 0.5
    matrix = np.array([[scale_x, 0, x], [0, scale_y, y]])
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
