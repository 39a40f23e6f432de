"""Images of the dead leaves model, whose statistics are those of photographs.

Opaque shapes with radii from a cubic power law cover each other (Lee, Mumford and Huang, "Occlusion Models
for Natural Images", 2001). Their images have the power spectrum, the edges and the scale invariance of
natural images. The shapes are shaded and have a fractal texture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.textures import make_fractal_noise

_SUPERSAMPLING = 2  # pixels of the drawing along each side of a pixel of the image
_MIN_RADIUS_PX = 3.0
_MAX_RADIUS = 0.35  # radius of the largest shape as a fraction of the image's shorter side
_COVERAGE = 2.0  # area of all shapes, in areas of the image
_PALETTE_SIZE = 10
_SATURATIONS = (0.1, 0.8)  # factors of the distance of a color from gray; natural colors are muted
_TEXTURE_OCTAVES = 7
_TEXTURE_PERSISTENCE = 0.85  # near 1: equal contrast at all scales


def make_dead_leaves(
    rng: np.random.Generator, size: tuple[int, int], colors: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return an image of linear colors, `(rows, columns, 3)`.

    Args:
        rng: random generator.
        size: number of columns and rows.
        colors: linear colors `(n, 3)` of which the image has a few.
    """
    columns, rows = (side * _SUPERSAMPLING for side in size)
    radii = _draw_radii(rng, columns, rows)
    leaves = np.zeros((rows, columns), np.int32)
    for number, radius in enumerate(radii.tolist(), start=1):
        center = (int(rng.integers(0, columns)), int(rng.integers(0, rows)))
        ratio = float(np.exp(rng.uniform(-0.9, 0.9)))
        axes = (radius * np.sqrt(ratio), radius / np.sqrt(ratio))
        angle = float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            outline = (max(round(axes[0]), 1), max(round(axes[1]), 1))
            cv2.ellipse(leaves, center, outline, angle, 0, 360, number, cv2.FILLED)
        else:
            corners = cv2.boxPoints((center, (2 * axes[0], 2 * axes[1]), angle))
            cv2.fillConvexPoly(leaves, np.round(corners).astype(np.int32), number)
    image = _color_leaves(rng, leaves, len(radii) + 1, colors)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _draw_radii(rng: np.random.Generator, columns: int, rows: int) -> NDArray[np.float64]:
    """Return the radii of enough shapes in pixels, with a density of the radius to the power of -3."""
    smallest = _MIN_RADIUS_PX * _SUPERSAMPLING
    largest = max(_MAX_RADIUS * min(rows, columns), 2 * smallest)
    mean_area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    count = int(np.ceil(_COVERAGE * rows * columns / mean_area))
    squares = smallest**-2 + rng.random(count) * (largest**-2 - smallest**-2)
    return np.asarray(1 / np.sqrt(squares), np.float64)


def _color_leaves(
    rng: np.random.Generator, leaves: NDArray[np.int32], count: int, colors: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the colors of shapes, whose numbers are below `count`, with texture and shading."""
    rows, columns = leaves.shape
    palette = colors[rng.integers(0, len(colors), _PALETTE_SIZE)]
    gray = palette.mean(axis=1, keepdims=True)
    palette = gray + rng.uniform(*_SATURATIONS, (_PALETTE_SIZE, 1)) * (palette - gray)
    brightness = np.exp(rng.normal(0, 0.35, (count, 1)))
    leaf_colors = (palette[rng.integers(0, _PALETTE_SIZE, count)] * brightness).astype(np.float32)
    contrast = np.abs(rng.normal(0, 0.16, count)).astype(np.float32)
    period = 0.5 * min(rows, columns)
    texture = make_fractal_noise(rng, rows, columns, period, _TEXTURE_OCTAVES, _TEXTURE_PERSISTENCE)
    shading = make_fractal_noise(rng, rows, columns, 0.8 * min(rows, columns), 3)
    factor = np.exp(contrast[leaves] * texture + np.float32(0.2) * shading)
    return np.clip(leaf_colors[leaves] * factor[..., None], 0, 1).astype(np.float32)
