"""Boxes fitted to the target's spectrum (ours, beyond the paper).

What a target touches may look as if it were part of it. The regression then draws one box around both, and
frame by frame the tracker would go over to the other thing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.tracker.candidates import spectral_misfit
from hsi_tracker_ros.tracker.frame_context import View
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.target import Sighting, Target

_PLACES = 5
"""Along each side of a box."""
_SIZES = (1.0, 0.85)
"""Of the boxes that are tried, in the target's last: it may have taken the size of two things already."""


def fitted(sighting: Sighting, target: Target, view: View, settings: TrackerSettings) -> Sighting:
    """The sighting, or with a box of about the target's last size if that fits its spectrum much better.

    Args:
        sighting: of the target.
        target: that is followed; one that is lost may have any size, so that nothing is fitted.
        view: of the frame.
        settings: of the tracker.
    """
    if target.lost or not settings.score_misfit:
        return sighting
    boxes = np.concatenate([_along(sighting.box, target.box[2:] * size) for size in _SIZES])
    box = boxes[view.distances(target.signature, boxes).argmin()]
    misfit = spectral_misfit(target, view, box)
    gain = settings.score_misfit * (sighting.misfit - misfit)
    if gain < settings.fitting_gain:
        return sighting
    return replace(sighting, box=box, evidence=sighting.evidence + gain, misfit=misfit)


def _along(box: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes ``(n, 4)`` of a size, spread from one corner of a box to the opposite one."""
    x, y = np.linspace(box[:2], box[:2] + box[2:] - size, _PLACES).T
    corners = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return np.concatenate([corners, np.broadcast_to(size, corners.shape)], axis=1)
