"""Costs of matching tracks with detections: GTA, IoU, score-weighted IoU and distance of centers.

GTA is the Gaussian-based trajectory association of SPAX. Half of its cost is the overlap of boxes of twice
the size. The other half is the Kullback-Leibler divergence of the boxes as Gaussians. The divergence still
orders pairs by distance if boxes of a few pixels no longer overlap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from tracking_runtime.boxes import Boxes, compute_centers

CostFunction = Callable[[Boxes, Boxes, NDArray[np.float32]], NDArray[np.float64]]
"""Cost ``(n,)`` from 0 to 1 of each pair, from the track's box, the detection's box and its score."""

MIN_SIDE_PX = 1e-6  # added to sides, so that a box without size has a divergence
MAX_KL = 4.0  # divergence of the farthest pairs that can be matched
MAX_DISTANCE_PX = 10.0  # distance of centers with the cost 1
MAX_NEIGHBORS = 32  # detections that a track is paired with


def compute_extended_iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Return the IoU ``(n,)`` of the boxes of each pair, grown to twice their size about their centers.

    As published, left and top are clipped to 0, and sides count pixels inclusively (plus one).
    """
    a_corners, b_corners = _compute_grown_corners(a), _compute_grown_corners(b)
    sides = (
        np.minimum(a_corners[:, 2:], b_corners[:, 2:]) - np.maximum(a_corners[:, :2], b_corners[:, :2]) + 1
    )
    intersection = np.where((sides > 0).all(axis=1), sides.prod(axis=1), 0.0)
    union = _compute_inclusive_area(a_corners) + _compute_inclusive_area(b_corners) - intersection
    return intersection / union


def compute_kl_divergence(detections: Boxes, tracks: Boxes) -> NDArray[np.float64]:
    """Return KL(detection || track) ``(n,)`` of each pair, boxes as N(center, diag(w^2, h^2) / 4)."""
    size = tracks[:, 2:] + MIN_SIDE_PX
    ratio = ((detections[:, 2:] + MIN_SIDE_PX) / size) ** 2
    offset = 2 * (compute_centers(tracks) - compute_centers(detections)) / size
    return (ratio + offset**2 - np.log(ratio) - 1).sum(axis=1) / 2


def compute_gta_cost(
    tracks: Boxes, detections: Boxes, _scores: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """Return the cost ``(n,)`` of each pair: ``(1 - IoU_e) / 2 + (1 - 1 / (1 + KL)) / 2``."""
    kl = compute_kl_divergence(detections, tracks)
    return (1 - compute_extended_iou(tracks, detections)) / 2 + kl / (1 + kl) / 2


def compute_iou_cost(tracks: Boxes, detections: Boxes, _scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return 1 - IoU ``(n,)`` of each pair, the cost of SORT."""
    top_left = np.maximum(tracks[:, :2], detections[:, :2])
    bottom_right = np.minimum(tracks[:, :2] + tracks[:, 2:], detections[:, :2] + detections[:, 2:])
    intersection = np.maximum(bottom_right - top_left, 0).prod(axis=1)
    return 1 - intersection / (tracks[:, 2:].prod(axis=1) + detections[:, 2:].prod(axis=1) - intersection)


def compute_scored_iou_cost(
    tracks: Boxes, detections: Boxes, scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return 1 - IoU * score ``(n,)`` of each pair, the cost of ByteTrack."""
    return 1 - (1 - compute_iou_cost(tracks, detections, scores)) * scores


def compute_distance_cost(
    tracks: Boxes, detections: Boxes, _scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the distance of the centers of each pair ``(n,)``, in units of `MAX_DISTANCE_PX`, at most 1."""
    offsets = compute_centers(tracks) - compute_centers(detections)
    return np.minimum(np.linalg.norm(offsets, axis=1) / MAX_DISTANCE_PX, 1.0)


def find_near_pairs(tracks: Boxes, detections: Boxes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of all pairs whose GTA cost can be below 0.9: rows and columns, both (pairs,).

    The grown boxes of such a pair touch, or its divergence is below `MAX_KL`. Thousands of detections then
    need no full matrix. A track is paired with its `MAX_NEIGHBORS` nearest detections only, so that time and
    memory grow with the number of tracks.
    """
    if len(tracks) == 0 or len(detections) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    track_side, detection_side = tracks[:, 2:].max(axis=1), detections[:, 2:].max(axis=1)
    kl_radius = np.sqrt(MAX_KL / 2) * track_side
    max_distance = np.sqrt(2) * max(track_side.max() + detection_side.max() + 1, kl_radius.max())

    # Step 1: the nearest detections of each track.
    num_neighbors = min(MAX_NEIGHBORS, len(detections))
    distance, column = KDTree(compute_centers(detections)).query(
        compute_centers(tracks), k=np.arange(1, num_neighbors + 1), distance_upper_bound=max_distance
    )
    row, rank = np.nonzero(np.isfinite(distance))
    column = column[row, rank].astype(np.int64)

    # Step 2: those within the radius of this pair.
    radius = np.sqrt(2) * np.maximum(track_side[row] + detection_side[column] + 1, kl_radius[row])
    is_near = distance[row, rank] <= radius
    return row[is_near], column[is_near]


def _compute_grown_corners(boxes: Boxes) -> Boxes:
    top_left = np.maximum(boxes[:, :2] - boxes[:, 2:] / 2, 0)
    return np.concatenate([top_left, boxes[:, :2] + 1.5 * boxes[:, 2:]], axis=1)


def _compute_inclusive_area(ltrb: Boxes) -> NDArray[np.float64]:
    return (ltrb[:, 2:] - ltrb[:, :2] + 1).prod(axis=1)
