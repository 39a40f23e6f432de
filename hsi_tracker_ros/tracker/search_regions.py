"""Squares around a box: the template region and the search region. Checks of the box of a new target."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi_tracker_ros.hanet.crops import SIAMBAN_GEOMETRY, CropGeometry, SquareCrop
from tracking_runtime.boxes import clip_to_image
from tracking_runtime.errors import TargetRefusedError


def make_template_region(box: NDArray[np.float64], geometry: CropGeometry = SIAMBAN_GEOMETRY) -> SquareCrop:
    """Return the region around a box that a template shows."""
    return geometry.make_template_crop(box)


def make_search_region(
    box: NDArray[np.float64],
    displacement: Iterable[float] = (0.0, 0.0),
    geometry: CropGeometry = SIAMBAN_GEOMETRY,
) -> SquareCrop:
    """Return the region around a box that is searched, moved by a displacement in pixels."""
    return geometry.make_search_crop(box).translate(*displacement).round_to_eighths()


def validate_box(box: ArrayLike, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the box of a new target as an array ``(4,)``.

    Args:
        box: x, y, width, height in pixels.
        image_size: width and height of the image in pixels.

    Raises:
        TargetRefusedError: the box is empty, not finite or outside the image.
    """
    checked = np.array(box, dtype=np.float64).reshape(-1)
    if checked.shape != (4,) or not np.isfinite(checked).all():
        raise TargetRefusedError(
            f"box must be four finite numbers x, y, width, height: got {np.asarray(box).tolist()}"
        )
    if (checked[2:] <= 0).any():
        raise TargetRefusedError(f"box must have a positive size: got {checked[2]:g} x {checked[3]:g} pixels")
    width, height = image_size
    if (clip_to_image(checked, width, height)[0, 2:] <= 0).any():
        raise TargetRefusedError(
            f"box is outside the image: got {checked.tolist()}, the image has {width} x {height} pixels"
        )
    return checked
