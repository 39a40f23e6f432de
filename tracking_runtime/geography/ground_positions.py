"""Positions of boxes on the ground in meters, with covariance, by any map from pixels to the ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.boxes import as_boxes
from tracking_runtime.geography.tracks import Anchor, get_anchors

FloatArray = NDArray[np.float64]
ToGround = Callable[[FloatArray], FloatArray]
"""Function from pixels, (n, 2), to points on the ground in meters, (n, 2) or (n, 3); NaN off the ground."""

_STEP_PX = 0.5  # step of the numeric derivative


@dataclass(frozen=True)
class GroundPositions:
    """Positions of boxes on the ground.

    Attributes:
        points: position of each box in meters, (n, 2) or (n, 3); NaN off the ground.
        covariances: covariance of x and y, (n, 2, 2), in square meters.
        pixel_errors_m: standard deviation of each position by the pixel error alone, (n,), in meters.
    """

    points: FloatArray
    covariances: FloatArray
    pixel_errors_m: FloatArray

    def select(self, is_selected: NDArray[np.bool_]) -> GroundPositions:
        """Return the positions of a mask, (n,)."""
        return GroundPositions(
            self.points[is_selected], self.covariances[is_selected], self.pixel_errors_m[is_selected]
        )

    @property
    def is_located(self) -> NDArray[np.bool_]:
        """True for each box on the ground, (n,)."""
        return np.asarray(
            np.isfinite(self.points).all(axis=1) & np.isfinite(self.covariances).all(axis=(1, 2))
        )


def locate_boxes(
    boxes: ArrayLike, to_ground: ToGround, *, anchor: Anchor, pixel_error_px: float, size_error: float
) -> GroundPositions:
    """Locate boxes on the ground.

    Args:
        boxes: boxes in pixels, (n, 4).
        to_ground: map from pixels to the ground.
        anchor: point of a box that is on the ground.
        pixel_error_px: standard deviation of the anchor in pixels.
        size_error: standard deviation of the anchor as a fraction of the box's width and height.
    """
    rectangles = as_boxes(boxes)
    anchors = get_anchors(rectangles, anchor)
    steps = np.eye(2) * _STEP_PX
    shifted = [anchors, anchors + steps[0], anchors - steps[0], anchors + steps[1], anchors - steps[1]]
    points, right, left, below, above = np.split(to_ground(np.concatenate(shifted)), 5)
    derivatives = np.stack([right - left, below - above], axis=2)[:, :2] / (2 * _STEP_PX)
    deviations = np.hypot(pixel_error_px, size_error * rectangles[:, 2:])
    scaled = derivatives * deviations[:, None]
    pixel_errors_m = pixel_error_px * np.sqrt((derivatives**2).sum(axis=(1, 2)) / 2)
    return GroundPositions(points, scaled @ scaled.transpose(0, 2, 1), pixel_errors_m)
