"""Things seen beside a target, which it therefore is not, however much they look like it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.crops import SquareCrop
from tracking_runtime.boxes import centres, intersection_over_union

Floats = NDArray[np.float64]

_SAME = 0.3
"""Overlap from which on a box shows what another did the frame before."""
_APART = 0.1
"""Overlap up to which two boxes show two things."""
_REMEMBERED = 30
"""Frames for which a thing is known where it was seen last."""
_MISSED = 2
"""Of them, those at most in which that place was searched."""


class Distractors:
    """What stands where, from frame to frame."""

    def __init__(self) -> None:
        self._boxes = np.zeros((0, 4))
        self._waits = np.zeros((0, 2), int)

    def know(self, boxes: Floats, expected: Floats) -> NDArray[np.bool_]:
        """Which of boxes ``(n, 4)`` show one of them rather than what is expected in another box."""
        overlaps = intersection_over_union(boxes, self._boxes).max(axis=1, initial=0.0)
        known: NDArray[np.bool_] = overlaps > np.maximum(
            intersection_over_union(boxes, expected)[:, 0], _SAME
        )
        return known

    def add(self, boxes: Floats) -> None:
        """Know what boxes ``(n, 4)`` show from now on."""
        self._boxes = np.concatenate([self._boxes, boxes])
        self._waits = np.pad(self._waits, ((0, len(boxes)), (0, 0)))

    def look(self, boxes: Floats, target: Floats | None, areas: Iterable[SquareCrop]) -> None:
        """Follow those that are seen again, and with the target in sight get to know others beside it.

        Args:
            boxes: ``(n, 4)`` of all that is seen in a frame.
            target: the box that surely holds it; None: it is not surely seen.
            areas: of the frame that were searched.
        """
        self._waits += np.stack([np.ones(len(self._boxes), bool), self._within(areas)], axis=1)
        if target is not None:
            boxes = boxes[intersection_over_union(boxes, target)[:, 0] <= _APART]
        same = intersection_over_union(boxes, self._boxes) > _SAME
        seen, known = np.nonzero(same)
        self._boxes[known], self._waits[known] = boxes[seen], 0
        if target is not None:
            self.add(boxes[~same.any(axis=1)])
        kept = (self._waits <= (_REMEMBERED, _MISSED)).all(axis=1)
        self._boxes, self._waits = self._boxes[kept], self._waits[kept]

    def _within(self, areas: Iterable[SquareCrop]) -> NDArray[np.bool_]:
        """Which of them stand in any of these areas."""
        places, within = centres(self._boxes), np.zeros(len(self._boxes), bool)
        for area in areas:
            within |= area.holds(places)
        return within
