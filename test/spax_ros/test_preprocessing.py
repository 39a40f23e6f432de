"""The brightness range of a stream, and the conversion of its images to 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spax_ros.preprocessing import (
    BrightnessFollower,
    BrightnessRange,
    find_brightness_range,
    find_white_level,
    to_uint8,
)

RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


def follow(*images: NDArray[Any]) -> BrightnessRange:
    follower = BrightnessFollower()
    for image in images:
        follower.update(image)
    return follower.range


def make_image(highest: float, dtype: str = "uint16") -> NDArray[Any]:
    return (RAMP * highest).astype(dtype)


@pytest.mark.parametrize("first", [200, 1600, 4000])
def test_range_after_a_dark_first_image_is_that_of_the_stream(first: int) -> None:
    assert follow(make_image(first), make_image(4000)) == BrightnessRange(0, 4095)


def test_range_after_one_bright_first_image_is_that_of_the_stream() -> None:
    assert follow(make_image(65535), make_image(4000)) == BrightnessRange(0, 4095)


def test_range_in_use_shrinks_after_three_dark_images() -> None:
    bright, dark = make_image(4000), make_image(200)

    assert follow(bright, bright, bright, dark, dark).white == 4095
    assert follow(bright, bright, bright, dark, dark, bright, dark, dark).white == 4095
    assert follow(bright, bright, bright, dark, dark, dark).white == 255


def test_range_is_not_changed_by_few_defect_pixels() -> None:
    image = make_image(4000)
    large = np.tile(image, (4, 4))
    large[10, 20:26] = 65535

    assert find_white_level(large) == 4095
    assert follow(np.tile(image, (4, 4)), large).white == 4095


def test_range_of_uint8_is_constant() -> None:
    assert follow(make_image(10, "uint8"), make_image(255, "uint8")) == BrightnessRange(0, 255)


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        (0, 0.8, BrightnessRange(0, 1)),
        (-30, 5, BrightnessRange(-32, 32)),
        (280, 300, BrightnessRange(272, 304)),
        (0, 0, BrightnessRange(0, 1)),
        (7, 7, BrightnessRange(0, 7)),
        (-5, -5, BrightnessRange(-5, -4)),
    ],
)
def test_range_of_floats_is_aligned(lowest: float, highest: float, expected: BrightnessRange) -> None:
    image = (lowest + RAMP * (highest - lowest)).astype(np.float32)

    assert find_brightness_range(image) == expected


def test_float_image_without_a_finite_value_becomes_black() -> None:
    image = np.full((64, 64), np.nan, np.float32)

    assert not to_uint8(image, *(lambda r: (r.white, r.black))(find_brightness_range(image))).any()


@given(st.floats(1e-6, 1e6), st.floats(-1e6, 1e6))
def test_float_image_keeps_its_order_and_contrast(width: float, lowest: float) -> None:
    image = (lowest + RAMP * max(width, 1e-3 * abs(lowest))).astype(np.float32)

    found = find_brightness_range(image)
    levels = to_uint8(image, found.white, found.black).astype(int)

    assert (np.diff(levels.ravel()) >= 0).all()
    assert np.ptp(levels) >= 60


def test_fourth_channel_is_left_out() -> None:
    image = np.dstack([make_image(4095)] * 3 + [np.full((64, 64), 65535, np.uint16)])

    converted = to_uint8(image, 4095)

    assert converted.shape == (64, 64, 3)
    assert converted.max() == 255
