from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spax_ros.motion.registration import downsample_for_registration, register_frames
from spax_ros.preprocessing import to_gray
from spax_ros.simulation import SatelliteScene
from spax_ros.transforms import make_transform, transform_points, upscale_transform


def make_ground(seed: int, size: int = 400) -> np.ndarray:
    return to_gray(SatelliteScene(seed, 1, size, density=0).make_frame(0).image)


def warp(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, transform, image.shape, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def make_corners(size: int) -> np.ndarray:
    """Return the corners of a square image."""
    return np.array([[0, 0], [size, 0], [0, size], [size, size]], float)


def assert_near(found: np.ndarray, true: np.ndarray, size: int, tolerance_px: float) -> None:
    """Fail unless two transforms move the corners of an image to nearly the same positions."""
    corners = make_corners(size)
    expected = transform_points(corners, make_transform(true))
    np.testing.assert_allclose(transform_points(corners, found), expected, atol=tolerance_px)


@settings(max_examples=15, deadline=None)
@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(-0.3, 0.3), st.floats(0.998, 1.002), st.integers(0, 2))
def test_registration_is_exact_to_a_tenth_of_a_pixel(
    x: float, y: float, degrees: float, scale: float, seed: int
) -> None:
    before = make_ground(seed)
    true = cv2.getRotationMatrix2D((200, 200), degrees, scale)
    true[:, 2] += x, y

    registered = register_frames(before, warp(before, true))

    assert_near(registered, true, 400, 0.1)


def test_registration_ignores_traffic_and_clouds() -> None:
    corners = make_corners(400)
    for seed in (1001, 1004, 1010):
        scene = SatelliteScene(seed, 4, 400)
        images = [to_gray(frame.image) for frame in scene]
        for index in range(1, 4):
            true = scene.compute_camera_motion(index)

            registered = register_frames(images[index - 1], images[index])

            expected = transform_points(corners, true)
            actual = transform_points(corners - 0.5, registered) + 0.5
            np.testing.assert_allclose(actual, expected, atol=0.1)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_registration_without_structure_is_the_identity(level: int) -> None:
    flat = np.full((64, 96), level, np.uint8)

    np.testing.assert_allclose(register_frames(flat, flat), np.eye(3), atol=1e-6)


def test_registration_of_large_images_is_exact_at_reduced_size() -> None:
    before = make_ground(3, 1300)
    true = cv2.getRotationMatrix2D((650, 650), 0.1, 1.0002)
    true[:, 2] += 5.3, -3.8
    small_before, factor = downsample_for_registration(before)
    small_after, _ = downsample_for_registration(warp(before, true))

    registered = upscale_transform(register_frames(small_before, small_after), factor)

    assert small_before.shape == (650, 650)
    assert_near(registered, true, 1300, 0.15)
