"""Homographies of simulated cameras are recovered; points that determine none are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.homography import apply_homography, fit_homography, orient_homography

SIZE = np.array([1000.0, 600.0])
CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * SIZE


def make_ground_homography(pitch_deg: float, heading_deg: float, height_m: float) -> np.ndarray:
    """Return the homography from pixels to east, north of a camera that looks down by a pitch."""
    pitch, heading = np.radians([pitch_deg, heading_deg])
    ahead = np.array([np.sin(heading), np.cos(heading), 0])
    forward = np.cos(pitch) * ahead - np.sin(pitch) * np.array([0, 0, 1])
    right = np.array([np.cos(heading), -np.sin(heading), 0])
    down = np.cross(forward, right)
    to_ray = np.stack([right, down, forward], axis=1) @ np.diag([1 / 900, 1 / 900, 1.0])
    to_ray = to_ray @ np.array([[1, 0, -SIZE[0] / 2], [0, 1, -SIZE[1] / 2], [0, 0, 1]])
    return np.stack([height_m * to_ray[0], height_m * to_ray[1], -to_ray[2]])


@given(st.floats(25, 90), st.floats(0, 360), st.floats(20, 500_000))
def test_camera_is_recovered_from_its_corners(pitch: float, heading: float, height: float) -> None:
    truth = make_ground_homography(pitch, heading, height)

    fit = fit_homography(CORNERS, apply_homography(truth, CORNERS))

    points = np.random.default_rng(0).uniform(0, 1, (20, 2)) * SIZE
    expected = apply_homography(truth, points)
    np.testing.assert_allclose(apply_homography(fit.matrix, points), expected, atol=1e-7 * height)
    assert not fit.is_overdetermined
    assert fit.rms_px == 0.0


def test_noisy_points_give_their_noise_as_residual() -> None:
    rng = np.random.default_rng(3)
    truth = make_ground_homography(50, 120, 400)
    pixels = rng.uniform(0, 1, (60, 2)) * SIZE
    ground = apply_homography(truth, pixels)

    fit = fit_homography(pixels + rng.normal(0, 0.7, pixels.shape), ground)

    assert fit.is_overdetermined
    assert fit.rms_px == pytest.approx(0.7, rel=0.15)
    center_error_px = np.linalg.norm(
        apply_homography(np.linalg.inv(truth), apply_homography(fit.matrix, [SIZE / 2])) - SIZE / 2
    )
    assert center_error_px < 0.5


def test_wrong_point_has_the_largest_residual() -> None:
    truth = make_ground_homography(60, 10, 300)
    pixels = np.random.default_rng(2).uniform(0, 1, (12, 2)) * SIZE
    ground = apply_homography(truth, pixels)
    ground[7] += [20, 0]

    fit = fit_homography(pixels, ground)

    assert np.argmax(fit.residuals_px) == 7


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (CORNERS[:3], "at least 4 control points are needed: got 3"),
        (CORNERS[[0, 1, 2, 2, 1]], "at least 4 pixels of control points must differ"),
        ([[0, 0], [300, 0], [1000, 0], [500, 500]], "too many are on one line"),
        ([[0, 0], [300, 1], [1000, 0], [500, 500]], "too many are on one line"),
        (np.stack([np.arange(8) * 100, np.arange(8) * 50], axis=1), "too many are on one line"),
        (CORNERS[[1, 0, 3, 2]], "mirrored"),
        (CORNERS[[0, 2, 1, 3]], "horizon must not be between"),
        ([[0, 0], [1000, np.nan], [1000, 600], [0, 600]], "finite"),
    ],
)
def test_useless_points_are_refused(pixels, reason: str) -> None:
    truth = make_ground_homography(60, 10, 300)
    is_corner = len(pixels) == 4 and np.isin(np.asarray(pixels)[:, 1], [0, 600]).all()
    seen = CORNERS if is_corner else np.nan_to_num(np.asarray(pixels, float))

    with pytest.raises(GeographyError, match=reason):
        fit_homography(pixels, apply_homography(truth, seen), "FILE")


def test_pixels_above_the_horizon_are_unknown() -> None:
    truth = orient_homography(make_ground_homography(10, 0, 100), is_mirrored=True, subject="FILE")
    horizon_y = SIZE[1] / 2 - 900 * np.tan(np.radians(10))

    located = apply_homography(truth, [[500, horizon_y - 1], [500, horizon_y], [500, horizon_y + 1]])

    assert np.isnan(located[:2]).all()
    np.testing.assert_allclose(located[2, 0], 0, atol=1e-6)
    assert located[2, 1] > 80_000


@pytest.mark.parametrize("scale", [1.0, -1.0, 1e-9, -1e9])
def test_orientation_does_not_depend_on_scale(scale: float) -> None:
    truth = make_ground_homography(45, 77, 100)

    oriented = orient_homography(truth * scale, is_mirrored=True, subject="FILE")

    np.testing.assert_allclose(apply_homography(oriented, CORNERS), apply_homography(truth, CORNERS))


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.ones((3, 3)), np.full((3, 3), np.nan), np.eye(2)])
def test_homography_without_inverse_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(GeographyError, match="FILE: a homography must be"):
        orient_homography(matrix, is_mirrored=False, subject="FILE")
