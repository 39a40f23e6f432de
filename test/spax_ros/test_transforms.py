"""Tests of the transforms between frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spax_ros.transforms import (
    IDENTITY,
    compose_transforms,
    compute_jacobians,
    downscale_transform,
    find_source_pixels,
    invert_transform,
    is_affine,
    make_transform,
    transform_points,
    upscale_transform,
    warp_image,
)

POINTS = np.array([[3.0, 5.0], [180.0, 20.0], [90.0, 140.0]])


@st.composite
def draw_transforms(draw: st.DrawFn) -> NDArray[np.float64]:
    """Draw a camera motion over images of 200 pixels: half of them affine."""
    angle, zoom = draw(st.floats(-0.5, 0.5)), draw(st.floats(0.8, 1.25))
    x, y = draw(st.floats(-30, 30)), draw(st.floats(-30, 30))
    tilt = draw(st.sampled_from([0.0, 1.0])) * np.array(
        [draw(st.floats(-1e-3, 1e-3)), draw(st.floats(-1e-3, 1e-3))]
    )
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[cosine, -sine, x], [sine, cosine, y], [*tilt, 1.0]])


@settings(deadline=None)
@given(draw_transforms(), draw_transforms())
def test_composed_transform_applies_both_in_order(first: NDArray, second: NDArray) -> None:
    expected = transform_points(transform_points(POINTS, first), second)

    np.testing.assert_allclose(transform_points(POINTS, compose_transforms(second, first)), expected)


@settings(deadline=None)
@given(draw_transforms())
def test_points_equal_those_of_opencv(transform: NDArray) -> None:
    expected = cv2.perspectiveTransform(POINTS[None], transform)[0]

    np.testing.assert_allclose(transform_points(POINTS, transform), expected)


@settings(deadline=None)
@given(draw_transforms())
def test_inverse_moves_points_back(transform: NDArray) -> None:
    inverse = invert_transform(transform)

    np.testing.assert_allclose(transform_points(transform_points(POINTS, transform), inverse), POINTS)
    assert is_affine(inverse) == is_affine(transform)


@settings(deadline=None)
@given(draw_transforms())
def test_jacobian_is_the_derivative(transform: NDArray) -> None:
    step = 1e-4
    ahead, behind = (
        np.stack([transform_points(POINTS + sign * step * axis, transform) for axis in np.eye(2)], axis=2)
        for sign in (1, -1)
    )

    np.testing.assert_allclose(
        compute_jacobians(POINTS, transform), (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6
    )


@settings(deadline=None)
@given(draw_transforms(), st.integers(1, 4))
def test_transform_of_reduced_images_is_converted_exactly(transform: NDArray, factor: int) -> None:
    reduced = downscale_transform(transform, factor)

    np.testing.assert_allclose(upscale_transform(reduced, factor), transform, atol=1e-9)
    center = (factor - 1) / 2
    np.testing.assert_allclose(
        transform_points((POINTS - center) / factor, reduced) * factor + center,
        transform_points(POINTS, transform),
    )
    assert is_affine(reduced) == is_affine(transform)


@pytest.mark.parametrize("tilt", [0.0, 4e-4])
def test_warped_image_has_the_values_of_the_source_pixels(tilt: float) -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.uniform(0, 200, (120, 160)).astype(np.float32), (0, 0), 3)
    transform = np.array([[1.02, -0.03, 4.0], [0.02, 0.99, -3.0], [tilt, -tilt, 1.0]])
    y, x = np.mgrid[20:100, 20:140].astype(np.float32)

    warped = warp_image(image, transform, (160, 120))

    sampled = cv2.remap(image, *find_source_pixels(transform, x, y), cv2.INTER_LINEAR)
    np.testing.assert_allclose(warped[20:100, 20:140], sampled, atol=0.2)


@pytest.mark.parametrize("tilt", [0.0, 4e-4])
def test_background_stays_where_the_image_does_not_reach(tilt: float) -> None:
    background = np.full((40, 60), 7, np.uint8)
    shift = np.array([[1.0, 0.0, 25.0], [0.0, 1.0, 0.0], [tilt, 0.0, 1.0]])

    warped = warp_image(np.full((40, 60), 200, np.uint8), shift, (60, 40), background=background)

    assert (warped[:, :23] == 7).all()
    assert (warped[2:-2, 30:50] == 200).all()
    assert (background == 7).all()


def test_transform_is_made_of_affine_matrix_and_of_unscaled_homography() -> None:
    np.testing.assert_array_equal(make_transform(np.eye(2, 3)), IDENTITY)
    np.testing.assert_array_equal(make_transform(2 * np.eye(3)), IDENTITY)


@pytest.mark.parametrize(
    "matrix", [np.eye(2), np.zeros((3, 3)), np.full((2, 3), np.nan), np.eye(4)], ids=lambda m: str(m.shape)
)
def test_matrix_that_is_no_transform_is_refused(matrix: NDArray) -> None:
    with pytest.raises(ValueError, match="a transform must be a finite matrix"):
        make_transform(matrix)
