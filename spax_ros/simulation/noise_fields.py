"""Random fields and polygons from which landscapes are made."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Image = NDArray[Any]  # uint8; the type that OpenCV's annotations allow
_SUBPIXEL_BITS = 4


def noise_field(
    rng: np.random.Generator, shape: tuple[int, int], coarsest: float, octaves: int
) -> NDArray[np.float32]:
    """Smooth noise of about zero mean and unit spread, each octave half as coarse and 0.6 times as strong.

    Args:
        rng: source of chance.
        shape: rows and columns.
        coarsest: size in pixels of the largest structures.
        octaves: how many sizes of structure are laid over each other.
    """
    rows, columns = shape
    field = np.zeros(shape, np.float32)
    variance = 0.0
    for octave in range(octaves):
        cell = max(coarsest / 2**octave, 1.0)
        grid = rng.standard_normal((int(rows / cell) + 3, int(columns / cell) + 3), dtype=np.float32)
        strength = 0.6**octave
        smooth = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        field += strength * smooth[:rows, :columns]
        variance += strength**2 * (0.5 if cell > 1 else 1.0)
    return field / np.float32(np.sqrt(variance))


def rectangle(centre: Points, length: float, width: float, heading: float) -> Points:
    """``(4, 2)`` corners of a rectangle whose length points along ``heading`` (radians)."""
    along = np.array([np.cos(heading), np.sin(heading)])
    across = np.array([-along[1], along[0]])
    half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / 2
    return centre + half[:, :1] * length * along + half[:, 1:] * width * across


def fill(image: Image, polygon: Points, colour: tuple[float, ...]) -> None:
    """Draw a convex polygon, given in this project's pixel coordinates, antialiased."""
    fixed = np.round((polygon - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, colour, cv2.LINE_AA, _SUBPIXEL_BITS)


def stroke(image: Image, path: Points, colour: tuple[float, ...], thickness: int) -> None:
    """Draw an open line, given in this project's pixel coordinates, antialiased."""
    fixed = np.round((path - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.polylines(image, [fixed.reshape(-1, 1, 2)], False, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def hull(points: Points) -> Points:
    """Convex hull of points, as a polygon."""
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
