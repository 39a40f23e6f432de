"""Matched filter: angles between spectra in a space in which their background has no preferred direction.

The adaptive cosine estimator (ACE) compares directions from the mean of the background, after its covariance
is made white. A difference counts more in a direction in which the background varies little (Kraut, Scharf,
McWhorter, "Adaptive Subspace Detectors", 2001). The covariance is shrunk, so that few pixels are enough
for many bands (Ledoit, Wolf, "A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices", 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.spectral_angles import compute_spectral_angles

Floats = NDArray[np.float64]

_MIN_VARIANCE = 1e-6  # variance of every direction of a background; bounds the whitening of constant bands


@dataclass(frozen=True)
class Background:
    """Distribution of the spectra around a target.

    Attributes:
        mean: mean spectrum `(bands,)`.
        whitening: matrix `(bands, bands)` that maps a difference of spectra to deviations of the background.
    """

    mean: Floats
    whitening: Floats

    @classmethod
    def estimate(cls, spectra: NDArray[Any]) -> Background:
        """Estimate the distribution from spectra `(n, bands)`. Spectra that are not finite are left out.

        Raises:
            ValueError: no spectrum is finite.
        """
        values = np.asarray(spectra, np.float64)
        finite = values[np.isfinite(values).all(axis=1)]
        if not len(finite):
            raise ValueError(f"spectra must contain a finite spectrum: got {len(values)} without one")
        covariance = estimate_shrunk_covariance(finite) + _MIN_VARIANCE * np.eye(values.shape[1])
        return cls(finite.mean(axis=0), np.linalg.cholesky(np.linalg.inv(covariance)))

    @classmethod
    def make_white(cls, num_bands: int) -> Background:
        """Return a background of zero mean without preferred direction."""
        return cls(np.zeros(num_bands), np.eye(num_bands))

    def compute_angles(self, spectra: NDArray[Any], references: NDArray[Any]) -> Floats:
        """Return the angles `(n, m)` in radians between spectra in the white space of the background.

        0: the direction of the reference; a right angle: nothing in common. Spectra within a deviation of the
        mean have no certain direction. The angles between them are small.

        Args:
            spectra: spectra `(n, bands)`.
            references: spectra `(m, bands)` to compare with.
        """
        return compute_spectral_angles(self._whiten(spectra), self._whiten(references))

    def _whiten(self, spectra: NDArray[Any]) -> Floats:
        """Return white spectra `(n, bands + 1)`. The last value bounds the angles at the mean."""
        whitened = (np.asarray(spectra, np.float64) - self.mean) @ self.whitening
        return np.column_stack([whitened, np.ones(len(whitened))])


def estimate_shrunk_covariance(spectra: NDArray[Any]) -> Floats:
    """Return the covariance `(bands, bands)` of finite spectra `(n, bands)`, shrunk to a scaled unit matrix.

    The weight of the unit matrix minimizes the expected squared error. One spectrum has a covariance of zero.
    """
    values = np.asarray(spectra, np.float64)
    count, num_bands = values.shape
    centered = values - values.mean(axis=0)
    sample = centered.T @ centered / count
    mean_variance = float(sample.trace()) / num_bands
    # Squared Frobenius norms: of the distance to the target of the shrinkage, and of the sample's own error.
    distance = float(np.square(sample - mean_variance * np.eye(num_bands)).sum())
    fourth_moment = float(np.square(np.square(centered).sum(axis=1)).mean())
    error = (fourth_moment - float(np.square(sample).sum())) / count
    weight = min(max(error, 0.0) / distance, 1.0) if distance > 0 else 1.0
    shrunk: Floats = (1 - weight) * sample + weight * mean_variance * np.eye(num_bands)
    return shrunk
