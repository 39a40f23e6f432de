from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spax_ros.motion.registration import (
    downsample_for_registration,
    downscale_transform,
    register_frames,
    upscale_transform,
)
from spax_ros.preprocessing import to_gray
from spax_ros.simulation import SatelliteScene


def make_ground(seed: int, size: int = 400) -> np.ndarray:
    return to_gray(SatelliteScene(seed, 1, size, density=0).make_frame(0).image)


def warp(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, transform, image.shape, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def make_corners(size: int) -> np.ndarray:
    """Return the homogeneous corners of a square image."""
    return np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]], float)


@settings(max_examples=15, deadline=None)
@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(-0.3, 0.3), st.floats(0.998, 1.002), st.integers(0, 2))
def test_registration_is_exact_to_a_tenth_of_a_pixel(
    x: float, y: float, degrees: float, scale: float, seed: int
) -> None:
    before = make_ground(seed)
    true = cv2.getRotationMatrix2D((200, 200), degrees, scale)
    true[:, 2] += x, y

    registered = register_frames(before, warp(before, true))

    corners = make_corners(400)
    np.testing.assert_allclose(corners @ registered.T, corners @ true.T, atol=0.1)


def test_registration_ignores_traffic_and_clouds() -> None:
    corners = make_corners(400)[:, :2]
    for seed in (1001, 1004, 1010):
        scene = SatelliteScene(seed, 4, 400)
        images = [to_gray(frame.image) for frame in scene]
        for index in range(1, 4):
            true = scene.compute_camera_motion(index)

            registered = register_frames(images[index - 1], images[index])

            expected = corners @ true[:, :2].T + true[:, 2]
            actual = (corners - 0.5) @ registered[:, :2].T + registered[:, 2] + 0.5
            np.testing.assert_allclose(actual, expected, atol=0.1)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_registration_without_structure_is_the_identity(level: int) -> None:
    flat = np.full((64, 96), level, np.uint8)

    np.testing.assert_allclose(register_frames(flat, flat), np.eye(2, 3), atol=1e-6)


def test_registration_of_large_images_is_exact_at_reduced_size() -> None:
    before = make_ground(3, 1300)
    true = cv2.getRotationMatrix2D((650, 650), 0.1, 1.0002)
    true[:, 2] += 5.3, -3.8
    small_before, factor = downsample_for_registration(before)
    small_after, _ = downsample_for_registration(warp(before, true))

    registered = upscale_transform(register_frames(small_before, small_after), factor)

    assert small_before.shape == (650, 650)
    corners = make_corners(1300)
    np.testing.assert_allclose(corners @ registered.T, corners @ true.T, atol=0.15)
    np.testing.assert_allclose(upscale_transform(downscale_transform(true, 3), 3), true)
