"""Contrast of a box against its surroundings: whether a box that a user drew holds anything distinct."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_CONTRAST = 0.6
"""Contrast below which a box holds nothing distinct, in standard deviations of its surroundings."""
_BAND = 0.25  # width of the bands inside and outside of a border, in short sides of the box
_MIN_BAND_PX = 2.0
_SURROUNDINGS = 3.0  # side of the surroundings in sides of the box
_MAX_SAMPLES = 4000  # pixels of the surroundings that are used
_LOADING = 0.05  # fraction of the mean variance that is added to the variance of each band


def compute_contrast(cube: NDArray[Any], box: ArrayLike) -> float:
    """Return the contrast of a box: the median over its sides of the step across the border.

    A step is the Mahalanobis distance between the mean spectra just inside and just outside of the border, by
    the covariance of the surroundings, divided by the root of the number of bands that vary independently.

    Args:
        cube: cube, or BGR image, (height, width, bands).
        box: x, y, width, height in pixels, at least partly inside of the cube.

    Returns:
        The contrast in standard deviations; infinity if no side is inside of the cube.
    """
    x, y, width, height = np.asarray(box, np.float64)
    band = max(_MIN_BAND_PX, _BAND * min(width, height))
    right, bottom = x + width, y + height
    sides = [
        ((x, y, x + band, bottom), (x - band, y, x, bottom)),
        ((right - band, y, right, bottom), (right, y, right + band, bottom)),
        ((x, y, right, y + band), (x, y - band, right, y)),
        ((x, bottom - band, right, bottom), (x, bottom, right, bottom + band)),
    ]
    margin_x, margin_y = (_SURROUNDINGS - 1) / 2 * width, (_SURROUNDINGS - 1) / 2 * height
    around = _cut(cube, (x - margin_x, y - margin_y, right + margin_x, bottom + margin_y))
    around = around[:: max(len(around) // _MAX_SAMPLES, 1)]
    if len(around) < 2:
        return float("inf")
    covariance = np.atleast_2d(np.cov(around, rowvar=False))
    dimensions = max(np.trace(covariance) ** 2 / max((covariance**2).sum(), 1e-12), 1.0)
    covariance += np.eye(len(covariance)) * (_LOADING * np.trace(covariance) / len(covariance) + 1e-9)
    steps = []
    for inner, outer in sides:
        inside, outside = _cut(cube, inner), _cut(cube, outer)
        if len(inside) and len(outside):
            difference = inside.mean(axis=0) - outside.mean(axis=0)
            distance = difference @ np.linalg.solve(covariance, difference) / dimensions
            steps.append(np.sqrt(max(distance, 0.0)))
    return float(np.median(steps)) if steps else float("inf")


def _cut(cube: NDArray[Any], corners: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Return the pixels between left, top, right and bottom, (n, bands)."""
    left, top, right, bottom = corners
    rows = slice(max(int(top), 0), max(int(np.ceil(bottom)), 0))
    columns = slice(max(int(left), 0), max(int(np.ceil(right)), 0))
    return cube[rows, columns].reshape(-1, cube.shape[2]).astype(np.float64)
