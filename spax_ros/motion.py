"""Where anything moves: the mask of active pixels, causal, under a budget, on a drifting platform.

The paper's mask compares a frame with the median of its window as if the camera stood still. Here the window
is registered first, the difference is weighed against noise and edges, and the threshold follows from how
many pixels may be active.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

GrayImage = NDArray[Any]

IDENTITY = np.eye(2, 3)
LEAST_RESPONSE = 0.1  # of phase correlation, 0..1, from which its shift is believed

# Exchanges after which the middle of seven values is their median (Devillard, "Fast median search", 1998).
_MEDIAN_OF_7 = (
    (0, 5),
    (0, 3),
    (1, 6),
    (2, 4),
    (0, 1),
    (3, 5),
    (2, 6),
    (2, 3),
    (3, 6),
    (4, 5),
    (1, 4),
    (1, 3),
    (3, 4),
)


@dataclass(frozen=True)
class MotionSettings:
    """How the mask is made.

    Attributes:
        window: frames that the background is taken from; every third of them, seven in all.
        budget: largest share of the pixels that may be active.
        least_contrast: difference, in units of its own noise, below which nothing counts as motion.
        edge_tolerance_px: registration error that an edge is forgiven.
        surroundings_px: side of the square whose mean change and unrest a pixel is weighed against.
        heat: previous heat above which a pixel stays active (SPAX: 0.2).
        cell_px: side of the square cells that are active or not as a whole.
    """

    window: int = 20
    budget: float = 0.06
    least_contrast: float = 4.0
    edge_tolerance_px: float = 0.25
    surroundings_px: int = 31
    heat: float = 0.2
    cell_px: int = 8


@dataclass(frozen=True)
class MotionFrame:
    """What moved in one frame.

    Attributes:
        mask: ``(height, width)`` bool, the active pixels.
        residual: ``(height, width)`` float32, difference from the background in units of its noise.
        transform: ``(2, 3)`` from the previous frame's pixels to this one's.
        active_share: share of the pixels that are active.
        saturated: whether the budget left out something that moved.
    """

    mask: NDArray[np.bool_]
    residual: NDArray[np.float32]
    transform: NDArray[np.float64]
    active_share: float
    saturated: bool


def register(previous: GrayImage, current: GrayImage) -> NDArray[np.float64]:
    """Similarity ``(2, 3)`` that takes the previous frame's pixels to the current one's.

    Corners spread over the image are followed by Lucas-Kanade; what moves by itself is outvoted (RANSAC).
    Without enough corners it is a shift by phase correlation; without any structure, as in a black frame, the
    platform is taken to stand still.
    """
    height, width = previous.shape
    small = 512 / max(height, width)
    scale = (int(width * small), int(height * small)) if small < 1 else (width, height)
    thumbnail = cv2.resize(previous, scale, interpolation=cv2.INTER_AREA)
    corners = cv2.goodFeaturesToTrack(thumbnail, 300, 0.01, 12)
    if corners is not None and len(corners) >= 12:
        ratio = np.array([width / scale[0], height / scale[1]], np.float32)
        corners = (corners + 0.5) * ratio - 0.5
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            previous, current, corners, np.zeros_like(corners), winSize=(21, 21), maxLevel=3
        )
        kept = found.ravel() == 1
        if kept.sum() >= 12:
            transform, _ = cv2.estimateAffinePartial2D(
                corners[kept], moved[kept], method=cv2.RANSAC, ransacReprojThreshold=0.5
            )
            if transform is not None and abs(np.hypot(*transform[:, 0]) - 1) < 0.02:
                return transform
    shift, response = cv2.phaseCorrelate(previous.astype(np.float32), current.astype(np.float32))
    if response < LEAST_RESPONSE:
        return IDENTITY
    return np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])


def compose(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform that does ``first`` and then ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def check_same_size(previous: GrayImage, gray: GrayImage) -> None:
    """Refuse a frame that does not fit a window.

    Raises:
        ValueError: it has another size than the one before.
    """
    if previous.shape != gray.shape:
        raise ValueError(f"frame of {gray.shape}, after frames of {previous.shape}")


def cell_maxima(values: NDArray[Any], side: int) -> NDArray[Any]:
    """``(ceil(height / side), ceil(width / side))`` the largest of each square cell, none below 0.

    Two passes over slices are thirty times as fast as one reduction over both axes.
    """
    height, width = values.shape
    padded = cv2.copyMakeBorder(values, 0, -height % side, 0, -width % side, cv2.BORDER_CONSTANT)
    rows = padded.reshape(-1, side, padded.shape[1]).max(axis=1)
    return np.asarray(np.maximum.reduce([rows[:, k::side] for k in range(side)]))


def median_of_seven(images: list[GrayImage]) -> GrayImage:
    """The median of seven images, pixel by pixel."""
    values = list(images)
    for low, high in _MEDIAN_OF_7:
        values[low], values[high] = cv2.min(values[low], values[high]), cv2.max(values[low], values[high])
    return values[3]


class MotionMask:
    """Follows the platform and says where anything moves on it."""

    def __init__(self, settings: MotionSettings | None = None) -> None:
        self._settings = settings or MotionSettings()
        self._history: deque[tuple[GrayImage, NDArray[np.float64]]] = deque(maxlen=self._settings.window)

    def reset(self) -> None:
        """Forget every frame."""
        self._history.clear()

    def update(self, gray: GrayImage, previous_heat: NDArray[Any] | None = None) -> MotionFrame:
        """The mask of a frame.

        Args:
            gray: ``(height, width)``.
            previous_heat: ``(height, width)`` of 0..1, where the network saw objects in the previous frame.

        Raises:
            ValueError: the frame has another size than the one before.
        """
        if self._history:
            check_same_size(self._history[-1][0], gray)
        transform = register(self._history[-1][0], gray) if self._history else IDENTITY
        for index, (image, to_previous) in enumerate(self._history):
            self._history[index] = image, compose(transform, to_previous)
        residual = self._residual(gray)
        self._history.append((gray, IDENTITY))
        mask, saturated = self._threshold(residual, previous_heat, transform)
        return MotionFrame(mask, residual, transform, np.count_nonzero(mask) / mask.size, saturated)

    def _residual(self, gray: GrayImage) -> NDArray[np.float32]:
        count = len(self._history)
        if count == 0:
            return np.zeros(gray.shape, np.float32)
        height, width = gray.shape
        chosen = np.linspace(0, count - 1, 7).round().astype(int)
        aligned = {
            index: cv2.warpAffine(
                self._history[index][0], self._history[index][1], (width, height), dst=gray.copy(),
                flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT,
            )
            for index in set(chosen.tolist())
        }  # fmt: skip
        background = median_of_seven([aligned[index] for index in chosen.tolist()])
        return self._in_units_of_noise(gray, background)

    def _in_units_of_noise(self, gray: GrayImage, background: GrayImage) -> NDArray[np.float32]:
        """The difference without what changes slowly across the image (clouds, shadows, light)."""
        settings = self._settings
        difference = cv2.blur(cv2.subtract(gray, background, dtype=cv2.CV_32F), (2, 2))
        surroundings = (settings.surroundings_px, settings.surroundings_px)
        contrast = cv2.absdiff(difference, cv2.blur(difference, surroundings))
        noise = max(1.0, 1.4826 * float(np.median(contrast[::4, ::4])))
        unit = cv2.blur(np.minimum(contrast, np.float32(4 * noise)), surroundings)
        unit *= np.float32(1.25)
        np.maximum(unit, np.float32(noise), out=unit)
        smooth = cv2.blur(background, (3, 3))
        edges = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        cv2.addWeighted(unit, 1, edges, settings.edge_tolerance_px, 0, dst=unit, dtype=cv2.CV_32F)
        return np.asarray(cv2.divide(contrast, unit, dst=contrast), np.float32)

    def _threshold(
        self, residual: NDArray[np.float32], heat: NDArray[Any] | None, transform: NDArray[np.float64]
    ) -> tuple[NDArray[np.bool_], bool]:
        settings = self._settings
        height, width = residual.shape
        side = settings.cell_px
        cells = cell_maxima(residual, side)
        if heat is not None:
            moved = cv2.warpAffine(heat.astype(np.float32), transform, (width, height))
            cells[cell_maxima(np.asarray(moved, np.float32), side) >= settings.heat] = 1e3
        active, saturated = self._within_budget(cells)
        size = (cells.shape[1] * side, cells.shape[0] * side)
        mask = cv2.resize(active, size, interpolation=cv2.INTER_NEAREST)
        return mask[:height, :width].astype(bool), saturated

    def _within_budget(self, cells: NDArray[np.float32]) -> tuple[GrayImage, bool]:
        neighbours = np.ones((3, 3), np.uint8)

        def active(threshold: float) -> GrayImage:
            return cv2.dilate((cells >= threshold).astype(np.uint8), neighbours)

        everything = active(self._settings.least_contrast)
        if everything.mean() <= self._settings.budget:
            return everything, False
        ordered = np.unique(cells[cells >= self._settings.least_contrast])
        low, high = 0, len(ordered)
        while low < high:
            middle = (low + high) // 2
            if active(float(ordered[middle])).mean() <= self._settings.budget:
                high = middle
            else:
                low = middle + 1
        return (active(float(ordered[low])) if low < len(ordered) else np.zeros_like(everything)), True
