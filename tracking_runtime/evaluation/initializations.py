"""Initializations of a single-target tracker: one pass (OPE), and OTB's robustness tests (SRE, TRE).

Spatial robustness (SRE): 12 first boxes, shifted by a tenth of the target's size in 8 directions, and scaled
by 0.8, 0.9, 1.1 and 1.2. Temporal robustness (TRE): 20 first frames, spread evenly over the frames that show
the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tracking_runtime.boxes import Boxes

Robustness = Literal["one-pass", "spatial", "temporal"]

_SHIFT = 0.1  # fraction of the box's width and height
_SCALES = (0.8, 0.9, 1.1, 1.2)
_DIRECTIONS = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up-left": (-1, -1),
    "up-right": (1, -1),
    "down-left": (-1, 1),
    "down-right": (1, 1),
}
_MAX_TEMPORAL_INITIALIZATIONS = 20


@dataclass(frozen=True)
class Initialization:
    """First frame and first box of a single-target tracker.

    Attributes:
        name: name of the initialization, empty for one pass.
        frame: index of the earliest first frame. The tracker starts in the next frame that shows the target.
        shift: offset of the box in units of its width and height.
        scale: size of the box relative to the ground truth, about the same center.
    """

    name: str = ""
    frame: int = 0
    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0

    def perturb_box(self, truth: Boxes) -> Boxes:
        """Return the first box, (1, 4), for a box of the ground truth."""
        if self == Initialization(self.name, self.frame):
            return truth  # bit-exact, without rounding
        size = truth[:, 2:]
        center = truth[:, :2] + size / 2 + np.array(self.shift) * size
        return np.concatenate([center - size * self.scale / 2, size * self.scale], axis=1)


ONE_PASS = Initialization()


def make_initializations(robustness: Robustness, present_frames: Sequence[int]) -> Sequence[Initialization]:
    """Make the initializations of a video.

    Args:
        robustness: test.
        present_frames: indices of the frames that show the target, in order.
    """
    if robustness == "one-pass":
        return (ONE_PASS,)
    if robustness == "temporal":
        count = min(_MAX_TEMPORAL_INITIALIZATIONS, len(present_frames))
        frames = [int(present_frames[k * len(present_frames) // count]) for k in range(count)]
        return [Initialization(f"from {frame + 1}", frame) for frame in frames]
    shifted = [
        Initialization(name, shift=(_SHIFT * right, _SHIFT * down))
        for name, (right, down) in _DIRECTIONS.items()
    ]
    scaled = [Initialization(f"x{scale:g}", scale=scale) for scale in _SCALES]
    return [*shifted, *scaled]
