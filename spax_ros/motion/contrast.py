"""How much a frame differs from its background, in units of the difference's own noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.background import GrayImage

FloatImage = NDArray[np.float32]
BackgroundAt = Callable[[FloatImage, FloatImage, GrayImage], GrayImage]
"""As ``spax_ros.motion.background.Background.at_places``."""

CELLS_AT_ONCE = 4096  # of which the difference is taken; OpenCV takes no more than 32767

_BLOCKS = 5  # on the side of a square that a pixel is weighed against
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_HALO = 2  # pixels around a cell that its contrast depends on


@dataclass(frozen=True)
class Scratch:
    """Images to be written over for every frame: fresh ones would be paged in each time."""

    floats: tuple[FloatImage, FloatImage]
    grays: tuple[GrayImage, GrayImage]

    @classmethod
    def like(cls, gray: GrayImage) -> Scratch:
        """Of an image's size."""
        floats = np.empty(gray.shape, np.float32), np.empty(gray.shape, np.float32)
        return cls(floats, (np.empty_like(gray), np.empty_like(gray)))


@dataclass(frozen=True)
class Surroundings:
    """What a pixel's difference is weighed against, in square blocks, and what noise there is in all.

    Attributes:
        change: ``(rows, columns)`` mean difference around the middle of each block, in levels of brightness.
        unrest: ``(rows, columns)`` how much is usual there.
        noise: of the image as a whole.
    """

    change: FloatImage
    unrest: FloatImage
    noise: float


def contrast(
    gray: GrayImage, background: GrayImage, side: int, edge_tolerance_px: float, scratch: Scratch, smooth: int
) -> tuple[FloatImage, Surroundings]:
    """The difference without what changes slowly across the image (clouds, shadows, light).

    Args:
        gray: ``(height, width)``.
        background: like it.
        side: of the square whose mean change and unrest a pixel is weighed against.
        edge_tolerance_px: registration error that an edge is forgiven.
        scratch: of the image's size.
        smooth: side of the square over which the difference is a mean.
    """
    size = gray.shape[::-1]
    one, two = scratch.floats
    cv2.subtract(gray, background, dst=one, dtype=cv2.CV_32F)
    difference = cv2.blur(one, (smooth, smooth), dst=two)
    change = block_means(difference, side)
    around = cv2.resize(change, size, dst=one, interpolation=cv2.INTER_LINEAR)
    distance = cv2.absdiff(difference, around, dst=two)
    noise = max(1.0, 1.4826 * float(np.median(_sampled(distance))))
    _, calm = cv2.threshold(distance, 4 * noise, 0, cv2.THRESH_TRUNC, dst=one)
    unrest = np.maximum(np.float32(1.25) * block_means(calm, side), np.float32(noise))
    unit = cv2.resize(unrest, size, dst=one, interpolation=cv2.INTER_LINEAR)
    edges = _edges(background, *scratch.grays)
    cv2.addWeighted(unit, 1, edges, edge_tolerance_px, 0, dst=unit, dtype=cv2.CV_32F)
    return np.asarray(cv2.divide(distance, unit), np.float32), Surroundings(change, unrest, noise)


class CloseUp:
    """The contrast of a frame in those of its square cells that are looked at, 0 elsewhere.

    Args:
        gray: ``(height, width)``.
        background_at: of the frame.
        surroundings: of the frame, perhaps from a smaller one.
        cell_px: side of a cell.
        edge_tolerance_px: registration error that an edge is forgiven.

    Attributes:
        maxima: ``(rows, columns)`` float32, the largest in each cell.
    """

    def __init__(
        self,
        gray: GrayImage,
        background_at: BackgroundAt,
        surroundings: Surroundings,
        *,
        cell_px: int,
        edge_tolerance_px: float,
    ) -> None:
        self._gray, self._background_at, self._surroundings = gray, background_at, surroundings
        self._cell_px, self._edge_tolerance_px = cell_px, edge_tolerance_px
        rows, columns = (-(-side // cell_px) for side in gray.shape)
        self._values = np.zeros((rows, cell_px, columns, cell_px), np.float32)
        self._seen = np.zeros((rows, columns), bool)
        self.maxima: FloatImage = np.zeros((rows, columns), np.float32)

    @property
    def contrast(self) -> FloatImage:
        """``(height, width)``."""
        height, width = self._gray.shape
        return self._values.reshape(len(self._values) * self._cell_px, -1)[:height, :width]

    def look_at(self, cells: NDArray[Any]) -> None:
        """Take the contrast of cells, ``(rows, columns)`` true, that have not been looked at so far."""
        places = np.argwhere((cells > 0) & ~self._seen)
        for first in range(0, len(places), CELLS_AT_ONCE):
            rows, columns = places[first : first + CELLS_AT_ONCE].T
            found = self._contrast_of(rows, columns)
            self._values[rows, :, columns] = found
            self.maxima[rows, columns] = found.max(axis=(1, 2))
            self._seen[rows, columns] = True

    def _contrast_of(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> FloatImage:
        """``(n, cell, cell)`` as ``contrast`` would have it there."""
        side = self._cell_px + 2 * _HALO
        pixel_x, pixel_y = _places(rows, columns, self._cell_px, self._gray.shape)
        newest = self._gray[pixel_y, pixel_x]
        x, y = pixel_x.astype(np.float32), pixel_y.astype(np.float32)
        background = self._background_at(x, y, newest)

        # One under the other: what reaches from one cell's surroundings into another's stays outside them.
        newest, below = newest.reshape(-1, side), background.reshape(-1, side)
        difference = cv2.blur(cv2.subtract(newest, below, dtype=cv2.CV_32F), (2, 2))
        change, unrest = (
            self._of_blocks(values, x, y).reshape(-1, side)
            for values in (self._surroundings.change, self._surroundings.unrest)
        )
        edges = _edges(below, np.empty_like(below), np.empty_like(below))
        unit = unrest + np.float32(self._edge_tolerance_px) * edges
        return (cv2.absdiff(difference, change) / unit).reshape(-1, side, side)[:, _HALO:-_HALO, _HALO:-_HALO]

    def _of_blocks(self, values: FloatImage, x: FloatImage, y: FloatImage) -> NDArray[Any]:
        """Values of blocks at some pixels."""
        (rows, columns), (height, width) = values.shape, self._gray.shape
        across, down = np.float32(columns / width), np.float32(rows / height)
        in_blocks = (x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5
        return cv2.remap(values, *in_blocks, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _places(
    rows: NDArray[np.int64], columns: NDArray[np.int64], cell_px: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(n, pixels)`` x and y of the pixels of cells and around them, within an image of some shape."""
    steps = np.arange(-_HALO, cell_px + _HALO)
    y = np.clip(rows[:, None] * cell_px + steps, 0, shape[0] - 1)
    x = np.clip(columns[:, None] * cell_px + steps, 0, shape[1] - 1)
    return np.tile(x, len(steps)), np.repeat(y, len(steps), axis=1)


def block_means(values: NDArray[Any], side: int) -> FloatImage:
    """Means of the squares of this side around the middle of each block of a fifth of it."""
    block = max(1, side // _BLOCKS)
    height, width = values.shape
    blocks = cv2.resize(values, (-(-width // block), -(-height // block)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(blocks, (_BLOCKS, _BLOCKS)), np.float32)


def _edges(gray: GrayImage, one: GrayImage, two: GrayImage) -> GrayImage:
    """How much a smoothed image varies from each pixel to its neighbours; the others are written over."""
    smooth = cv2.blur(gray, (3, 3), dst=one)
    highest = cv2.dilate(smooth, _NEIGHBOURS, dst=two)
    return cv2.subtract(highest, cv2.erode(smooth, _NEIGHBOURS, dst=one), dst=two)


def _sampled(values: NDArray[Any]) -> NDArray[Any]:
    """Pixels spread over an image, as many as say how noisy it is."""
    step = max(4, min(values.shape) // 256)
    return values[::step, ::step]
