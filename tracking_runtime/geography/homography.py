"""Homographies from pixels to a plane of the ground: application, and least squares from control points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.geography.errors import GeographyError

FloatArray = NDArray[np.float64]

MIN_POINTS = 4
_MIN_CONDITION = 4e-3
"""Lowest ratio of the 8th to the largest singular value in normalized coordinates. Three of four points on a
line have 0. A third point beside the line by 1 % of the extent has 0.004, the corners of an image 0.02 to
0.2."""


@dataclass(frozen=True)
class HomographyFit:
    """Homography from pixels to a plane, fitted to control points.

    Attributes:
        matrix: homography, (3, 3), from pixels to meters; its denominator is positive on the ground.
        residuals_px: distance of each control point from the pixel of its ground position, (n,).
        residuals_m: distance of each control point on the ground, (n,).
    """

    matrix: FloatArray
    residuals_px: FloatArray
    residuals_m: FloatArray

    @property
    def is_overdetermined(self) -> bool:
        """True if the residuals measure accuracy: four points are always met exactly."""
        return len(self.residuals_px) > MIN_POINTS

    @property
    def rms_px(self) -> float:
        """Root mean square of the residuals in pixels by the degrees of freedom; 0 for four points."""
        degrees_of_freedom = 2 * len(self.residuals_px) - 8
        return (
            float(np.sqrt((self.residuals_px**2).sum() / degrees_of_freedom)) if degrees_of_freedom else 0.0
        )


def apply_homography(matrix: ArrayLike, points: ArrayLike) -> FloatArray:
    """Map points, (n, 2), by a homography, (3, 3). Points whose denominator is not positive are NaN."""
    homography = np.asarray(matrix, np.float64)
    positions = np.asarray(points, np.float64).reshape(-1, 2)
    mapped = positions @ homography[:, :2].T + homography[:, 2]
    # A denominator of rounding errors is the horizon, too.
    scale = np.abs(positions) @ np.abs(homography[2, :2]) + abs(homography[2, 2])
    denominators = np.where(mapped[:, 2] > 1e-12 * scale, mapped[:, 2], np.nan)
    return mapped[:, :2] / denominators[:, None]


def check_homography(matrix: ArrayLike, subject: str) -> FloatArray:
    """Return a homography, (3, 3), scaled to a largest element of 1.

    Args:
        matrix: homography of any scale and sign.
        subject: file or thing that contains the homography, for the message.

    Raises:
        GeographyError: the homography is not finite or not invertible.
    """
    homography = np.asarray(matrix, np.float64)
    if homography.shape != (3, 3) or not np.isfinite(homography).all() or not homography.any():
        raise GeographyError(
            f"{subject}: a homography must be 3 x 3 finite numbers: got {homography.tolist()}"
        )
    homography = homography / np.abs(homography).max()
    if not np.isfinite(homography).all() or abs(np.linalg.det(homography)) < np.finfo(float).tiny:
        raise GeographyError(f"{subject}: a homography must be invertible: got {homography.tolist()}")
    return homography


def orient_homography(matrix: ArrayLike, *, is_mirrored: bool, subject: str) -> FloatArray:
    """Return a homography whose denominator is positive where the camera sees the plane.

    The orientation of a plane is the same at all points that a camera sees, and opposite above the horizon.

    Args:
        matrix: homography of any scale and sign, (3, 3).
        is_mirrored: True from pixels with y down to ground with north up; False from pixels to pixels.
        subject: file or thing that contains the homography, for the message.

    Raises:
        GeographyError: the homography is not finite or not invertible.
    """
    homography = check_homography(matrix, subject)
    return homography if (np.linalg.det(homography) < 0) == is_mirrored else -homography


def fit_homography(pixels: ArrayLike, ground: ArrayLike, subject: str = "control points") -> HomographyFit:
    """Fit the homography from pixels to the ground with least squares of the pixel residuals.

    Args:
        pixels: pixel x, y of each control point, (n, 2), y down.
        ground: meters east, north of each control point, (n, 2).
        subject: file or thing that contains the points, for messages.

    Raises:
        GeographyError: fewer than four points, a mirrored image of the ground, a horizon between the points,
            or points that do not determine a homography, for example three of four on a line.
    """
    from scipy.optimize import least_squares

    pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
    ground = np.asarray(ground, np.float64).reshape(-1, 2)
    _check_points(pixels, ground, subject)
    to_unit_pixels = _compute_normalization(pixels)
    to_unit_ground = _compute_normalization(ground)
    unit_pixels = apply_homography(to_unit_pixels, pixels)
    unit_ground = apply_homography(to_unit_ground, ground)
    start = _solve_linear(unit_ground, unit_pixels, subject)

    def compute_residuals(values: FloatArray) -> FloatArray:
        mapped = np.append(values, start[2, 2]).reshape(3, 3) @ np.vstack(
            [unit_ground.T, np.ones(len(ground))]
        )
        return (mapped[:2] / mapped[2] - unit_pixels.T).ravel()

    refined = start
    if len(pixels) > MIN_POINTS:
        solution = least_squares(compute_residuals, start.ravel()[:8], method="lm", x_scale="jac")
        refined = np.append(solution.x, start[2, 2]).reshape(3, 3)
    to_pixels = np.linalg.inv(to_unit_pixels) @ refined @ to_unit_ground
    matrix = orient_homography(np.linalg.inv(to_pixels), is_mirrored=True, subject=subject)
    is_seen = np.isfinite(apply_homography(matrix, pixels)).all(axis=1)
    if is_seen.any() and not is_seen.all():
        raise GeographyError(
            f"{subject}: the horizon must not be between the control points; check point "
            f"{int(np.argmin(is_seen)) + 1}"
        )
    if not is_seen.any():
        raise GeographyError(
            f"{subject}: the ground must not be mirrored in the image; check the order of pixel x, y, of "
            "latitude, longitude, and of the corners"
        )
    residuals_m = np.linalg.norm(apply_homography(matrix, pixels) - ground, axis=1)
    inverse = orient_homography(np.linalg.inv(matrix), is_mirrored=True, subject=subject)
    residuals_px = np.linalg.norm(apply_homography(inverse, ground) - pixels, axis=1)
    return HomographyFit(matrix, residuals_px, residuals_m)


def _check_points(pixels: FloatArray, ground: FloatArray, subject: str) -> None:
    if len(pixels) != len(ground):
        raise GeographyError(f"{subject}: got {len(pixels)} pixels and {len(ground)} ground positions")
    if len(pixels) < MIN_POINTS:
        raise GeographyError(
            f"{subject}: at least {MIN_POINTS} control points are needed: got {len(pixels)}; add points"
        )
    if not (np.isfinite(pixels).all() and np.isfinite(ground).all()):
        raise GeographyError(f"{subject}: control points must be finite numbers")
    for name, points in (("pixels", pixels), ("ground positions", ground)):
        if len(np.unique(points, axis=0)) < MIN_POINTS:
            raise GeographyError(f"{subject}: at least {MIN_POINTS} {name} of control points must differ")


def _compute_normalization(points: FloatArray) -> FloatArray:
    """Return the similarity that moves points to mean 0 and root mean square 1, as a homography."""
    center = points.mean(axis=0)
    scale = 1 / np.sqrt(((points - center) ** 2).mean())
    return np.array([[scale, 0, -scale * center[0]], [0, scale, -scale * center[1]], [0, 0, 1.0]])


def _solve_linear(source: FloatArray, target: FloatArray, subject: str) -> FloatArray:
    """Return the homography with the smallest algebraic error (direct linear transform)."""
    ones, zeros = np.ones(len(source)), np.zeros((len(source), 3))
    homogeneous = np.column_stack([source, ones])
    rows_x = np.hstack([homogeneous, zeros, -target[:, :1] * homogeneous])
    rows_y = np.hstack([zeros, homogeneous, -target[:, 1:] * homogeneous])
    _, singular_values, directions = np.linalg.svd(np.vstack([rows_x, rows_y]))
    if singular_values[7] < _MIN_CONDITION * singular_values[0]:
        raise GeographyError(
            f"{subject}: the control points do not determine a homography: too many are on one line; "
            "spread them over the image"
        )
    return np.asarray(directions[8].reshape(3, 3), np.float64)
