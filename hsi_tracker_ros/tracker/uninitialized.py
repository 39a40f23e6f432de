"""What stands in a tracker's place until its camera is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracking_runtime.errors import ModelError


@dataclass(frozen=True)
class WaitingTracker:
    """Follows nothing: its model fits any camera, and nothing has told yet which one it has.

    Attributes:
        reason: what is missing, and who could tell.
    """

    reason: str

    camera = None
    deepest_easing = size_tolerance_px = 0

    def reset(self) -> None:
        """Nothing has been seen."""

    def ease(self, level: int) -> None:
        """There is nothing to do less of."""

    def take_over(self, other: Any) -> None:
        """Wait beside another that waits as well. Raises ModelError where that one does not."""
        if not isinstance(other, WaitingTracker):
            raise ModelError(self.reason)
