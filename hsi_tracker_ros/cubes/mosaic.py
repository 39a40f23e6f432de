"""Raw mosaics to cubes and back. Each period of filters is one pixel of the cube, as in HOT's X2Cube."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.spectral_info import SpectralInfo


def convert_mosaic_to_cube(raw: NDArray[Any], camera: SpectralInfo) -> NDArray[Any]:
    """Convert a raw mosaic to a cube, with one copy of the samples.

    Args:
        raw: the mosaic, `(rows * p, columns * q)`, with the p x q filters of `camera.mosaic`.
        camera: the camera. Its `band_order` gives the band of each filter. Filters of other bands are
            omitted.

    Returns:
        The cube, `(rows, columns, bands)`.

    Raises:
        FrameRefusedError: the image is not a whole number of periods.
    """
    p, q = _get_mosaic_size(camera)
    height, width = raw.shape
    if height % p or width % q:
        raise FrameRefusedError(
            f"the raw mosaic of {width} x {height} pixels is not a whole number of periods of {q} x {p}; "
            "crop it to the camera's filter area"
        )
    rows, columns = height // p, width // q
    # Moving runs of q samples as one element is three times as fast as moving single samples.
    runs = np.ascontiguousarray(raw).view(np.dtype((np.void, q * raw.itemsize))).reshape(rows, p, columns)
    filters = np.ascontiguousarray(runs.transpose(0, 2, 1)).view(raw.dtype).reshape(rows, columns, p * q)
    order = find_band_filters(camera)
    return filters if order == tuple(range(p * q)) else filters[..., order]


def convert_cube_to_mosaic(cube: NDArray[Any], camera: SpectralInfo) -> NDArray[Any]:
    """Convert a cube to a raw mosaic, the inverse of `convert_mosaic_to_cube`.

    Args:
        cube: cube (H, W, bands).
        camera: bands of the camera with a mosaic of `p` rows and `q` columns of filters.

    Returns:
        raw image (p H, q W) of the type of the cube. Pixels of filters without a band are 0.
    """
    p, q = _get_mosaic_size(camera)
    rows, columns, _ = cube.shape
    filters = np.zeros((rows, columns, p * q), dtype=cube.dtype)
    filters[..., find_band_filters(camera)] = cube
    return filters.reshape(rows, columns, p, q).transpose(0, 2, 1, 3).reshape(rows * p, columns * q)


def find_band_filters(camera: SpectralInfo) -> tuple[int, ...]:
    """Return the index in the period, row by row, of the filter of each band.

    Raises:
        FrameRefusedError: a band has no filter, or two.
    """
    p, q = _get_mosaic_size(camera)
    bands = range(len(camera.wavelengths_nm))
    order = camera.band_order or tuple(range(p * q))
    if sorted(channel for channel in order if channel in bands) != list(bands):
        raise FrameRefusedError(f"band_order must give each of {len(bands)} bands one filter: got {order}")
    return tuple(order.index(band) for band in bands)


def _get_mosaic_size(camera: SpectralInfo) -> tuple[int, int]:
    if camera.mosaic is None:
        raise FrameRefusedError(
            "the image is raw, but its camera has no mosaic: set mosaic rows and columns in SpectralInfo"
        )
    return camera.mosaic
