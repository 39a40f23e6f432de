"""Distractors: look-alikes seen beside a target, which are therefore not the target."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.crops import SquareCrop
from tracking_runtime.boxes import compute_centers, intersection_over_union

Boxes = NDArray[np.float64]

_SAME_OBJECT_IOU = 0.3  # IoU above which boxes of two successive frames show the same object
_OTHER_OBJECT_IOU = 0.1  # IoU up to which two boxes of one frame show different objects
_MAX_FRAMES_UNSEEN = 30  # frames after which a distractor that is not seen is forgotten
_MAX_MISSES = 2  # the same, counting only the frames in which its position was searched


class Distractors:
    """Boxes of the distractors of one target, tracked from frame to frame by their overlap."""

    def __init__(self) -> None:
        self._boxes: Boxes = np.zeros((0, 4))
        self._frames_unseen = np.zeros(0, int)
        self._misses = np.zeros(0, int)

    def matches(self, boxes: Boxes, target_box: Boxes) -> NDArray[np.bool_]:
        """Return which boxes overlap a distractor more than the target's predicted box.

        Args:
            boxes: boxes ``(n, 4)`` of candidates.
            target_box: predicted box ``(4,)`` of the target.
        """
        overlaps = intersection_over_union(boxes, self._boxes).max(axis=1, initial=0.0)
        target_overlaps = intersection_over_union(boxes, target_box)[:, 0]
        is_distractor: NDArray[np.bool_] = overlaps > np.maximum(target_overlaps, _SAME_OBJECT_IOU)
        return is_distractor

    def add(self, boxes: Boxes) -> None:
        """Add distractors at boxes ``(n, 4)``, seen in this frame."""
        self._boxes = np.concatenate([self._boxes, boxes])
        self._frames_unseen = np.pad(self._frames_unseen, (0, len(boxes)))
        self._misses = np.pad(self._misses, (0, len(boxes)))

    def update(self, boxes: Boxes, target_box: Boxes | None, regions: Iterable[SquareCrop]) -> None:
        """Move the distractors to where a frame shows them. Add new ones if the target is confident.

        Args:
            boxes: boxes ``(n, 4)`` of all objects seen in the frame.
            target_box: box ``(4,)`` of a confident target; None: the target is not confident, and no
                distractor is added.
            regions: search regions of the frame.
        """
        self._frames_unseen += 1
        self._misses += self._find_searched(regions)

        # Step 1: leave out the target itself.
        if target_box is not None:
            boxes = boxes[intersection_over_union(boxes, target_box)[:, 0] <= _OTHER_OBJECT_IOU]

        # Step 2: move the distractors that are seen again.
        is_same = intersection_over_union(boxes, self._boxes) > _SAME_OBJECT_IOU
        box_indices, distractor_indices = np.nonzero(is_same)
        self._boxes[distractor_indices] = boxes[box_indices]
        self._frames_unseen[distractor_indices] = 0
        self._misses[distractor_indices] = 0

        # Step 3: add the other objects, and forget distractors that are gone.
        if target_box is not None:
            self.add(boxes[~is_same.any(axis=1)])
        is_kept = (self._frames_unseen <= _MAX_FRAMES_UNSEEN) & (self._misses <= _MAX_MISSES)
        self._boxes = self._boxes[is_kept]
        self._frames_unseen = self._frames_unseen[is_kept]
        self._misses = self._misses[is_kept]

    def _find_searched(self, regions: Iterable[SquareCrop]) -> NDArray[np.bool_]:
        """Return which distractors have their center in a search region."""
        positions = compute_centers(self._boxes)
        is_searched = np.zeros(len(self._boxes), bool)
        for region in regions:
            is_searched |= region.contains(positions)
        return is_searched
