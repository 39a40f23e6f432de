"""Refinement of a box by the target's spectrum.

An object that touches the target may look as if it were a part of the target. The network then predicts one
box around both, and the tracker would drift to the other object.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.tracker.candidate_finder import compute_log_spectral_distance
from hsi_tracker_ros.tracker.candidates import Candidate
from hsi_tracker_ros.tracker.search_batch import TargetSearch
from hsi_tracker_ros.tracker.settings import TrackerSettings

_MIN_DECREASE = 0.5  # of the log spectral distance by a refined box that replaces the network's
_NUM_POSITIONS = 5  # tried positions along each side of the candidate's box
_SIZE_FACTORS = (
    1.0,
    0.85,
)  # tried sizes, relative to the last size, which may include another object already


def refine_box(candidate: Candidate, search: TargetSearch, settings: TrackerSettings) -> Candidate:
    """Replace a candidate's box by one of about the target's last size that matches its spectrum better.

    The candidate of a lost target is unchanged, because the target may have any size.

    Args:
        candidate: the best candidate of the frame.
        search: target and frame.
        settings: settings of the tracker.

    Returns:
        the candidate itself, or a copy with another box.
    """
    target = search.target
    if target.is_lost or not settings.score_misfit:
        return candidate
    sizes = [target.box[2:] * factor for factor in _SIZE_FACTORS]
    boxes = np.concatenate([_spread_boxes(candidate.box, size) for size in sizes])
    box = boxes[search.context.compute_distances(target.signature, boxes).argmin()]
    log_distance = compute_log_spectral_distance(search, box)
    decrease = candidate.log_spectral_distance - log_distance
    if decrease < _MIN_DECREASE:
        return candidate
    gain = settings.score_misfit * decrease
    return replace(candidate, box=box, log_odds=candidate.log_odds + gain, log_spectral_distance=log_distance)


def _spread_boxes(box: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return boxes ``(n, 4)`` of a size, evenly spread over a box."""
    x, y = np.linspace(box[:2], box[:2] + box[2:] - size, _NUM_POSITIONS).T
    corners = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return np.concatenate([corners, np.broadcast_to(size, corners.shape)], axis=1)
