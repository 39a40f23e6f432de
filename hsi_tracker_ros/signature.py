"""The spectral signature of a target: whether a box holds it, and where in a frame it may be.

Spectra are relative to the mean of their frame in each band, so that a change of the light's colour or
strength changes them little. A box's is compared by the spectral angle (Kruse et al., Remote Sensing of
Environment, 1993). In a whole frame the target is what differs from it least where the frame itself varies
least: a Mahalanobis distance by the frame's own covariance, as in the RX detector (Reed and Yu, 1990).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Floats = NDArray[np.float32]

_CORE = 0.6
_SMALLEST_CELL = 4
_DARKEST = 1e-3
_SURELY_BELOW = 0.95
"""A mean below this share of the ceiling is of few saturated samples, if any."""
_LOADING = 1e-3
"""Share of the mean variance that every direction of a frame's covariance has at least."""


class Signature:
    """What a target looks like in all bands: ``(bands,)``, relative to the frame's mean.

    ``ceiling`` is always what a saturated sample is in each band, ``(bands,)``: where the target would be
    brighter than that in a frame, it looks so bright and tells no more.
    """

    def __init__(self, spectrum: Floats) -> None:
        self._reference = spectrum.astype(np.float64)

    def angles(self, spectra: NDArray[Any], ceiling: Floats) -> NDArray[np.float64]:
        """Angle in radians between the target's spectrum and each of ``(..., bands)``."""
        return spectral_angle(spectra, np.minimum(self._reference, ceiling))

    def distances(self, spectra: NDArray[Any], ceiling: Floats) -> NDArray[np.float64]:
        """Between the target's spectrum and each of ``(n, bands)``, in deviations among them all.

        Logarithms are compared, of which a change of light takes a constant.
        """
        logs = np.log(np.maximum(spectra, _DARKEST, dtype=np.float64))
        covariance = np.atleast_2d(np.cov(logs.T, bias=True))
        spread = covariance.trace() / len(covariance)
        loaded = covariance + max(_LOADING * spread, _DARKEST**2) * np.eye(len(covariance))
        reference = np.log(np.maximum(np.minimum(self._reference, ceiling), _DARKEST))
        inverse = np.linalg.inv(loaded)
        return np.asarray(cdist(logs, reference[None], "mahalanobis", VI=inverse))[:, 0]

    def learn(self, spectrum: Floats, ceiling: Floats, rate: float) -> None:
        """Follow the slow change of a target that is surely seen, by this share of the newest spectrum."""
        known = spectrum < _SURELY_BELOW * ceiling
        self._reference[known] += rate * (spectrum - self._reference)[known]


def spectral_angle(spectra: NDArray[Any], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle in radians between each of ``(..., bands)`` and ``(bands,)``; pi / 2 where there is no light."""
    lengths = np.linalg.norm(spectra, axis=-1) * np.linalg.norm(reference)
    cosines = (spectra @ reference) / np.where(lengths > 0, lengths, np.inf)
    return np.arccos(np.clip(cosines, -1, 1))


def core_spectrum(cube: NDArray[Any], box: NDArray[np.float64], black: float, means: Floats) -> Floats:
    """Mean spectrum of the middle of a box, ``(bands,)``, relative to the frame; of the part that is inside.

    It is zero, at a right angle to everything, where the whole middle lies outside the image.

    Args:
        cube: ``(height, width, bands)``.
        box: x, y, width, height in pixels.
        black: value of no light.
        means: ``(bands,)`` mean of the frame above black.
    """
    centre, half = box[:2] + box[2:] / 2, np.maximum(box[2:] * _CORE / 2, 0.5)
    (left, top), (right, bottom) = np.floor(centre - half), np.ceil(centre + half)
    core = cube[max(int(top), 0) : max(int(bottom), 0), max(int(left), 0) : max(int(right), 0)]
    if not core.size:
        return np.zeros_like(means)
    spectrum: Floats = (core.mean(axis=(0, 1), dtype=np.float32) - black) / means
    return spectrum


def likely_places(
    cube: NDArray[Any],
    size: NDArray[np.float64],
    signature: Signature,
    black: float,
    means: Floats,
    ceiling: Floats,
    count: int,
) -> NDArray[np.float64]:
    """Centres ``(n, 2)`` in pixels, best first, of the ``count`` cells of a frame whose spectra fit best.

    Args:
        cube: ``(height, width, bands)``.
        size: width and height of the target in pixels; cells are half as large, and no two places are closer
            than it.
        signature: of the target.
        black: value of no light.
        means: ``(bands,)`` mean of the frame above black.
        ceiling: ``(bands,)`` what a saturated sample is, relative to the mean.
        count: of places at most.
    """
    height, width, bands = cube.shape
    cell = int(np.clip(size.min() / 2, _SMALLEST_CELL, min(height, width)))
    rows, columns = height // cell, width // cell
    blocks = cube[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell, bands)
    spectra = (blocks.mean(axis=(1, 3), dtype=np.float32) - black) / means
    misfit = signature.distances(spectra.reshape(-1, bands), ceiling).reshape(rows, columns)
    apart = max(math.ceil(size.max() / cell), 1)
    places: list[tuple[float, float]] = []
    while len(places) < count and np.isfinite(misfit).any():
        row, column = np.unravel_index(int(misfit.argmin()), misfit.shape)
        places.append(((column + 0.5) * cell, (row + 0.5) * cell))
        misfit[max(row - apart + 1, 0) : row + apart, max(column - apart + 1, 0) : column + apart] = np.inf
    return np.array(places, dtype=np.float64).reshape(-1, 2)
