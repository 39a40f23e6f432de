"""Spectra of tracks: a running mean of each, and its distance from the spectra of detections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, to_corners

Spectra = NDArray[np.float64]
"""Mean spectrum of each box, ``(n, bands)``; no bands: unknown."""

FULL_COST_ANGLE_RAD = 0.15  # angle between two spectra with the cost 1
_UPDATE_RATE = 0.15  # weight of a new spectrum in the running mean


def make_unknown_spectra(number: int) -> Spectra:
    """Return spectra without bands."""
    return np.zeros((number, 0))


def compute_box_spectra(cube: NDArray[np.generic], boxes: Boxes) -> Spectra:
    """Return the mean spectrum of the pixels in each box, ``(n, bands)``.

    Args:
        cube: cube ``(height, width, bands)``.
        boxes: boxes x, y, width, height, ``(n, 4)``. A box without a pixel gets the spectrum of its
            nearest pixel.
    """
    height, width, bands = cube.shape
    corners = np.round(to_corners(boxes)).astype(int)
    spectra = np.empty((len(boxes), bands))
    for index, (left, top, right, bottom) in enumerate(corners.tolist()):
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        right, bottom = min(max(right, left + 1), width), min(max(bottom, top + 1), height)
        spectra[index] = cube[top:bottom, left:right].reshape(-1, bands).mean(axis=0, dtype=np.float64)
    return spectra


def compute_spectral_cost(first: Spectra, second: Spectra) -> NDArray[np.float64]:
    """Return the cost ``(n,)`` of each pair of spectra: their angle, 1 from `FULL_COST_ANGLE_RAD` on."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / np.maximum(norms, 1e-12)
    return np.minimum(np.arccos(np.clip(cosines, -1, 1)) / FULL_COST_ANGLE_RAD, 1.0)


class SpectralMemory:
    """Running mean of the spectrum of each track, by its id."""

    def __init__(self) -> None:
        self._spectra: dict[int, NDArray[np.float64]] = {}

    def compute_costs(self, ids: NDArray[np.int64], spectra: Spectra) -> NDArray[np.float64]:
        """Return the spectral cost ``(n,)`` of tracks with spectra; NaN for a track without a spectrum."""
        costs = np.full(len(ids), np.nan)
        known = [index for index, track_id in enumerate(ids.tolist()) if track_id in self._spectra]
        if known:
            remembered = np.stack([self._spectra[int(ids[index])] for index in known])
            costs[known] = compute_spectral_cost(remembered, spectra[known])
        return costs

    def update(self, ids: NDArray[np.int64], spectra: Spectra) -> None:
        """Add the spectra ``(n, bands)`` of detected tracks to their means."""
        for track_id, spectrum in zip(ids.tolist(), spectra, strict=True):
            mean = self._spectra.get(track_id)
            self._spectra[track_id] = (
                spectrum.copy() if mean is None else mean + _UPDATE_RATE * (spectrum - mean)
            )

    def keep(self, ids: NDArray[np.int64]) -> None:
        """Forget all tracks but these."""
        kept = set(ids.tolist())
        self._spectra = {key: value for key, value in self._spectra.items() if key in kept}
