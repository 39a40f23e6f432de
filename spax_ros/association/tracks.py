"""What association gives: tracks as parallel arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, clip_to_image


class TrackState(IntEnum):
    """Values as in TrackArray.msg.

    TENTATIVE is seen once so far, or seen and not known to move; COASTING is not seen in this frame.
    """

    TENTATIVE = 1
    CONFIRMED = 2
    COASTING = 3


@dataclass(frozen=True)
class Tracks:
    """Every track after one frame, as parallel arrays.

    Attributes:
        ids: ``(n,)`` from 1, in the order in which the tracks began.
        class_ids: ``(n,)``.
        scores: ``(n,)`` of the last detection, 0..1.
        boxes: ``(n, 4)`` x, y, width, height in pixels of this frame, filtered.
        velocities: ``(n, 2)`` pixels per second over the ground, in this frame's axes.
        states: ``(n,)`` of TrackState.
        ages: ``(n,)`` frames since the track began.
    """

    ids: NDArray[np.int64]
    class_ids: NDArray[np.uint8]
    scores: NDArray[np.float32]
    boxes: Boxes
    velocities: NDArray[np.float64]
    states: NDArray[np.uint8]
    ages: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    def within(self, width: int, height: int) -> Tracks:
        """The tracks of which anything is inside an image, and their boxes as far as they are inside."""
        cut = replace(self, boxes=clip_to_image(self.boxes, width, height))
        inside = (cut.boxes[:, 2:] > 0).all(axis=1)
        return Tracks(*(getattr(cut, field.name)[inside] for field in fields(cut)))
