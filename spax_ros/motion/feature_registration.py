"""Registration of frames under fast rotation, zoom and perspective: a homography from features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.background import GrayImage
from spax_ros.transforms import (
    IDENTITY,
    Transform,
    compose_transforms,
    compute_jacobians,
    invert_transform,
    make_transform,
    transform_points,
)

_MAX_CORNERS = 600
_CORNER_QUALITY = 0.005  # lowest quality of a corner, in qualities of the best
_CORNER_DISTANCE_PX = 10
_FLOW_WINDOW_PX = (25, 25)
_FLOW_LEVELS = 4  # highest level of the pyramid of optical flow
_MAX_RETURN_ERROR_PX = 1.0  # distance of a corner from itself after flow forward and backward
_NUM_ORB_FEATURES = 1500
_INLIER_PX = (
    1.0  # distance of a match from the transform; a rolling shutter bends straight lines by about as much
)
_MIN_INLIERS = 20
_MIN_INLIER_SHARE = 0.35
_SCALE_RANGE = 0.67, 1.5  # of both axes between two frames; a larger change is a failure
_MIN_NOISE_PX = 0.1  # of a match; optical flow is not more exact
_DEVIATION_OF_MEDIAN = 0.85  # standard deviation along an axis, in medians of the distance in the plane
_MAX_SQUARED_DISTANCE = 4.0  # in variances, of a match that is an outlier (Torr)
_MAX_KEYFRAME_AGE = 10  # frames; a view of longer ago shares less of the ground
_MATCH_DIMENSION = 4  # coordinates of a match


def register_features(
    previous: GrayImage, current: GrayImage, expected: Transform | None = None
) -> Transform | None:
    """Return the homography from the previous frame's pixels to the current frame's; None without one.

    Corners are followed by optical flow, from where they are expected. If too few agree, ORB features are
    matched, which finds large rotations and zooms. Moving objects and high buildings are outliers of a robust
    estimate. Where the matches show no perspective, the homography is affine. Its shear holds what a rolling
    shutter adds to a steady motion.

    Args:
        previous: previous frame ``(height, width)``.
        current: current frame ``(height, width)``.
        expected: transform that is expected, as that of the frame before; None: none.
    """
    for points, moved in _list_matches(previous, current, expected):
        transform = _estimate(points, moved)
        if transform is not None:
            return transform
    return None


class KeyframeRegistration:
    """Registration of a stream of frames to keyframes, so that errors do not add up from frame to frame."""

    def __init__(self) -> None:
        self._keyframe: GrayImage | None = None
        self._to_previous = IDENTITY  # from the keyframe's pixels to the previous frame's
        self._motion: Transform | None = None  # of the previous frame
        self._age = 0

    def register(self, previous: GrayImage, current: GrayImage) -> Transform | None:
        """Return the homography from the previous frame's pixels to the current frame's; None without one."""
        if self._keyframe is not None and self._motion is not None and self._age < _MAX_KEYFRAME_AGE:
            expected = compose_transforms(self._motion, self._to_previous)
            to_current = register_features(self._keyframe, current, expected)
            if to_current is not None:
                self._motion = compose_transforms(to_current, invert_transform(self._to_previous))
                self._to_previous = to_current
                self._age += 1
                return self._motion
        self._motion = register_features(previous, current, self._motion)
        self._keyframe = None
        if self._motion is not None:
            self._keyframe, self._to_previous, self._age = previous, self._motion, 1
        return self._motion


def _list_matches(
    previous: GrayImage, current: GrayImage, expected: Transform | None
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield matched points ``(n, 2)`` of both frames by one method after another, best first."""
    corners = cv2.goodFeaturesToTrack(previous, _MAX_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX)
    if corners is not None and len(corners) >= _MIN_INLIERS:
        if expected is not None:
            yield _follow_corners(previous, current, corners, expected)
        yield _follow_corners(previous, current, corners, IDENTITY)
    yield _match_features(previous, current)


def _follow_corners(
    previous: GrayImage, current: GrayImage, corners: NDArray[Any], expected: Transform
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the corners whose flow returns to them, and where they moved, ``(n, 2)`` each."""
    options: dict[str, Any] = {
        "winSize": _FLOW_WINDOW_PX,
        "maxLevel": _FLOW_LEVELS,
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
    }
    guess = transform_points(corners, expected).astype(np.float32)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(previous, current, corners, guess, **options)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(current, previous, moved, corners.copy(), **options)
    distance = np.linalg.norm((back - corners).reshape(-1, 2), axis=1)
    is_good = (found.ravel() == 1) & (returned.ravel() == 1) & (distance <= _MAX_RETURN_ERROR_PX)
    return corners.reshape(-1, 2)[is_good], moved.reshape(-1, 2)[is_good]


def _match_features(previous: GrayImage, current: GrayImage) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the positions of ORB features that are each other's best match, ``(n, 2)`` each."""
    orb = cv2.ORB.create(_NUM_ORB_FEATURES)
    first_points, first = orb.detectAndCompute(previous, None)
    second_points, second = orb.detectAndCompute(current, None)
    if first is None or second is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(first, second)
    return (
        np.reshape([first_points[match.queryIdx].pt for match in matches], (-1, 2)),
        np.reshape([second_points[match.trainIdx].pt for match in matches], (-1, 2)),
    )


def _estimate(points: NDArray[Any], moved: NDArray[Any]) -> Transform | None:
    """Return the transform of most matches; None if too few agree or it is no camera motion.

    A homography fits every view of flat ground. Where few matches show the perspective or the shear, an
    affine transform or a similarity is more certain. The one of the lowest cost is returned.
    """
    if len(points) < _MIN_INLIERS:
        return None
    candidates = [
        (make_transform(matrix), num_parameters)
        for matrix, num_parameters in (
            (_fit(cv2.estimateAffinePartial2D, cv2.RANSAC, points, moved), 4),
            (_fit(cv2.estimateAffine2D, cv2.USAC_MAGSAC, points, moved), 6),
            (_fit(cv2.findHomography, cv2.USAC_MAGSAC, points, moved), 8),
        )
        if matrix is not None
    ]
    if not candidates:
        return None
    distances = [_compute_distances(points, moved, transform) for transform, _ in candidates]
    noise_px = max(_MIN_NOISE_PX, min(_DEVIATION_OF_MEDIAN * float(np.median(each)) for each in distances))
    costs = [
        compute_model_cost(each / noise_px, num_parameters)
        for each, (_, num_parameters) in zip(distances, candidates, strict=True)
    ]
    best = int(np.argmin(costs))
    num_inliers = np.count_nonzero(distances[best] <= _INLIER_PX)
    is_found = num_inliers >= max(_MIN_INLIERS, _MIN_INLIER_SHARE * len(points))
    transform = candidates[best][0]
    return transform if is_found and _is_camera_motion(transform, moved) else None


def _fit(
    fit: Callable[..., Any], method: int, points: NDArray[Any], moved: NDArray[Any]
) -> NDArray[Any] | None:
    """Return the matrix of a model that most matches agree on; None without one."""
    matrix, _ = fit(points, moved, method=method, ransacReprojThreshold=_INLIER_PX)
    is_valid = matrix is not None and np.isfinite(matrix).all() and (len(matrix) == 2 or matrix[2, 2] != 0)
    return matrix if is_valid else None


def _compute_distances(
    points: NDArray[Any], moved: NDArray[Any], transform: Transform
) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(transform_points(points, transform) - moved, axis=1))


def compute_model_cost(distances: NDArray[np.float64], num_parameters: int) -> float:
    """Return the geometric robust information criterion of a model (Torr, 1998); lower is better.

    It is the part that differs between models of the same dimension.

    Args:
        distances: distance of each match from the model in standard deviations, ``(n,)``.
        num_parameters: number of the model's parameters.
    """
    residual = np.minimum(distances**2, _MAX_SQUARED_DISTANCE).sum()
    return float(residual + num_parameters * np.log(_MATCH_DIMENSION * len(distances)))


def _is_camera_motion(transform: Transform, points: NDArray[Any]) -> bool:
    """Return whether a transform neither mirrors nor zooms too much, at the outermost of some points."""
    low, high = points.min(axis=0), points.max(axis=0)
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])], np.float64)
    if (corners @ transform[2, :2] + 1 <= 0).any():
        return False
    jacobians = compute_jacobians(corners, transform)
    scales = np.linalg.svd(jacobians, compute_uv=False)
    is_in_range = (scales > _SCALE_RANGE[0]) & (scales < _SCALE_RANGE[1])
    return bool(is_in_range.all() and (np.linalg.det(jacobians) > 0).all())
