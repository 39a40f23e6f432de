from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.mosaic import convert_cube_to_mosaic, convert_mosaic_to_cube
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.spectral_info import SpectralInfo


@st.composite
def mosaics(draw: st.DrawFn) -> tuple[np.ndarray, SpectralInfo]:
    """A raw image of whole periods and its camera; filters may be left out and bands in any order."""
    p, q = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    bands = draw(st.integers(1, p * q))
    order = draw(st.permutations(range(p * q)))
    camera = SpectralInfo(tuple(500.0 + b for b in range(bands)), mosaic=(p, q), band_order=tuple(order))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    seed = draw(st.integers(0, 2**16))
    raw = np.random.default_rng(seed).integers(0, 256, (rows * p, columns * q)).astype(dtype)
    return raw, camera


@given(mosaics())
def test_band_is_its_filter_in_each_period(mosaic: tuple[np.ndarray, SpectralInfo]) -> None:
    raw, camera = mosaic
    p, q = camera.mosaic
    cube = convert_mosaic_to_cube(raw, camera)
    assert cube.shape == (raw.shape[0] // p, raw.shape[1] // q, len(camera.wavelengths_nm))
    assert cube.dtype == raw.dtype
    for band in range(cube.shape[2]):
        place = camera.band_order.index(band)
        np.testing.assert_array_equal(cube[..., band], raw[place // q :: p, place % q :: q])


@given(mosaics())
def test_cube_to_mosaic_and_back_is_exact(mosaic: tuple[np.ndarray, SpectralInfo]) -> None:
    raw, camera = mosaic
    cube = convert_mosaic_to_cube(raw, camera)
    again = convert_cube_to_mosaic(cube, camera)
    np.testing.assert_array_equal(convert_mosaic_to_cube(again, camera), cube)
    if cube.shape[2] == camera.mosaic[0] * camera.mosaic[1]:
        np.testing.assert_array_equal(again, raw)


def test_view_of_larger_image_is_decoded_as_its_copy() -> None:
    sensor = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
    camera = SpectralInfo(tuple(range(400, 416)), mosaic=(4, 4))
    window = sensor[3:35, 2:42]
    np.testing.assert_array_equal(
        convert_mosaic_to_cube(window, camera), convert_mosaic_to_cube(window.copy(), camera)
    )


def test_incomplete_mosaic_period_is_refused_with_size() -> None:
    camera = SpectralInfo(tuple(range(400, 416)), mosaic=(4, 4))
    with pytest.raises(FrameRefusedError, match=r"30 x 16 pixels .* 4 x 4"):
        convert_mosaic_to_cube(np.zeros((16, 30), np.uint16), camera)


def test_band_without_filter_is_refused() -> None:
    camera = SpectralInfo((500.0, 510.0), mosaic=(1, 2), band_order=(0, 0))
    with pytest.raises(FrameRefusedError, match="band_order"):
        convert_mosaic_to_cube(np.zeros((2, 2), np.uint8), camera)
