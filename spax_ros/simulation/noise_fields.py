"""Random fields and polygons of landscapes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Image = NDArray[Any]  # uint8; the type that OpenCV's annotations allow
_SUBPIXEL_BITS = 4


def make_noise_field(
    rng: np.random.Generator, shape: tuple[int, int], coarsest: float, octaves: int
) -> NDArray[np.float32]:
    """Return smooth noise of about zero mean and unit spread, in the given shape.

    Octaves halve in size, with 0.6 of the amplitude.

    Args:
        rng: random generator.
        shape: rows and columns.
        coarsest: size of the largest structures in pixels.
        octaves: number of octaves.
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


def make_rectangle(center: Points, length: float, width: float, heading: float) -> Points:
    """Return the corners `(4, 2)` of a rectangle whose length points along `heading` (radians)."""
    along = np.array([np.cos(heading), np.sin(heading)])
    across = np.array([-along[1], along[0]])
    half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / 2
    return center + half[:, :1] * length * along + half[:, 1:] * width * across


def fill_polygon(image: Image, polygon: Points, color: tuple[float, ...]) -> None:
    """Draw a convex polygon in this project's pixel coordinates, antialiased."""
    fixed = np.round((polygon - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, color, cv2.LINE_AA, _SUBPIXEL_BITS)


def draw_polyline(image: Image, path: Points, color: tuple[float, ...], thickness: int) -> None:
    """Draw an open line in this project's pixel coordinates, antialiased."""
    fixed = np.round((path - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.polylines(image, [fixed.reshape(-1, 1, 2)], False, color, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def compute_convex_hull(points: Points) -> Points:
    """Return the convex hull of points as a polygon."""
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
