"""Cache of the newest frames, for targets that users set in frames of the past."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from numpy.typing import NDArray

from tracking_runtime.errors import TargetRefusedError


class CachedFrame(NamedTuple):
    """Frame of the tracker.

    Attributes:
        stamp_ns: stamp of the frame.
        cube: cube, or BGR image.
    """

    stamp_ns: int
    cube: NDArray[Any]


class FrameCache:
    """Newest frames of one epoch.

    Args:
        capacity: maximum number of frames.
    """

    def __init__(self, capacity: int) -> None:
        self._frames: deque[CachedFrame] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: CachedFrame) -> None:
        """Add the newest frame. A full cache drops its oldest frame."""
        self._frames.append(frame)

    def clear(self) -> None:
        """Drop all frames."""
        self._frames.clear()

    def get_frames_since(self, stamp_ns: int) -> list[CachedFrame]:
        """Return the frame with a stamp and all newer frames.

        Args:
            stamp_ns: stamp of the first frame; 0: the newest frame.

        Raises:
            TargetRefusedError: no cached frame has this stamp.
        """
        frames = list(self._frames)
        if not stamp_ns:
            return frames[-1:]
        stamps = [frame.stamp_ns for frame in frames]
        if stamp_ns not in stamps:
            raise TargetRefusedError(
                f"no frame with stamp {stamp_ns / 1e9:.6f} s is cached: the {len(stamps)} cached frames are "
                f"from {stamps[0] / 1e9:.6f} to {stamps[-1] / 1e9:.6f} s; raise the parameter frame_cache"
            )
        return frames[stamps.index(stamp_ns) :]
