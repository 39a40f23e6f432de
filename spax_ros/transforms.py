"""Transforms between the pixels of two frames: homographies. Affine ones are applied in half the time."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Transform = NDArray[np.float64]
"""Homography ``(3, 3)`` from the pixels of one frame to those of another; its last value is 1."""

IDENTITY: Transform = np.eye(3)


def make_transform(matrix: ArrayLike) -> Transform:
    """Return an affine transform ``(2, 3)`` or a homography ``(3, 3)`` as a homography whose last value is 1.

    Raises:
        ValueError: the matrix has another shape, or no finite values, or moves the origin to infinity.
    """
    transform = np.asarray(matrix, np.float64)
    if transform.shape == (2, 3):
        transform = np.vstack([transform, [0.0, 0.0, 1.0]])
    if transform.shape != (3, 3) or not np.isfinite(transform).all() or transform[2, 2] == 0:
        raise ValueError(
            f"a transform must be a finite matrix (2, 3) or (3, 3) whose last value is not 0: got {matrix!r}"
        )
    return transform if transform[2, 2] == 1 else transform / transform[2, 2]


def is_affine(transform: Transform) -> bool:
    """Return whether a transform keeps parallel lines parallel."""
    return bool(transform[2, 0] == 0 and transform[2, 1] == 0)


def compose_transforms(second: Transform, first: Transform) -> Transform:
    """Return the transform that applies `first`, then `second`."""
    composed = second @ first
    return composed if composed[2, 2] == 1 else composed / composed[2, 2]


def invert_transform(transform: Transform) -> Transform:
    """Return the transform in the other direction."""
    if is_affine(transform):
        return np.vstack([cv2.invertAffineTransform(transform[:2]), [0.0, 0.0, 1.0]])
    inverse = np.linalg.inv(transform)
    return np.asarray(inverse / inverse[2, 2])


def transform_points(points: NDArray[Any], transform: Transform) -> NDArray[np.float64]:
    """Return points x, y ``(..., 2)`` after a transform."""
    moved = points @ transform[:2, :2].T + transform[:2, 2]
    if is_affine(transform):
        return np.asarray(moved)
    return np.asarray(moved / (points @ transform[2, :2] + 1)[..., None])


def compute_jacobians(points: NDArray[Any], transform: Transform) -> NDArray[np.float64]:
    """Return the derivative ``(n, 2, 2)`` of a transform at points x, y ``(n, 2)``; it moves velocities."""
    if is_affine(transform):
        return np.broadcast_to(transform[:2, :2], (len(points), 2, 2))
    depth = (points @ transform[2, :2] + 1)[:, None, None]
    moved = transform_points(points, transform)
    return np.asarray((transform[:2, :2] - moved[:, :, None] * transform[2, :2]) / depth)


def warp_image(
    image: NDArray[Any],
    transform: Transform,
    size: tuple[int, int],
    *,
    interpolation: int = cv2.INTER_LINEAR,
    border_mode: int = cv2.BORDER_CONSTANT,
    background: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return an image after a transform.

    Args:
        image: image ``(height, width)`` or ``(height, width, channels)``.
        transform: transform from the pixels of the image to those of the result.
        size: width and height of the result.
        interpolation: interpolation of OpenCV.
        border_mode: border mode of OpenCV; with `background` it is ignored.
        background: image of the result's size whose values stay where the image does not reach; it is not
            changed. None: no such image.
    """
    options: dict[str, Any] = {"flags": interpolation, "borderMode": border_mode}
    if background is not None:
        options |= {"dst": background.copy(), "borderMode": cv2.BORDER_TRANSPARENT}
    if is_affine(transform):  # in half the time
        return np.asarray(cv2.warpAffine(image, transform[:2], size, **options))
    return np.asarray(cv2.warpPerspective(image, transform, size, **options))


def find_source_pixels(
    transform: Transform, x: NDArray[np.float32], y: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the pixels that a transform moves to the pixels x, y, which are arrays of one shape."""
    (a, b, c), (d, e, f), (g, h, _) = invert_transform(transform).astype(np.float32)
    source_x, source_y = a * x + b * y + c, d * x + e * y + f
    if is_affine(transform):
        return source_x, source_y
    depth = g * x + h * y + np.float32(1)
    return source_x / depth, source_y / depth


def upscale_transform(transform: Transform, factor: int) -> Transform:
    """Convert a transform between reduced images to one between the images; pixel centers are integers."""
    if factor == 1:
        return transform
    center = (factor - 1) / 2
    enlarge = np.array([[factor, 0, center], [0, factor, center], [0, 0, 1]])
    return _change_pixels(transform, enlarge)


def downscale_transform(transform: Transform, factor: int) -> Transform:
    """Convert a transform between images to one between reduced images."""
    if factor == 1:
        return transform
    center = (factor - 1) / 2
    reduce = np.array([[1, 0, -center], [0, 1, -center], [0, 0, factor]]) / factor
    return _change_pixels(transform, reduce)


def _change_pixels(transform: Transform, to_other: Transform) -> Transform:
    """Return the transform between two frames in other pixels, to which `to_other` leads."""
    changed = to_other @ transform @ np.linalg.inv(to_other)
    changed /= changed[2, 2]
    if is_affine(transform):
        changed[2] = 0.0, 0.0, 1.0  # without rounding errors
    return np.asarray(changed)
