"""Where anything moves: the mask of active pixels, causal, under a budget, on a drifting platform.

The paper's mask compares a frame with the median of its window as if the camera stood still. Here the window
is registered first, the difference is weighed against noise and edges, what is faint counts once it has
lasted, and the threshold follows from how many pixels may be active. Motion is looked for at half the size of
the image; only where it is found, the difference is taken at the whole, from every sample itself, and only
where that confirms it, around it.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.background import IDENTITY, Background, GrayImage, Transform
from spax_ros.motion.contrast import CloseUp, FloatImage, Scratch, Surroundings, contrast
from tracking_runtime.boxes import Boxes, centres

LEAST_RESPONSE = 0.1  # of phase correlation, 0..1, from which its shift is believed
REGISTERED_SIDE = 1024  # of an image, from which it is registered at whole fractions of its size
MOST_NOISE = 20.0  # levels of brightness, beyond which the frame has little to do with those before
LASTING_FRAMES = 3  # after which something faint counts
NEVER_HALVED = sys.maxsize  # side from which images are halved: none
BEFORE_ANY_MOTION = 1e3  # contrast added where the network saw an object


@dataclass(frozen=True)
class MotionSettings:
    """How the mask is made.

    Attributes:
        window: frames that the background is taken from, seven of them in all.
        budget: largest share of the pixels that may be active.
        least_budget_px: pixels that may be active in any case: in a small image a share of it is few.
        least_contrast: difference, in units of its own noise, below which nothing counts as motion.
        certain_contrast: difference that counts at once; a lesser one counts where it lasts.
        edge_tolerance_px: registration error that an edge is forgiven.
        surroundings_px: side of the square whose mean change and unrest a pixel is weighed against.
        heat: previous heat above which a pixel stays active (SPAX: 0.2).
        cell_px: side of the square cells that are active or not as a whole.
        halved_side_px: longer side of an image from which motion is looked for at half its size.
    """

    window: int = 20
    budget: float = 0.06
    least_budget_px: int = 25_000
    least_contrast: float = 3.0
    certain_contrast: float = 4.0
    edge_tolerance_px: float = 0.25
    surroundings_px: int = 20
    heat: float = 0.2
    cell_px: int = 8
    halved_side_px: int = 256


@dataclass(frozen=True)
class MotionFrame:
    """What moved in one frame.

    Attributes:
        mask: ``(height, width)`` bool, the active pixels.
        residual: ``(height, width)`` float32, difference from the background in units of its noise; in
            images that are halved, 0 where nothing is active.
        transform: ``(2, 3)`` from the previous frame's pixels to this one's.
        active_share: share of the pixels that are active.
        saturated: whether the budget left out something that moved, or hardly anything stood still.
    """

    mask: NDArray[np.bool_]
    residual: NDArray[np.float32]
    transform: NDArray[np.float64]
    active_share: float
    saturated: bool


def register(previous: GrayImage, current: GrayImage) -> Transform:
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


def reduced(gray: GrayImage) -> tuple[GrayImage, int]:
    """An image for registration, and how many of its pixels' sides are one side there."""
    factor = -(-max(gray.shape) // REGISTERED_SIDE)
    return at_fraction(gray, factor), factor


def enlarged(transform: Transform, factor: int) -> Transform:
    """A transform between reduced images as one between the images; pixel centres are whole numbers."""
    middle = (factor - 1) / 2
    result = transform.copy()
    result[:, 2] = factor * transform[:, 2] + middle - transform[:, :2] @ [middle, middle]
    return result


def lessened(transform: Transform, factor: int) -> Transform:
    """A transform between images as one between images reduced by a factor: ``enlarged`` the other way."""
    middle = (factor - 1) / 2
    result = transform.copy()
    result[:, 2] = (transform[:, 2] + transform[:, :2] @ [middle, middle] - middle) / factor
    return result


def at_fraction(gray: GrayImage, factor: int) -> GrayImage:
    """An image of which one pixel is the mean of ``factor`` times as many on each side.

    Rows and columns that do not fill a pixel are left out.
    """
    if factor == 1:
        return gray
    height, width = (side // factor for side in gray.shape)
    whole = gray[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def check_same_size(size: tuple[int, ...], gray: GrayImage) -> None:
    """Refuse a frame that does not fit those before.

    Raises:
        ValueError: it has another size.
    """
    if size != gray.shape:
        raise ValueError(f"frame of {gray.shape}, after frames of {size}")


def cell_maxima(values: NDArray[Any], side: int) -> NDArray[Any]:
    """``(ceil(height / side), ceil(width / side))`` the largest of each square cell, none below 0.

    Two passes over slices are thirty times as fast as one reduction over both axes.
    """
    height, width = values.shape
    below, right = -height % side, -width % side
    padded = values
    if below or right:
        padded = cv2.copyMakeBorder(values, 0, below, 0, right, cv2.BORDER_CONSTANT)
    rows = padded.reshape(-1, side, padded.shape[1]).max(axis=1)
    return np.asarray(np.maximum.reduce([rows[:, k::side] for k in range(side)]))


def with_neighbours(cells: GrayImage) -> GrayImage:
    """Each cell the largest of itself and the eight around it."""
    return cv2.dilate(cells, np.ones((3, 3), np.uint8))


def _cells_of(
    hot: NDArray[np.bool_], transform: Transform, side: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the square cells in which pixels lie that are moved by a transform."""
    points = cv2.findNonZero(hot.view(np.uint8))
    if points is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    moved = points.reshape(-1, 2) @ transform[:, :2].T + transform[:, 2]
    columns, rows = np.floor_divide(np.round(moved), side).astype(np.int64).T
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows[inside], columns[inside]


def _cores(boxes: Boxes, transform: Transform, side: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which square cells are under boxes moved by a transform, but for a cell's side at each border."""
    cells = np.zeros(shape, bool)
    moved = centres(boxes) @ transform[:, :2].T + transform[:, 2]
    reach = np.maximum(boxes[:, 2:] / 2 - side, 0)
    first = np.clip(np.floor_divide(moved - reach, side).astype(int), 0, None)
    last = np.floor_divide(moved + reach, side).astype(int)
    for (left, upper), (right, lower) in zip(first, last, strict=True):
        cells[upper : max(lower + 1, 0), left : max(right + 1, 0)] = True
    return cells


class MotionMask:
    """Follows the platform and says where anything moves on it."""

    def __init__(self, settings: MotionSettings | None = None) -> None:
        self._settings = settings or MotionSettings()
        self._background = Background(self._settings.window)
        self._whole_background = Background(self._settings.window)
        self.reset()

    def reset(self) -> None:
        """Forget every frame."""
        self._background.clear()
        self._whole_background.clear()
        self._size: tuple[int, ...] | None = None
        self._reduced: GrayImage | None = None
        self._lasted: NDArray[np.uint8] | None = None
        self._scratch: Scratch | None = None

    def update(
        self, gray: GrayImage, previous_heat: NDArray[Any] | None = None, previous_boxes: Boxes | None = None
    ) -> MotionFrame:
        """The mask of a frame.

        Args:
            gray: ``(height, width)``.
            previous_heat: ``(height, width)`` of 0..1, where the network saw objects in the previous frame.
            previous_boxes: ``(n, 4)`` x, y, width, height in pixels, what it saw there. All of them stays
                active: of a train that moves along itself only the ends differ from the background.

        Raises:
            ValueError: the frame has another size than the one before.
        """
        transform = self._follow(gray)
        factor = 1 if max(gray.shape) < self._settings.halved_side_px else 2
        residual, surroundings = self._contrast(at_fraction(gray, factor), transform, factor)
        hot = self._hot_cells(gray.shape, previous_heat, previous_boxes, transform)
        contrasts = cell_maxima(residual, self._settings.cell_px // factor)
        missing = [(0, whole - part) for whole, part in zip(hot.shape, contrasts.shape, strict=True)]
        moving, saturated = self._within_budget(self._lasting(np.pad(contrasts, missing)) + hot, gray.size)
        if factor > 1:
            moving, residual = self._close_up(gray, transform, surroundings, moving, hot)
        mask = self._pixels_of(with_neighbours(moving), gray.shape)
        saturated |= surroundings.noise > MOST_NOISE
        return MotionFrame(mask, residual, transform, np.count_nonzero(mask) / mask.size, saturated)

    def _follow(self, gray: GrayImage) -> Transform:
        if self._size is not None:
            check_same_size(self._size, gray)
        previous, (self._reduced, factor) = self._reduced, reduced(gray)
        self._size = gray.shape
        return IDENTITY if previous is None else enlarged(register(previous, self._reduced), factor)

    def _contrast(
        self, gray: GrayImage, transform: Transform, factor: int
    ) -> tuple[FloatImage, Surroundings]:
        """Of a frame at a fraction of its size, all of it."""
        settings = self._settings
        self._scratch = self._scratch or Scratch.like(gray)
        self._background.move_on(lessened(transform, factor))
        found = contrast(
            gray, self._background.at(gray), settings.surroundings_px // factor,
            settings.edge_tolerance_px / factor, self._scratch, smooth=2 // factor,
        )  # fmt: skip
        self._background.take_in(gray)
        return found

    def _close_up(
        self,
        gray: GrayImage,
        transform: Transform,
        surroundings: Surroundings,
        moving: GrayImage,
        hot: FloatImage,
    ) -> tuple[GrayImage, FloatImage]:
        """The cells that move at the whole size too, and its contrast in them and their neighbours."""
        settings = self._settings
        self._whole_background.move_on(transform)
        close_up = CloseUp(
            gray, self._whole_background.at_places, surroundings,
            cell_px=settings.cell_px, edge_tolerance_px=settings.edge_tolerance_px,
        )  # fmt: skip
        close_up.look_at(moving)
        confirmed, _ = self._within_budget(moving * (close_up.maxima + hot), gray.size)
        close_up.look_at(with_neighbours(confirmed))
        self._whole_background.take_in(gray)
        return confirmed, close_up.contrast

    def _pixels_of(self, cells: GrayImage, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        side = self._settings.cell_px
        size = (cells.shape[1] * side, cells.shape[0] * side)
        mask = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST)
        return mask[: shape[0], : shape[1]].view(bool)

    def _hot_cells(
        self, shape: tuple[int, ...], heat: NDArray[Any] | None, boxes: Boxes | None, transform: Transform
    ) -> FloatImage:
        """Contrast for the cells of an image to which the network's objects moved on with the platform."""
        settings = self._settings
        hot = np.zeros([-(-length // settings.cell_px) for length in shape], np.float32)
        if boxes is not None:
            hot[_cores(boxes, transform, settings.cell_px, hot.shape)] = settings.certain_contrast
        if heat is not None:
            hot[_cells_of(heat >= settings.heat, transform, settings.cell_px, hot.shape)] = BEFORE_ANY_MOTION
        return hot

    def _lasting(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """The contrast of cells, 0 where it is faint and was not there, or beside it, in the last frames.

        Noise rarely lasts. Without this the noise of a large image would fill the budget.
        """
        settings = self._settings
        faint = (cells >= settings.least_contrast).astype(np.uint8)
        lasted = faint
        if self._lasted is not None:
            lasted = faint * np.minimum(with_neighbours(self._lasted) + 1, LASTING_FRAMES).astype(np.uint8)
        self._lasted = lasted
        counts = (lasted == LASTING_FRAMES) | (cells >= settings.certain_contrast)
        return np.where(counts, cells, np.float32(0))

    def _within_budget(self, cells: FloatImage, pixels: int) -> tuple[GrayImage, bool]:
        """Cells that move, as many as may be active with their neighbours, and whether any were left out."""
        least = self._settings.least_contrast
        budget = max(self._settings.budget, self._settings.least_budget_px / pixels)

        def moving(threshold: float) -> GrayImage:
            return (cells >= threshold).astype(np.uint8)

        def fits(threshold: float) -> bool:
            return bool(with_neighbours(moving(threshold)).mean() <= budget)

        if fits(least):
            return moving(least), False
        ordered = np.append(np.unique(cells[cells >= least]), np.inf)
        return moving(ordered[bisect_left(ordered, True, key=fits)]), True
