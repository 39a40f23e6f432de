"""Registration of a frame to the previous one, at a reduced size if the frame is large."""

from __future__ import annotations

import cv2
import numpy as np

from spax_ros.motion.background import GrayImage
from spax_ros.transforms import IDENTITY, Transform, make_transform

MIN_RESPONSE = 0.1  # of phase correlation, 0 to 1; a weaker peak is no shift
MAX_REGISTRATION_SIDE_PX = 1024  # images with a longer side are reduced by an integer factor first

_THUMBNAIL_SIDE_PX = 256  # longer side of the image in which corners are found
_MAX_CORNERS = 300
_MIN_CORNERS = 12  # corners below which the shift is found by phase correlation
# Lowest quality of a corner, in qualities of the best. A bright object may have the best ones: it must not
# leave the ground without corners.
_CORNER_QUALITY = 0.003
_CORNER_DISTANCE_PX = 6  # shortest distance of two corners in the thumbnail
_FLOW_WINDOW_PX = (15, 15)
_FLOW_LEVELS = 3  # highest level of the pyramid of optical flow
_MAX_REPROJECTION_ERROR_PX = 0.5  # of an inlier of RANSAC
_MAX_SCALE_CHANGE = 0.02  # between two frames; a larger change is a failure


def register_frames(previous: GrayImage, current: GrayImage) -> Transform:
    """Return the similarity from the previous frame's pixels to the current frame's.

    RANSAC rejects the corners of moving objects. Without enough corners the transform is a shift by phase
    correlation. Without any structure, as in a black frame, the transform is the identity.
    """
    transform = _find_similarity(previous, current)
    if transform is not None:
        return transform

    # Otherwise: a shift by phase correlation.
    shift, response = cv2.phaseCorrelate(previous.astype(np.float32), current.astype(np.float32))
    if response < MIN_RESPONSE:
        return IDENTITY
    return make_transform([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])


def _find_similarity(previous: GrayImage, current: GrayImage) -> Transform | None:
    """Return the similarity that most corners agree on; None if there is none, or it zooms by over 2 %."""
    # Step 1: corners of the previous frame, found in a thumbnail.
    height, width = previous.shape
    scale = _THUMBNAIL_SIDE_PX / max(height, width)
    size = (int(width * scale), int(height * scale)) if scale < 1 else (width, height)
    thumbnail = cv2.resize(previous, size, interpolation=cv2.INTER_AREA)
    corners = cv2.goodFeaturesToTrack(thumbnail, _MAX_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX)
    if corners is not None and len(corners) >= _MIN_CORNERS:
        ratio = np.array([width / size[0], height / size[1]], np.float32)
        corners = (corners + 0.5) * ratio - 0.5

        # Step 2: their positions in the current frame by Lucas-Kanade optical flow.
        moved, status, _ = cv2.calcOpticalFlowPyrLK(
            previous,
            current,
            corners,
            np.zeros_like(corners),
            winSize=_FLOW_WINDOW_PX,
            maxLevel=_FLOW_LEVELS,
        )
        is_found = status.ravel() == 1

        # Step 3: a similarity by RANSAC.
        if is_found.sum() >= _MIN_CORNERS:
            transform, _ = cv2.estimateAffinePartial2D(
                corners[is_found],
                moved[is_found],
                method=cv2.RANSAC,
                ransacReprojThreshold=_MAX_REPROJECTION_ERROR_PX,
            )
            if transform is not None and abs(np.hypot(*transform[:, 0]) - 1) < _MAX_SCALE_CHANGE:
                return make_transform(transform)
    return None


def find_registration_factor(gray: GrayImage) -> int:
    """Return the smallest whole factor that brings both sides to `MAX_REGISTRATION_SIDE_PX` or less."""
    return -(-max(gray.shape) // MAX_REGISTRATION_SIDE_PX)


def downsample_for_registration(gray: GrayImage) -> tuple[GrayImage, int]:
    """Return the image as registration uses it, and the whole factor of its reduction.

    Both sides of the result have at most `MAX_REGISTRATION_SIDE_PX` pixels. A small image is returned
    unchanged with factor 1.

    Args:
        gray: image (H, W).
    """
    factor = find_registration_factor(gray)
    return downsample(gray, factor), factor


def downsample(gray: GrayImage, factor: int) -> GrayImage:
    """Return the image (H, W) reduced by a whole factor. A pixel is the mean of ``factor * factor`` pixels.

    Rows and columns that do not fill a pixel are dropped.
    """
    if factor == 1:
        return gray
    height, width = (side // factor for side in gray.shape)
    cropped = gray[: height * factor, : width * factor]
    return cv2.resize(cropped, (width, height), interpolation=cv2.INTER_AREA)
