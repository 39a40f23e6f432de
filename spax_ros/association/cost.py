"""Costs between tracks and detections: GTA's (SPAX, Gaussian-based trajectory association), and others' by
overlap alone, for comparison.

Half of GTA's is the overlap of boxes grown to twice their size, half the Kullback-Leibler divergence of the
boxes as Gaussians: it still tells near from far where boxes of a few pixels no longer overlap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from tracking_runtime.boxes import Boxes, centres

Cost = Callable[[Boxes, Boxes, NDArray[np.float32]], NDArray[np.float64]]
"""``(n,)`` cost 0..1 of each pair, by the track's box, the detection's box and its score."""

SMALLEST_PX = 1e-6
FARTHEST_KL = 4.0
MOST_NEIGHBOURS = 32


def extended_iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """``(n,)`` overlap of the boxes of each pair, grown to twice their size about their centres.

    As published, left and top are cut at the image's edge and sides count pixels inclusively (plus one).
    """
    a_corners, b_corners = _grown_corners(a), _grown_corners(b)
    sides = (
        np.minimum(a_corners[:, 2:], b_corners[:, 2:]) - np.maximum(a_corners[:, :2], b_corners[:, :2]) + 1
    )
    intersection = np.where((sides > 0).all(axis=1), sides.prod(axis=1), 0.0)
    return intersection / (_inclusive_area(a_corners) + _inclusive_area(b_corners) - intersection)


def kl_divergence(detections: Boxes, tracks: Boxes) -> NDArray[np.float64]:
    """``(n,)`` KL(detection || track) of each pair, boxes as Gaussians N(centre, diag(w^2, h^2) / 4)."""
    size = tracks[:, 2:] + SMALLEST_PX
    ratio = ((detections[:, 2:] + SMALLEST_PX) / size) ** 2
    offset = 2 * (centres(tracks) - centres(detections)) / size
    return (ratio + offset**2 - np.log(ratio) - 1).sum(axis=1) / 2


def gta_cost(
    tracks: Boxes, detections: Boxes, _scores: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """``(n,)`` cost 0..1 of each pair: ``(1 - IoU_e) / 2 + (1 - 1 / (1 + KL)) / 2``."""
    kl = kl_divergence(detections, tracks)
    return (1 - extended_iou(tracks, detections)) / 2 + kl / (1 + kl) / 2


def iou_cost(tracks: Boxes, detections: Boxes, _scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(n,)`` 1 - IoU of each pair, as SORT matches."""
    near = np.maximum(tracks[:, :2], detections[:, :2])
    far = np.minimum(tracks[:, :2] + tracks[:, 2:], detections[:, :2] + detections[:, 2:])
    shared = np.maximum(far - near, 0).prod(axis=1)
    return 1 - shared / (tracks[:, 2:].prod(axis=1) + detections[:, 2:].prod(axis=1) - shared)


def scored_iou_cost(tracks: Boxes, detections: Boxes, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(n,)`` 1 - IoU * score of each pair, as ByteTrack matches."""
    return 1 - (1 - iou_cost(tracks, detections, scores)) * scores


def near_pairs(tracks: Boxes, detections: Boxes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the pairs whose cost can be below 0.9: the grown boxes touch, or KL is below 4.

    Everything farther costs more, so that thousands of detections need no full matrix. In a crowd each track
    is paired with the ``MOST_NEIGHBOURS`` nearest only: time and memory grow with the number of tracks.
    """
    if len(tracks) == 0 or len(detections) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    track_side, detection_side = tracks[:, 2:].max(axis=1), detections[:, 2:].max(axis=1)
    divergent = np.sqrt(FARTHEST_KL / 2) * track_side
    farthest = np.sqrt(2) * max(track_side.max() + detection_side.max() + 1, divergent.max())
    neighbours = min(MOST_NEIGHBOURS, len(detections))
    distance, column = KDTree(centres(detections)).query(
        centres(tracks), k=np.arange(1, neighbours + 1), distance_upper_bound=farthest
    )
    row, place = np.nonzero(np.isfinite(distance))
    column = column[row, place].astype(np.int64)
    reach = np.sqrt(2) * np.maximum(track_side[row] + detection_side[column] + 1, divergent[row])
    near = distance[row, place] <= reach
    return row[near], column[near]


def _grown_corners(boxes: Boxes) -> Boxes:
    near = np.maximum(boxes[:, :2] - boxes[:, 2:] / 2, 0)
    return np.concatenate([near, boxes[:, :2] + 1.5 * boxes[:, 2:]], axis=1)


def _inclusive_area(ltrb: Boxes) -> NDArray[np.float64]:
    return (ltrb[:, 2:] - ltrb[:, :2] + 1).prod(axis=1)
