import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.hanet.crops import (
    SIAMBAN_GEOMETRY,
    CropGeometry,
    SquareCrop,
    compute_search_side,
    compute_template_side,
    cut_crop,
)

numbers = st.floats(-50, 300)


@given(numbers, numbers, st.floats(10, 400), numbers, numbers, st.floats(1, 200), st.floats(1, 200))
def test_box_to_crop_and_back(x, y, side, left, top, width, height):
    crop, box = SquareCrop(x, y, side), np.array([left, top, width, height])
    corners = crop.compute_crop_corners(box, 255)
    back = (corners - 255 / 2) * side / 255 + [x, y, x, y]
    assert np.allclose(back, [left, top, left + width, top + height], atol=1e-6)


def test_crop_shows_square_at_expected_position():
    image = np.zeros((120, 200, 1), np.float32)
    image[40:60, 90:120] = 1
    crop = SquareCrop(100, 55, 50)
    patch = cut_crop(image, crop, 250, fill=0)
    rows, columns = np.nonzero(patch[..., 0] > 0.5)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(found - crop.compute_crop_corners(np.array([90, 40, 30, 20]), 250)).max() <= 1


def test_crop_at_native_scale_copies_pixels():
    image = np.random.default_rng(0).integers(0, 65535, (40, 40, 16)).astype(np.uint16)
    patch = cut_crop(image, SquareCrop(15.5, 20.5, 9), 9, fill=0)
    assert np.array_equal(patch, image[16:25, 11:20])


@pytest.mark.parametrize("bands", [1, 3, 4, 5, 16, 25, 256])
def test_crop_of_all_bands_equals_crop_of_each_band(bands):
    image = np.random.default_rng(0).random((30, 40, bands), np.float32)
    crop = SquareCrop(33.3, 11.1, 25.7)
    patch = cut_crop(image, crop, 50, fill=1.0)
    alone = np.concatenate(
        [cut_crop(image[..., [band]], crop, 50, fill=1.0) for band in range(bands)], axis=2
    )
    assert patch.shape == (50, 50, bands)
    assert np.abs(patch - alone).max() < 0.05  # places are rounded to 1/32 of a pixel, or not
    assert (patch[:, 45:] == 1).all()


def test_crop_outside_image_has_fill_of_each_channel():
    image = np.full((20, 20, 3), 60_000, np.uint16)
    fill = np.arange(3) * 10_000.0
    patch = cut_crop(image, SquareCrop(-30, 10, 20), 16, fill)
    assert (patch == fill).all()


def test_window_is_empty_outside_the_image():
    rows, columns = SquareCrop(-100, 400, 30).compute_window(256, 512)
    assert rows.start == rows.stop
    assert columns.start == columns.stop


def test_crop_sides_equal_siamban():
    box = np.array([0, 0, 30.0, 10.0])
    assert np.isclose(compute_template_side(box), np.sqrt((30 + 20) * (10 + 20)))
    assert np.isclose(compute_search_side(box) / compute_template_side(box), 255 / 127)


STRETCHED = CropGeometry(128, 256, context=0.0, template_scale=1.4, search_scale=5.0, stretches=True)
sides = st.floats(3, 400)


@given(numbers, numbers, sides, sides)
def test_stretched_search_region_shows_five_box_sizes(x, y, width, height):
    box = np.array([x, y, width, height])

    crop = STRETCHED.make_search_crop(box)

    assert np.allclose([crop.width, crop.height], 5 * box[2:])
    assert np.allclose(crop.compute_crop_corners(box, 256), [102.4, 102.4, 153.6, 153.6], atol=1e-6)


@given(numbers, numbers, sides, sides)
def test_rounded_region_is_at_most_a_sixteenth_away(x, y, width, height):
    crop = STRETCHED.make_template_crop(np.array([x, y, width, height]))

    rounded = crop.round_to_eighths()

    for name in ("x", "y", "width", "height"):
        assert abs(getattr(rounded, name) - getattr(crop, name)) <= 1 / 16 + 1e-9
        assert np.isclose(getattr(rounded, name) * 8 % 1, [0, 1], atol=1e-6).any()


@given(numbers, numbers, sides, sides)
def test_square_region_stays_a_square(x, y, width, height):
    crop = SIAMBAN_GEOMETRY.make_search_crop(np.array([x, y, width, height])).round_to_eighths()

    assert crop.width == crop.height == crop.side


def test_stretched_crop_shows_box_at_expected_position():
    image = np.zeros((120, 200, 1), np.float32)
    image[40:60, 90:130] = 1
    box = np.array([90, 40, 40, 20])
    crop = STRETCHED.make_search_crop(box)

    patch = cut_crop(image, crop, 256, fill=0)

    rows, columns = np.nonzero(patch[..., 0] > 0.5)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(found - crop.compute_crop_corners(box, 256)).max() <= 1


def test_stretched_region_contains_and_covers_its_points():
    crop = STRETCHED.make_search_crop(np.array([90, 45, 40, 10]))  # 200 x 50 pixels
    points = np.array([[15.0, 50.0], [110.0, 30.0], [110.0, 70.0], [205.0, 50.0]])

    rows, columns = crop.compute_window(300, 300)

    assert crop.contains(points).tolist() == [True, True, True, True]
    assert not crop.contains(np.array([[9.0, 50.0], [110.0, 24.0], [110.0, 76.0], [211.0, 50.0]])).any()
    assert (columns.start, columns.stop, rows.start, rows.stop) == (9, 211, 24, 76)
