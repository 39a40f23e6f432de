from __future__ import annotations

import numpy as np
import pytest

from hsi_tracker_ros.cubes.camera_presets import PRESETS, find_camera_preset
from hsi_tracker_ros.cubes.false_color import (
    compute_color_matching,
    find_white_level,
    make_false_color_matrix,
    render_false_color,
)


def test_color_matching_functions_equal_cie_1931() -> None:
    color_science = pytest.importorskip("colour")
    observer = color_science.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"]
    np.testing.assert_allclose(compute_color_matching(observer.wavelengths), observer.values, atol=0.035)


@pytest.mark.parametrize("name", PRESETS)
def test_even_spectrum_is_white(name: str) -> None:
    np.testing.assert_allclose(
        make_false_color_matrix(find_camera_preset(name).wavelengths_nm).sum(axis=0), 1, atol=1e-5
    )


@pytest.mark.parametrize(("nm", "channel"), [(480.0, 0), (535.0, 1), (620.0, 2)])
def test_monochromatic_light_has_its_color(nm: float, channel: int) -> None:
    bands = tuple(float(b) for b in range(420, 681, 10))
    light = np.exp(-0.5 * ((np.array(bands) - nm) / 12) ** 2).astype(np.float32)[None, None]
    pixel = render_false_color(light, bands, white=1.0)[0, 0]
    assert pixel.argmax() == channel


def test_invisible_bands_are_shown_red_to_blue() -> None:
    bands = (950.0, 800.0, 700.0)
    pixel = render_false_color(np.array([[[0, 0, 100]]], np.uint8), bands, white=100)[0, 0]
    assert pixel.tolist() == [255, 0, 0]


def test_black_and_white_levels_bound_the_display() -> None:
    bands = find_camera_preset("hot16").wavelengths_nm
    cube = np.stack([np.full((2, 16), 60), np.full((2, 16), 1023)]).astype(np.uint16)
    image = render_false_color(cube, bands, white=1023 - 60, black=60)
    assert image.dtype == np.uint8
    assert (image[0] == 0).all() and (image[1] == 255).all()


def test_crop_has_the_colors_of_its_frame() -> None:
    cube = np.random.default_rng(0).integers(0, 1024, (20, 30, 16)).astype(np.uint16)
    bands = find_camera_preset("vis16").wavelengths_nm
    white = find_white_level(cube)
    whole = render_false_color(cube, bands, white=white)
    np.testing.assert_array_equal(render_false_color(cube[5:9, 7:20], bands, white=white), whole[5:9, 7:20])


def test_white_level_of_black_frame_is_positive() -> None:
    black = np.zeros((8, 8, 16), np.uint16)
    assert (
        render_false_color(black, find_camera_preset("vis16").wavelengths_nm, white=find_white_level(black))
        == 0
    ).all()
