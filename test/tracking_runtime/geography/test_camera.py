"""Rays of calibrated cameras against OpenCV's projection, and their intersection with the ground."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tracking_runtime.geography.camera import intersect_ground, read_camera_info
from tracking_runtime.geography.errors import GeographyError

SIZE = (1280, 960)
MATRIX = np.array([[900.0, 0, 650], [0, 910, 470], [0, 0, 1]])
DISTORTIONS = {
    "none": ("plumb_bob", []),
    "plumb_bob": ("plumb_bob", [-0.32, 0.12, 0.001, -0.0007, -0.02]),
    "rational_polynomial": ("rational_polynomial", [0.5, -0.1, 0.0005, 0.0003, 0.01, 0.8, -0.05, 0.02]),
    "equidistant": ("equidistant", [-0.02, 0.004, -0.002, 0.0004]),
}


def make_info(model: str = "plumb_bob", distortion: Any = (), **fields: Any) -> SimpleNamespace:
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    info = SimpleNamespace(
        width=SIZE[0], height=SIZE[1], k=MATRIX.ravel(), d=distortion, distortion_model=model,
        p=np.column_stack([MATRIX, np.zeros(3)]).ravel(), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip
    info.__dict__.update(fields)
    return info


def project(directions: np.ndarray, model: str, distortion: Any) -> np.ndarray:
    """Return pixels, centers at integers + 0.5, of directions x / z, y / z."""
    rays = np.column_stack([directions, np.ones(len(directions))])[:, None]
    coefficients = np.array(distortion, float)
    if model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(rays, np.zeros(3), np.zeros(3), MATRIX, coefficients)
    else:
        pixels, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), MATRIX, coefficients)
    return pixels.reshape(-1, 2) + 0.5


@pytest.mark.parametrize("name", DISTORTIONS)
def test_rays_invert_the_projection(name: str) -> None:
    model, distortion = DISTORTIONS[name]
    directions = np.random.default_rng(0).uniform(-0.6, 0.6, (200, 2))
    pixels = project(directions, model, distortion)

    rays = read_camera_info(make_info(model, distortion)).compute_rays(pixels, SIZE)

    np.testing.assert_allclose(rays[:, :2], directions, atol=1e-9)
    assert (rays[:, 2] == 1).all()


def test_pixel_without_inverse_of_the_distortion_is_unknown() -> None:
    camera = read_camera_info(make_info("plumb_bob", [-0.5, 0.0, 0, 0, 0]))

    rays = camera.compute_rays([[650.5, 470.5], [650.5 + 900, 470.5]], SIZE)

    assert np.isfinite(rays[0]).all()
    assert np.isnan(rays[1, :2]).all()


def test_cube_of_a_mosaic_and_binning_use_the_sensor() -> None:
    camera = read_camera_info(make_info())
    full = camera.compute_rays([[400.0, 200.0]], SIZE)

    np.testing.assert_allclose(camera.compute_rays([[100.0, 50.0]], (320, 240)), full)
    binned = read_camera_info(make_info(binning_x=2, binning_y=2))
    np.testing.assert_allclose(binned.compute_rays([[200.0, 100.0]], (640, 480)), full)
    roi = SimpleNamespace(x_offset=300, y_offset=100, width=200, height=160)
    cut = read_camera_info(make_info(roi=roi))
    np.testing.assert_allclose(cut.compute_rays([[100.0, 100.0]], (200, 160)), full)


@pytest.mark.parametrize("size", [(1280, 720), (1281, 960), (2560, 1920), (0, 0)])
def test_other_image_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(GeographyError, match="camera_info must be of the tracked images: got 1280 x 960"):
        read_camera_info(make_info()).compute_rays([[1, 1]], size)


def test_rectified_images_use_the_projection_matrix() -> None:
    p = np.array([[800.0, 0, 640, 0], [0, 800, 480, 0], [0, 0, 1, 0]])
    info = make_info("double_sphere", [1, 2, 3], p=p.ravel())

    rays = read_camera_info(info, is_rectified=True).compute_rays([[640.5, 480.5], [1440.5, 480.5]], SIZE)

    np.testing.assert_allclose(rays, [[0, 0, 1], [1, 0, 1]])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"k": np.zeros(9)}, "must have the calibration k"),
        ({"k": np.array([2.0, 4, 1, 1, 2, 1, 0, 0, 1])}, "must have an invertible calibration"),
        ({"k": np.full(9, np.nan)}, "must have the calibration k"),
        ({"distortion_model": "double_sphere", "d": [0.1] * 4}, "distortion_model of camera_info must be"),
        ({"d": [0.1, 0.2]}, "d of camera_info must be 4 or 5"),
        ({"d": [np.inf] * 5}, "finite"),
    ],
)
def test_useless_camera_info_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(GeographyError, match=reason):
        read_camera_info(make_info(**fields))


def test_rays_meet_the_plane_below_and_not_above_the_horizon() -> None:
    pitch = np.radians(30)
    rotation = np.array([[1, 0, 0], [0, -np.sin(pitch), np.cos(pitch)], [0, -np.cos(pitch), -np.sin(pitch)]])
    rays = np.array([[0, 0, 1], [0, -np.tan(pitch), 1], [0, -2, 1], [np.nan, 0, 1]])

    points = intersect_ground(rays, rotation, [10, 20, 105], 5, 1000)

    np.testing.assert_allclose(points[0], [10, 20 + 100 / np.tan(pitch), 5])
    assert np.isnan(points[1:]).all()
    assert np.isnan(intersect_ground(rays[:1], rotation, [10, 20, 105], 5, 199.9)).all()
    assert np.isnan(intersect_ground(rays[:1], rotation, [10, 20, 0], 5, 1000)).all()


def test_no_pixels_give_no_rays() -> None:
    assert read_camera_info(make_info("plumb_bob", [0.1] * 5)).compute_rays(np.zeros((0, 2)), SIZE).shape == (
        0,
        3,
    )
