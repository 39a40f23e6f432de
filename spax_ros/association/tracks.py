"""Result of association: tracks as parallel arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, clip_to_image


class TrackState(IntEnum):
    """State of a track, with the values of TrackArray.msg.

    TENTATIVE: detected once so far, or not known to move. CONFIRMED: detected in this frame and moving.
    COASTING: not detected in this frame.
    """

    TENTATIVE = 1
    CONFIRMED = 2
    COASTING = 3


@dataclass(frozen=True)
class Tracks:
    """Every track after one frame, as parallel arrays.

    Attributes:
        ids: ids ``(n,)`` from 1, in the order in which the tracks began.
        class_ids: class ids ``(n,)``.
        scores: scores ``(n,)`` of the tracks' last detections, 0 to 1.
        boxes: filtered boxes ``(n, 4)``: x, y, width, height in pixels of this frame.
        velocities: velocities over the ground ``(n, 2)`` in pixels per second, in this frame's axes.
        states: values ``(n,)`` of `TrackState`.
        ages: frames ``(n,)`` since the track began.
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

    @property
    def is_confirmed(self) -> NDArray[np.bool_]:
        """True for each track that was detected in this frame and moves, ``(n,)``."""
        return self.states == TrackState.CONFIRMED

    def clip_to_image(self, width: int, height: int) -> Tracks:
        """Return the tracks that reach into the image, with their boxes clipped to it."""
        clipped = replace(self, boxes=clip_to_image(self.boxes, width, height))
        is_inside = (clipped.boxes[:, 2:] > 0).all(axis=1)
        return Tracks(*(getattr(clipped, field.name)[is_inside] for field in fields(clipped)))
