"""Angles between spectra, which do not depend on brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def compute_spectral_angles(spectra: NDArray[Any], references: NDArray[Any]) -> NDArray[np.float64]:
    """Return the angles `(n, m)` in radians between spectra `(n, bands)` and references `(m, bands)`.

    The angle to a spectrum of zeros is a right angle.
    """
    cosines = _normalize(spectra) @ _normalize(references).T
    angles: NDArray[np.float64] = np.arccos(np.clip(cosines, -1, 1))
    return angles


def _normalize(spectra: NDArray[Any]) -> NDArray[np.float64]:
    vectors = np.asarray(spectra, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
