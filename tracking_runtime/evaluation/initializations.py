"""Where a tracker of one target starts: one pass, and perturbed starts as OTB measures robustness with.

Spatial robustness (SRE): twelve first boxes, moved by a tenth of the target's size in eight directions, and
scaled by 0.8, 0.9, 1.1 and 1.2. Temporal robustness (TRE): twenty starts spread evenly over the frames that
have the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tracking_runtime.boxes import Boxes

Robustness = Literal["one-pass", "spatial", "temporal"]

_SHIFT = 0.1
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
_SEGMENTS = 20


@dataclass(frozen=True)
class Start:
    """One start.

    Attributes:
        name: of the start, empty for the one pass.
        frame: index of the first frame in which it may be; it is in the next that has the target.
        shift: of the box, in units of its width and height.
        scale: of the box about its centre.
    """

    name: str = ""
    frame: int = 0
    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0

    def box(self, truth: Boxes) -> Boxes:
        """The ``(1, 4)`` box to start with, where the true one is known."""
        size = truth[:, 2:]
        centre = truth[:, :2] + size / 2 + np.array(self.shift) * size
        return truth if self == Start(self.name, self.frame) else np.concatenate(
            [centre - size * self.scale / 2, size * self.scale], axis=1
        )  # fmt: skip


ONE_PASS = Start()


def starts(robustness: Robustness, present: Sequence[int]) -> Sequence[Start]:
    """The starts of a video whose target is present in some frames, given by their indices in order."""
    if robustness == "one-pass":
        return (ONE_PASS,)
    if robustness == "temporal":
        segments = min(_SEGMENTS, len(present))
        frames = [int(present[k * len(present) // segments]) for k in range(segments)]
        return [Start(f"from {frame + 1}", frame) for frame in frames]
    moved = [
        Start(name, shift=(_SHIFT * right, _SHIFT * down)) for name, (right, down) in _DIRECTIONS.items()
    ]
    return [*moved, *(Start(f"x{scale:g}", scale=scale) for scale in _SCALES)]
