"""Templates of one target: the initial one, and the online one that is replaced from time to time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.inference import Kernels
from hsi_tracker_ros.tracker.frame_context import FrameContext


@dataclass(frozen=True)
class TemplateFrame:
    """Frame that shows a target, and from which a template can be cut.

    Attributes:
        context: the frame.
        box: box ``(4,)`` of the target in the frame.
        score: score of the target in the frame, 0..1.
        stamp_ns: stamp of the frame.
    """

    context: FrameContext
    box: NDArray[np.float64]
    score: float
    stamp_ns: int


@dataclass
class Templates:
    """Templates of one target as kernels of the network.

    Attributes:
        initial: kernels of the frame in which the target was set.
        online: kernels of the online template; the object `initial` while there is no online template.
        stamp_ns: stamp of the frame of the newest template.
        pending: frame with the highest score since the last online update; the next online template.
        frames_since_update: number of confident frames since the last online update was due.
    """

    initial: Kernels
    online: Kernels
    stamp_ns: int
    pending: TemplateFrame | None = None
    frames_since_update: int = 0

    @property
    def has_online(self) -> bool:
        """Presence of an online template beside the initial one."""
        return self.online is not self.initial

    def offer(self, frame: TemplateFrame) -> None:
        """Make a frame pending unless the pending frame has a higher score."""
        if self.pending is None or frame.score >= self.pending.score:
            self.pending = frame

    def begin_interval(self) -> None:
        """Begin the interval until the next online update, without a pending frame."""
        self.pending = None
        self.frames_since_update = 0

    def set_online(self, kernels: Kernels, stamp_ns: int) -> None:
        """Replace the online template by the kernels of a frame with this stamp."""
        self.online = kernels
        self.stamp_ns = stamp_ns

    def drop_online(self) -> None:
        """Drop the online template and the pending frame."""
        self.online = self.initial
        self.pending = None
