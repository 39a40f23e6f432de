"""Passes of a tracker over the same frames, forward and backward in time, and their merge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, intersection_over_union

_SAME_OBJECT_OVERLAP = 0.5  # IoU from which the boxes of both passes are averaged


@dataclass(frozen=True)
class TargetPass:
    """One target in consecutive frames, as one pass of a tracker saw it.

    Attributes:
        boxes: boxes, (n, 4).
        scores: probability that the box contains the target, (n,).
        is_lost: frames in which the tracker reported the target as lost, (n,).
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    is_lost: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.scores)


def merge_passes(forward: TargetPass, backward: TargetPass) -> TargetPass:
    """Merge two passes over the same frames by their scores.

    Where both have the target, boxes that overlap are averaged with their scores as weights; otherwise the
    box of the higher score counts. Where one pass has lost the target, that of the other counts. Where both
    have, the target stays lost.

    Args:
        forward: pass forward in time.
        backward: pass backward in time, in the order of the frames.
    """
    overlaps = np.array(
        [
            intersection_over_union(one, other)[0, 0]
            for one, other in zip(forward.boxes, backward.boxes, strict=True)
        ]
    )
    is_backward = forward.is_lost & ~backward.is_lost
    is_both = ~forward.is_lost & ~backward.is_lost
    is_backward |= is_both & (backward.scores > forward.scores)
    weights = forward.scores / np.maximum(forward.scores + backward.scores, np.finfo(float).tiny)
    weights = np.where(is_both & (overlaps >= _SAME_OBJECT_OVERLAP), weights, np.where(is_backward, 0.0, 1.0))
    boxes = weights[:, None] * forward.boxes + (1 - weights[:, None]) * backward.boxes
    return TargetPass(
        boxes,
        np.where(is_backward, backward.scores, forward.scores),
        forward.is_lost & backward.is_lost,
    )
