"""A camera's bands as a model wants them: matched by wavelength, not by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.spectral_info import SpectralInfo

TOLERANCE_NM = 20.0
_SAME_NM = 0.5


class CameraMismatch(ValueError):
    """A camera doesn't see what a model needs. The message lists the wavelengths."""


class BandMatcher:
    """Maps cubes of a camera to a model's wavelengths by linear interpolation between neighbouring bands.

    Where the camera has the model's wavelengths in the model's order nothing is computed or copied.

    Args:
        camera: whose cubes come in.
        wavelengths_nm: that the model wants, in its order.
        tolerance_nm: how far from its nearest band a wavelength may be; never less than that band reaches,
            which is half its width.

    Attributes:
        matrix: ``(camera bands, model bands)``; each column sums to 1.
        identity: whether cubes pass as they are.

    Raises:
        CameraMismatch: some wavelengths are too far from every band.
    """

    def __init__(
        self, camera: SpectralInfo, wavelengths_nm: Sequence[float], tolerance_nm: float = TOLERANCE_NM
    ) -> None:
        have = np.array(camera.wavelengths_nm, dtype=np.float64)
        want = np.array(wavelengths_nm, dtype=np.float64)
        reach = np.array(camera.fwhm_nm) / 2 if camera.fwhm_nm else np.zeros(len(have))
        distance = np.abs(want[:, None] - have[None])
        missing = want[(distance > np.maximum(reach, tolerance_nm)[None]).all(axis=1)]
        if len(missing):
            raise CameraMismatch(
                f"the camera's {len(have)} bands ({have.min():g} to {have.max():g} nm) don't cover "
                f"{', '.join(f'{nm:g}' for nm in missing)} nm, which the model needs; "
                "use a model for this camera, or one for any camera"
            )
        self.identity = len(have) == len(want) and bool(np.allclose(have, want, rtol=0, atol=_SAME_NM))
        self.matrix = np.eye(len(have), dtype=np.float32) if self.identity else _interpolation(have, want)

    def __call__(self, cube: NDArray[Any]) -> NDArray[Any]:
        """``(..., camera bands)`` to ``(..., model bands)``, float32 unless it passes as it is."""
        if self.identity:
            return cube
        flat = cube.reshape(-1, cube.shape[-1]).astype(np.float32, copy=False)
        matched: NDArray[np.float32] = flat @ self.matrix
        return matched.reshape(*cube.shape[:-1], -1)


def _interpolation(have: NDArray[np.float64], want: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weights of linear interpolation; constant beyond the ends, bands of one wavelength averaged."""
    knots, knot_of_band, count = np.unique(np.round(have, 1), return_inverse=True, return_counts=True)
    at_knots = np.stack([np.interp(want, knots, row) for row in np.eye(len(knots))])
    return (at_knots[knot_of_band] / count[knot_of_band, None]).astype(np.float32)
