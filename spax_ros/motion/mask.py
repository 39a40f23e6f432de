"""Motion mask: the active pixels of a frame, causal and under a budget, on a moving camera.

The mask of the paper compares a frame with the median of its window and assumes a camera that stands still.
This mask differs in five points:

- Earlier frames are registered to the newest one.
- The difference is measured in units of noise and edges.
- A faint difference counts if it lasts for some frames.
- The threshold follows from the number of pixels that may be active.
- Motion is detected at half the image's size. The full size is used only where motion was detected, and its
  contrast decides.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.accumulation import REDUCTION, AccumulatedMotion, MotionAccumulator
from spax_ros.motion.background import Background, GrayImage
from spax_ros.motion.contrast import (
    FloatImage,
    FullResolutionContrast,
    LocalNoise,
    ScratchBuffers,
    compute_contrast,
)
from spax_ros.motion.feature_registration import KeyframeRegistration
from spax_ros.motion.registration import (
    downsample,
    downsample_for_registration,
    find_registration_factor,
    register_frames,
)
from spax_ros.transforms import (
    IDENTITY,
    Transform,
    downscale_transform,
    transform_points,
    upscale_transform,
    warp_image,
)
from tracking_runtime.boxes import Boxes, compute_centers

MAX_NOISE = 20.0  # gray levels; a noisier frame has little in common with those before
MIN_LASTING_FRAMES = 3  # consecutive frames in which a faint difference must be present
NEVER_HALVED = sys.maxsize  # `MotionSettings.min_halved_side_px` with which no image is halved
PREVIOUS_OBJECT_CONTRAST = 1e3  # added where the network saw an object; above that of any motion
_SMOOTHING_PX = 2  # of the full-size image, side of the square over which the difference is averaged


@dataclass(frozen=True)
class MotionSettings:
    """Settings of the motion mask.

    Attributes:
        window: frames that the background is taken from, of which seven are samples. Higher keeps slow
            objects out of the background, and adapts to changes later.
        budget: largest fraction of the pixels that may be active. Higher finds fainter motion and takes more
            time.
        min_budget_px: pixels that may always be active, for small images. 0 disables it.
        min_contrast: contrast below which a difference is no motion, in units of noise.
        certain_contrast: contrast from which a difference is motion at once. A lower one must last.
        edge_tolerance_px: registration error that is tolerated at edges.
        noise_window_px: side of the square that the local mean and noise are taken from.
        min_heat: value of the previous heat map from which a pixel stays active (SPAX: 0.2).
        cell_px: side of the square cells that are active as a whole.
        min_halved_side_px: longer side from which motion is detected at half the image's size.
        registration: ``similarity`` for a drifting camera, ``homography`` for one that turns, zooms and moves
            fast or looks aslant, in up to five times the time, ``none`` for one that stands still.
        accumulates: True if differences of several frames are accumulated along a bank of velocities, which
            finds movers fainter than the noise. Models with such input channels need it.
        min_strength: accumulated difference from which a cell is active, in units of its noise. Higher
            activates fewer pixels and misses fainter movers.
    """

    window: int = 20
    budget: float = 0.06
    min_budget_px: int = 25_000
    min_contrast: float = 3.0
    certain_contrast: float = 4.0
    edge_tolerance_px: float = 0.25
    noise_window_px: int = 20
    min_heat: float = 0.2
    cell_px: int = 8
    min_halved_side_px: int = 256
    registration: Literal["similarity", "homography", "none"] = "similarity"
    accumulates: bool = False
    min_strength: float = 4.5


@dataclass(frozen=True)
class MotionResult:
    """Motion of one frame.

    Attributes:
        mask: active pixels, ``(height, width)`` bool.
        residual: difference from the background in units of its noise, ``(height, width)`` float32. If motion
            is detected at half the size, inactive cells are 0.
        transform: camera motion ``(3, 3)`` from the previous frame's pixels to this frame's.
        active_fraction: fraction of the pixels that are active.
        is_saturated: True if the budget left out motion, or nearly the whole frame changed.
        accumulated: motion accumulated over the last frames; None: the settings do not ask for it.
    """

    mask: NDArray[np.bool_]
    residual: NDArray[np.float32]
    transform: NDArray[np.float64]
    active_fraction: float
    is_saturated: bool
    accumulated: AccumulatedMotion | None = None


@dataclass(frozen=True)
class Registration:
    """Registration of a frame that was computed ahead of `MotionMask.update`.

    Attributes:
        previous: image of the frame before, at the size at which it is registered.
        gray: frame ``(height, width)``.
        image: frame at the size at which it is registered.
        transform: similarity ``(3, 3)`` from the pixels of `previous` to those of `image`.
    """

    previous: GrayImage
    gray: GrayImage
    image: GrayImage
    transform: Transform


def check_same_size(size: tuple[int, ...], gray: GrayImage) -> None:
    """Raise an error if a frame differs in size from the frames before.

    Raises:
        ValueError: the sizes differ.
    """
    if size != gray.shape:
        raise ValueError(
            f"all frames of a stream must have one size: got {gray.shape} after {size}; reset the mask"
        )


def compute_cell_maxima(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the largest value of each square cell, ``(ceil(height / side), ceil(width / side))``.

    Args:
        values: values ``(height, width)``, not negative.
        side: side of a cell in pixels.
    """
    height, width = values.shape
    below, right = -height % side, -width % side
    padded = values
    if below or right:
        padded = cv2.copyMakeBorder(values, 0, below, 0, right, cv2.BORDER_CONSTANT)
    # Two passes over slices are thirty times as fast as one reduction over both axes.
    rows = padded.reshape(-1, side, padded.shape[1]).max(axis=1)
    return np.asarray(np.maximum.reduce([rows[:, k::side] for k in range(side)]))


def dilate_cells(cells: GrayImage) -> GrayImage:
    """Return the largest value of each cell and the eight around it, in the same shape."""
    return cv2.dilate(cells, np.ones((3, 3), np.uint8))


def _find_hot_cells(
    hot: NDArray[np.bool_], transform: Transform, side: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the cells that contain hot pixels after a transform."""
    points = cv2.findNonZero(hot.view(np.uint8))
    if points is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    moved = transform_points(points.reshape(-1, 2), transform)
    columns, rows = np.floor_divide(np.round(moved), side).astype(np.int64).T
    is_inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows[is_inside], columns[is_inside]


def _find_core_cells(
    boxes: Boxes, transform: Transform, side: int, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return which cells the moved boxes touch, after each side has moved inward by one cell.

    A box narrower than two cells is reduced to its center. The transform moves centers and keeps sizes.
    """
    cells = np.zeros(shape, bool)
    centers = transform_points(compute_centers(boxes), transform)
    half_size = np.maximum(boxes[:, 2:] / 2 - side, 0)
    first = np.clip(np.floor_divide(centers - half_size, side).astype(int), 0, None)
    last = np.floor_divide(centers + half_size, side).astype(int)
    for (left, upper), (right, lower) in zip(first, last, strict=True):
        cells[upper : max(lower + 1, 0), left : max(right + 1, 0)] = True
    return cells


class MotionMask:
    """Motion mask of a stream of frames from a moving camera.

    Args:
        settings: settings of the mask; None: the defaults.
    """

    def __init__(self, settings: MotionSettings | None = None) -> None:
        self._settings = settings or MotionSettings()
        self._background = Background(self._settings.window)
        self._full_size_background = Background(self._settings.window)
        self._accumulator = MotionAccumulator() if self._settings.accumulates else None
        self.reset()

    def reset(self) -> None:
        """Delete the background; the next frame may have another size."""
        self._background.reset()
        self._full_size_background.reset()
        self._size: tuple[int, ...] | None = None
        self._registration_image: GrayImage | None = None
        self._chain = KeyframeRegistration()
        self._num_frames_active: NDArray[np.uint8] | None = None
        self._scratch: ScratchBuffers | None = None
        self._accumulated: AccumulatedMotion | None = None
        if self._accumulator is not None:
            self._accumulator.reset()

    def register_ahead(self, gray: GrayImage) -> Registration | None:
        """Register a frame to the newest one. Another thread may call this during `update`.

        Args:
            gray: frame ``(height, width)`` that `update` gets next.

        Returns:
            Argument of `update`, which is ignored if another frame comes between; None if the settings or the
            size of the frame do not permit it.
        """
        previous = self._registration_image
        if previous is None or self._settings.registration != "similarity":
            return None
        image, _ = downsample_for_registration(gray)
        if image.shape != previous.shape:
            return None
        return Registration(previous, gray, image, register_frames(previous, image))

    def update(
        self,
        gray: GrayImage,
        previous_heat: NDArray[Any] | None = None,
        previous_boxes: Boxes | None = None,
        registration: Registration | None = None,
    ) -> MotionResult:
        """Compute the mask of the next frame.

        Args:
            gray: frame ``(height, width)``.
            previous_heat: heat map of the previous frame, ``(height, width)``, 0 to 1; None: none.
            previous_boxes: boxes ``(n, 4)`` detected in the previous frame; None: none. Their whole area
                stays active. Of a long train, only the ends differ from the background.
            registration: result of `register_ahead` for this frame; None: it is registered now.

        Raises:
            ValueError: the frame differs in size from the one before.
        """
        settings = self._settings
        transform = self._register(gray, registration)

        # Step 1: contrast of the whole image, perhaps at half its size.
        factor = 1 if max(gray.shape) < settings.min_halved_side_px else 2
        residual, local_noise = self._compute_contrast(downsample(gray, factor), transform, factor)

        # Step 2: active cells by contrast and previous objects, within the budget.
        previous_contrast = self._compute_previous_contrast(
            gray.shape, previous_heat, previous_boxes, transform
        )
        if self._accumulated is not None:
            previous_contrast += self._compute_strong_cells(self._accumulated, previous_contrast.shape)
        contrasts = compute_cell_maxima(residual, settings.cell_px // factor)
        missing = [
            (0, full - part) for full, part in zip(previous_contrast.shape, contrasts.shape, strict=True)
        ]
        contrasts = self._remove_transient(np.pad(contrasts, missing), transform)
        active, is_over_budget = self._apply_budget(contrasts + previous_contrast, gray.size)

        # Step 3: contrast of these cells at full size.
        if factor > 1:
            active, residual = self._confirm_at_full_size(
                gray, transform, local_noise, active, previous_contrast
            )

        mask = self._expand_cells(dilate_cells(active), gray.shape)
        is_saturated = is_over_budget | (local_noise.image_noise > MAX_NOISE)
        active_fraction = np.count_nonzero(mask) / mask.size
        return MotionResult(mask, residual, transform, active_fraction, is_saturated, self._accumulated)

    def _register(self, gray: GrayImage, ahead: Registration | None) -> Transform:
        if self._size is not None:
            check_same_size(self._size, gray)
        self._size = gray.shape
        previous = self._registration_image
        if ahead is not None and ahead.previous is previous and ahead.gray is gray:
            self._registration_image = ahead.image
            return upscale_transform(ahead.transform, find_registration_factor(gray))
        self._registration_image, factor = downsample_for_registration(gray)
        if previous is None or self._settings.registration == "none":
            return IDENTITY
        transform = None
        if self._settings.registration == "homography":
            transform = self._chain.register(previous, self._registration_image)
        if transform is None:
            transform = register_frames(previous, self._registration_image)
        return upscale_transform(transform, factor)

    def _compute_contrast(
        self, gray: GrayImage, transform: Transform, factor: int
    ) -> tuple[FloatImage, LocalNoise]:
        """Compute the contrast of a frame reduced by a factor, and add the frame to the background."""
        settings = self._settings
        self._scratch = self._scratch or ScratchBuffers.for_image(gray)
        self._background.advance(downscale_transform(transform, factor))
        background = self._background.estimate(gray)
        contrast, local_noise = compute_contrast(
            gray,
            background,
            settings.noise_window_px // factor,
            settings.edge_tolerance_px / factor,
            self._scratch,
            smoothing_px=_SMOOTHING_PX // factor,
        )
        if self._accumulator is not None:
            self._accumulated = self._accumulator.update(
                downsample(gray, REDUCTION // factor),
                downsample(background, REDUCTION // factor),
                local_noise.mean_difference,
                local_noise.image_noise,
                downscale_transform(transform, REDUCTION),
            )
        self._background.add_frame(gray)
        return contrast, local_noise

    def _compute_strong_cells(self, accumulated: AccumulatedMotion, shape: tuple[int, ...]) -> FloatImage:
        """Return the accumulated strength of the cells in which it exceeds that of noise, 0 in others."""
        maxima = compute_cell_maxima(accumulated.strength, self._settings.cell_px // REDUCTION)
        maxima = np.pad(maxima, [(0, full - part) for full, part in zip(shape, maxima.shape, strict=True)])
        return np.where(maxima >= self._settings.min_strength, maxima, np.float32(0))

    def _confirm_at_full_size(
        self,
        gray: GrayImage,
        transform: Transform,
        local_noise: LocalNoise,
        active: GrayImage,
        previous_contrast: FloatImage,
    ) -> tuple[GrayImage, FloatImage]:
        """Return the cells that are active at full size too, and the contrast in and around them."""
        settings = self._settings
        self._full_size_background.advance(transform)
        full_size = FullResolutionContrast(
            gray,
            self._full_size_background.estimate_at,
            local_noise,
            cell_px=settings.cell_px,
            edge_tolerance_px=settings.edge_tolerance_px,
        )
        full_size.evaluate_cells(active)
        confirmed, _ = self._apply_budget(active * (full_size.maxima + previous_contrast), gray.size)
        full_size.evaluate_cells(dilate_cells(confirmed))
        self._full_size_background.add_frame(gray)
        return confirmed, full_size.contrast

    def _expand_cells(self, cells: GrayImage, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the pixels of the active cells."""
        side = self._settings.cell_px
        size = (cells.shape[1] * side, cells.shape[0] * side)
        mask = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST)
        return mask[: shape[0], : shape[1]].view(bool)

    def _compute_previous_contrast(
        self, shape: tuple[int, ...], heat: NDArray[Any] | None, boxes: Boxes | None, transform: Transform
    ) -> FloatImage:
        """Return the contrast that cells get from objects of the previous frame, moved with the camera."""
        settings = self._settings
        contrast = np.zeros([-(-length // settings.cell_px) for length in shape], np.float32)
        if boxes is not None:
            is_core = _find_core_cells(boxes, transform, settings.cell_px, contrast.shape)
            contrast[is_core] = settings.certain_contrast
        if heat is not None:
            hot_cells = _find_hot_cells(
                heat >= settings.min_heat, transform, settings.cell_px, contrast.shape
            )
            contrast[hot_cells] = PREVIOUS_OBJECT_CONTRAST
        return contrast

    def _remove_transient(self, cells: NDArray[np.float32], transform: Transform) -> NDArray[np.float32]:
        """Set faint contrasts to 0 that were absent, there and beside it, in one of the last frames.

        Noise rarely lasts. It would otherwise fill the budget of a large image.
        """
        settings = self._settings
        is_present = (cells >= settings.min_contrast).astype(np.uint8)
        num_frames = is_present
        if self._num_frames_active is not None:
            moved = warp_image(
                self._num_frames_active,
                downscale_transform(transform, settings.cell_px),
                (cells.shape[1], cells.shape[0]),
                interpolation=cv2.INTER_NEAREST,
            )
            num_before = dilate_cells(np.asarray(moved, np.uint8))
            num_frames = is_present * np.minimum(num_before + 1, MIN_LASTING_FRAMES).astype(np.uint8)
        self._num_frames_active = num_frames
        is_motion = (num_frames == MIN_LASTING_FRAMES) | (cells >= settings.certain_contrast)
        return np.where(is_motion, cells, np.float32(0))

    def _apply_budget(self, cells: FloatImage, num_pixels: int) -> tuple[GrayImage, bool]:
        """Return the active cells, the strongest that the budget permits, and whether any were left out."""
        min_contrast = self._settings.min_contrast
        budget = max(self._settings.budget, self._settings.min_budget_px / num_pixels)

        def select_active(threshold: float) -> GrayImage:
            return (cells >= threshold).astype(np.uint8)

        def is_within_budget(threshold: float) -> bool:
            return bool(dilate_cells(select_active(threshold)).mean() <= budget)

        if is_within_budget(min_contrast):
            return select_active(min_contrast), False
        thresholds = np.append(np.unique(cells[cells >= min_contrast]), np.inf)
        lowest = thresholds[bisect_left(thresholds, True, key=is_within_budget)]
        return select_active(lowest), True
