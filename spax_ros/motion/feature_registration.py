"""Registration of frames under fast rotation, zoom and rolling shutter: an affine transform from features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.background import IDENTITY, GrayImage, Transform

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


def register_features(
    previous: GrayImage, current: GrayImage, expected: Transform | None = None
) -> Transform | None:
    """Return the affine transform from the previous frame's pixels to the current frame's; None without one.

    Corners are followed by optical flow, from where they are expected. If too few agree, ORB features are
    matched, which finds large rotations and zooms. Moving objects and high buildings are outliers of a robust
    estimate. The shear holds what a rolling shutter adds to a steady motion.

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
    guess = cv2.transform(corners, expected).astype(np.float32)
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
    """Return the transform of most matches; None if too few agree or it is no camera motion."""
    if len(points) < _MIN_INLIERS:
        return None
    transform, inliers = cv2.estimateAffine2D(
        points, moved, method=cv2.USAC_MAGSAC, ransacReprojThreshold=_INLIER_PX
    )
    if transform is None or inliers.sum() < max(_MIN_INLIERS, _MIN_INLIER_SHARE * len(points)):
        return None
    scales = np.linalg.svd(transform[:, :2], compute_uv=False)
    is_sane = (
        _SCALE_RANGE[0] < scales[1] <= scales[0] < _SCALE_RANGE[1] and np.linalg.det(transform[:, :2]) > 0
    )
    return np.asarray(transform, np.float64) if is_sane else None
