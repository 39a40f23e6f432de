"""Raw mosaics to cubes and back: each period of filters is one pixel of the cube, as HOT's X2Cube."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.spectral_info import SpectralInfo


def to_cube(raw: NDArray[Any], camera: SpectralInfo) -> NDArray[Any]:
    """The cube of a raw mosaic; its samples are copied once.

    Args:
        raw: ``(rows * p, columns * q)`` with the p x q filters of ``camera.mosaic``.
        camera: whose ``band_order`` gives the channel of each filter; a channel that the camera doesn't have
            marks a filter that is left out.

    Returns:
        ``(rows, columns, bands)``.

    Raises:
        FrameRefused: the image is not a whole number of periods.
    """
    p, q = _period(camera)
    height, width = raw.shape
    if height % p or width % q:
        raise FrameRefusedError(
            f"a raw mosaic of {width} x {height} pixels is not a whole number of periods of {q} x {p}; "
            "crop it to the camera's filter area"
        )
    rows, columns = height // p, width // q
    # Runs of q samples are moved as one element each, which is three times as fast as sample by sample.
    runs = np.ascontiguousarray(raw).view(np.dtype((np.void, q * raw.itemsize))).reshape(rows, p, columns)
    filters = np.ascontiguousarray(runs.transpose(0, 2, 1)).view(raw.dtype).reshape(rows, columns, p * q)
    order = filters_of_bands(camera)
    return filters if order == tuple(range(p * q)) else filters[..., order]


def from_cube(cube: NDArray[Any], camera: SpectralInfo) -> NDArray[Any]:
    """The raw mosaic of a cube: the inverse of ``to_cube``, with 0 at filters that it leaves out."""
    p, q = _period(camera)
    rows, columns, _ = cube.shape
    filters = np.zeros((rows, columns, p * q), dtype=cube.dtype)
    filters[..., filters_of_bands(camera)] = cube
    return filters.reshape(rows, columns, p, q).transpose(0, 2, 1, 3).reshape(rows * p, columns * q)


def filters_of_bands(camera: SpectralInfo) -> tuple[int, ...]:
    """Place in the period, counted row by row, of the filter of each band.

    Raises:
        FrameRefused: a band has no filter, or two.
    """
    p, q = _period(camera)
    bands = range(len(camera.wavelengths_nm))
    order = camera.band_order or tuple(range(p * q))
    if sorted(channel for channel in order if channel in bands) != list(bands):
        raise FrameRefusedError(f"band_order {order} does not give each of {len(bands)} bands one filter")
    return tuple(order.index(band) for band in bands)


def _period(camera: SpectralInfo) -> tuple[int, int]:
    if camera.mosaic is None:
        raise FrameRefusedError(
            "a raw image, but its camera has no mosaic; give mosaic rows and columns in SpectralInfo"
        )
    return camera.mosaic
