"""Matching of a camera's bands to a model's bands by wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import TrackingError
from tracking_runtime.spectral_info import SpectralInfo

TOLERANCE_NM = 20.0  # largest distance of a wavelength from a band of unknown width
_SAME_NM = 0.5  # bands closer than this are equal


class CameraMismatchError(TrackingError, ValueError):
    """A camera without bands that a model needs. The message lists the wavelengths."""


class BandMatcher:
    """A linear interpolation of a camera's cubes to the wavelengths of a model.

    Cubes pass without a copy if the camera has the model's wavelengths in the same order.

    Args:
        camera: the camera of the cubes.
        wavelengths_nm: wavelengths of the model in nm, in the model's order.
        tolerance_nm: largest distance in nm of a wavelength from its nearest band, at least half the width of
            the band.

    Attributes:
        matrix: weights, `(camera bands, model bands)`. Each column sums to 1.
        is_identity: True if cubes pass unchanged.

    Raises:
        CameraMismatchError: a wavelength is too far from all bands.
    """

    def __init__(
        self, camera: SpectralInfo, wavelengths_nm: Sequence[float], tolerance_nm: float = TOLERANCE_NM
    ) -> None:
        camera_nm = np.array(camera.wavelengths_nm, dtype=np.float64)
        model_nm = np.array(wavelengths_nm, dtype=np.float64)
        half_width = np.array(camera.fwhm_nm) / 2 if camera.fwhm_nm else np.zeros(len(camera_nm))
        distance = np.abs(model_nm[:, None] - camera_nm[None])
        missing = model_nm[(distance > np.maximum(half_width, tolerance_nm)[None]).all(axis=1)]
        if len(missing):
            raise CameraMismatchError(
                f"the camera's {len(camera_nm)} bands ({camera_nm.min():g} to {camera_nm.max():g} nm) do not "
                f"cover {', '.join(f'{nm:g}' for nm in missing)} nm, which the model needs; "
                "use a model for this camera or for any camera"
            )
        self.is_identity = len(camera_nm) == len(model_nm) and bool(
            np.allclose(camera_nm, model_nm, rtol=0, atol=_SAME_NM)
        )
        self.matrix = (
            np.eye(len(camera_nm), dtype=np.float32)
            if self.is_identity
            else _make_interpolation_matrix(camera_nm, model_nm)
        )

    def __call__(self, cube: NDArray[Any]) -> NDArray[Any]:
        """Convert cubes `(..., camera bands)` to `(..., model bands)`; float32 unless they pass unchanged."""
        if self.is_identity:
            return cube
        flat = cube.reshape(-1, cube.shape[-1]).astype(np.float32, copy=False)
        matched: NDArray[np.float32] = flat @ self.matrix
        return matched.reshape(*cube.shape[:-1], -1)


def _make_interpolation_matrix(
    camera_nm: NDArray[np.float64], model_nm: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return weights (camera bands, model bands) of a linear interpolation, constant beyond the ends.

    Bands of equal wavelength are averaged.
    """
    knots, knot_of_band, count = np.unique(np.round(camera_nm, 1), return_inverse=True, return_counts=True)
    at_knots = np.stack([np.interp(model_nm, knots, row) for row in np.eye(len(knots))])
    return (at_knots[knot_of_band] / count[knot_of_band, None]).astype(np.float32)
