"""Contrast of a frame: its difference from the background in units of the local noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.background import GrayImage

FloatImage = NDArray[np.float32]
BackgroundSampler = Callable[[FloatImage, FloatImage, GrayImage], GrayImage]
"""Function with the arguments and result of `spax_ros.motion.background.Background.estimate_at`."""

MAX_CELLS_PER_CALL = 2048  # OpenCV takes images of at most 32767 columns

_BLOCKS_PER_WINDOW = 5  # blocks per side of the window of the local noise
_NEIGHBORHOOD = np.ones((3, 3), np.uint8)
_HALO_PX = 2  # pixels around a cell that its contrast depends on
_SIGMA_OF_MEDIAN = 1.4826  # standard deviation of a normal distribution, in median absolute deviations
_MIN_NOISE = 1.0  # gray levels
_MAX_DEVIATION = 4  # in units of the image's noise; larger distances are motion, not noise
_DEVIATION_FACTOR = np.float32(1.25)  # standard deviation of a normal distribution, in mean deviations


@dataclass(frozen=True)
class ScratchBuffers:
    """Images that every frame overwrites. Fresh memory would be paged in for each frame."""

    floats: tuple[FloatImage, FloatImage]
    grays: tuple[GrayImage, GrayImage]

    @classmethod
    def for_image(cls, gray: GrayImage) -> ScratchBuffers:
        """Allocate buffers of an image's size."""
        floats = np.empty(gray.shape, np.float32), np.empty(gray.shape, np.float32)
        return cls(floats, (np.empty_like(gray), np.empty_like(gray)))


@dataclass(frozen=True)
class LocalNoise:
    """Local statistics of the difference between a frame and its background, in square blocks.

    Attributes:
        mean_difference: mean difference around each block's center ``(rows, columns)``, in gray levels.
        local_deviation: noise around each block's center ``(rows, columns)``, in gray levels.
        image_noise: noise of the whole image, in gray levels.
    """

    mean_difference: FloatImage
    local_deviation: FloatImage
    image_noise: float


def compute_contrast(
    gray: GrayImage,
    background: GrayImage,
    window_px: int,
    edge_tolerance_px: float,
    scratch: ScratchBuffers,
    smoothing_px: int,
) -> tuple[FloatImage, LocalNoise]:
    """Return the contrast without slow changes across the image (clouds, shadows, light), and the noise.

    Args:
        gray: frame ``(height, width)``.
        background: background of the frame, ``(height, width)``.
        window_px: side of the square that mean difference and local noise are taken from.
        edge_tolerance_px: registration error that is tolerated at edges. Higher suppresses more of them.
        scratch: buffers of the frame's size.
        smoothing_px: side of the square over which the difference is averaged.
    """
    size = gray.shape[::-1]
    buffer_a, buffer_b = scratch.floats

    # Step 1: the difference from the background, relative to its local mean.
    cv2.subtract(gray, background, dst=buffer_a, dtype=cv2.CV_32F)
    difference = cv2.blur(buffer_a, (smoothing_px, smoothing_px), dst=buffer_b)
    mean_difference = compute_block_means(difference, window_px)
    local_mean = cv2.resize(mean_difference, size, dst=buffer_a, interpolation=cv2.INTER_LINEAR)
    distance = cv2.absdiff(difference, local_mean, dst=buffer_b)

    # Step 2: its noise in the whole image and locally.
    image_noise = max(_MIN_NOISE, _SIGMA_OF_MEDIAN * float(np.median(_subsample(distance))))
    _, truncated = cv2.threshold(distance, _MAX_DEVIATION * image_noise, 0, cv2.THRESH_TRUNC, dst=buffer_a)
    local_deviation = np.maximum(
        _DEVIATION_FACTOR * compute_block_means(truncated, window_px), np.float32(image_noise)
    )

    # Step 3: the difference in units of local noise plus tolerated edges.
    unit = cv2.resize(local_deviation, size, dst=buffer_a, interpolation=cv2.INTER_LINEAR)
    edges = _compute_edges(background, *scratch.grays)
    cv2.addWeighted(unit, 1, edges, edge_tolerance_px, 0, dst=unit, dtype=cv2.CV_32F)
    contrast = np.asarray(cv2.divide(distance, unit), np.float32)
    return contrast, LocalNoise(mean_difference, local_deviation, image_noise)


class FullResolutionContrast:
    """Contrast of a frame in the square cells that were evaluated, 0 in all others.

    Args:
        gray: frame ``(height, width)``.
        sample_background: function that returns the background at positions of the frame.
        local_noise: local noise of the frame, at any resolution.
        cell_px: side of a cell.
        edge_tolerance_px: registration error that is tolerated at edges.

    Attributes:
        maxima: highest contrast in each cell, ``(rows, columns)`` float32.
    """

    def __init__(
        self,
        gray: GrayImage,
        sample_background: BackgroundSampler,
        local_noise: LocalNoise,
        *,
        cell_px: int,
        edge_tolerance_px: float,
    ) -> None:
        self._gray = gray
        self._sample_background = sample_background
        self._local_noise = local_noise
        self._cell_px = cell_px
        self._edge_tolerance_px = edge_tolerance_px
        rows, columns = (-(-side // cell_px) for side in gray.shape)
        self._values = np.zeros((rows, cell_px, columns, cell_px), np.float32)
        self._is_evaluated = np.zeros((rows, columns), bool)
        self.maxima: FloatImage = np.zeros((rows, columns), np.float32)

    @property
    def contrast(self) -> FloatImage:
        """Contrast ``(height, width)``."""
        height, width = self._gray.shape
        return self._values.reshape(len(self._values) * self._cell_px, -1)[:height, :width]

    def evaluate_cells(self, cells: NDArray[Any]) -> None:
        """Compute the contrast of the cells ``(rows, columns)`` that are true and not evaluated yet."""
        positions = np.argwhere((cells > 0) & ~self._is_evaluated)
        for first in range(0, len(positions), MAX_CELLS_PER_CALL):
            rows, columns = positions[first : first + MAX_CELLS_PER_CALL].T
            contrasts = self._compute_cells(rows, columns)
            self._values[rows, :, columns] = contrasts.transpose(1, 0, 2)
            self.maxima[rows, columns] = contrasts.max(axis=0).max(axis=1)
            self._is_evaluated[rows, columns] = True

    def _compute_cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> FloatImage:
        """Return the values ``(cell, n, cell)`` that `compute_contrast` gives in some cells."""
        side = self._cell_px + 2 * _HALO_PX
        pixel_x, pixel_y = _find_cell_pixels(rows, columns, self._cell_px, self._gray.shape)
        newest = self._gray.reshape(-1).take(pixel_y * self._gray.shape[1] + pixel_x)
        x, y = pixel_x.astype(np.float32), pixel_y.astype(np.float32)
        background = self._sample_background(x, y, newest)
        noise = self._interpolate_noise(x, y)

        # The cells with their halos lie side by side in one image. The filters mix neighboring cells only in
        # the halos.
        newest, background, mean_difference, local_deviation = (
            np.ascontiguousarray(values.reshape(-1, side, side).swapaxes(0, 1)).reshape(side, -1)
            for values in (newest, background, *noise)
        )
        difference = cv2.blur(cv2.subtract(newest, background, dtype=cv2.CV_32F), (2, 2))
        edges = _compute_edges(background, np.empty_like(background), np.empty_like(background))
        unit = cv2.addWeighted(local_deviation, 1, edges, self._edge_tolerance_px, 0, dtype=cv2.CV_32F)
        contrast = np.asarray(cv2.divide(cv2.absdiff(difference, mean_difference), unit), np.float32)
        return contrast.reshape(side, -1, side)[_HALO_PX:-_HALO_PX, :, _HALO_PX:-_HALO_PX]

    def _interpolate_noise(self, x: FloatImage, y: FloatImage) -> tuple[NDArray[Any], NDArray[Any]]:
        """Interpolate mean difference and local deviation at some pixels."""
        noise = self._local_noise
        (rows, columns), (height, width) = noise.mean_difference.shape, self._gray.shape
        scale_x, scale_y = columns / width, rows / height
        block_x, block_y = (
            values * np.float32(scale) + np.float32(0.5 * scale - 0.5)
            for values, scale in ((x, scale_x), (y, scale_y))
        )
        mean_difference, local_deviation = (
            cv2.remap(values, block_x, block_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for values in (noise.mean_difference, noise.local_deviation)
        )
        return mean_difference, local_deviation


def _find_cell_pixels(
    rows: NDArray[np.int64], columns: NDArray[np.int64], cell_px: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return x and y ``(n, pixels)`` of the pixels of cells with their halos, clipped to the image."""
    steps = np.arange(-_HALO_PX, cell_px + _HALO_PX)
    y = np.clip(rows[:, None] * cell_px + steps, 0, shape[0] - 1).astype(np.int32)
    x = np.clip(columns[:, None] * cell_px + steps, 0, shape[1] - 1).astype(np.int32)
    return np.tile(x, len(steps)), np.repeat(y, len(steps), axis=1)


def compute_block_means(values: NDArray[Any], window_px: int) -> FloatImage:
    """Return the means of the square windows around the centers of blocks, which are a fifth as large."""
    block = max(1, window_px // _BLOCKS_PER_WINDOW)
    height, width = values.shape
    blocks = cv2.resize(values, (-(-width // block), -(-height // block)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(blocks, (_BLOCKS_PER_WINDOW, _BLOCKS_PER_WINDOW)), np.float32)


def _compute_edges(gray: GrayImage, buffer_a: GrayImage, buffer_b: GrayImage) -> GrayImage:
    """Return the range of the smoothed image in each 3x3 neighborhood; the result is in `buffer_b`."""
    smooth = cv2.blur(gray, (3, 3), dst=buffer_a)
    highest = cv2.dilate(smooth, _NEIGHBORHOOD, dst=buffer_b)
    return cv2.subtract(highest, cv2.erode(smooth, _NEIGHBORHOOD, dst=buffer_a), dst=buffer_b)


def _subsample(values: NDArray[Any]) -> NDArray[Any]:
    """Return evenly spread pixels, enough to estimate the noise."""
    step = max(4, min(values.shape) // 256)
    return values[::step, ::step]
