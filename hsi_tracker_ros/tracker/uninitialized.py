"""Stand-in for a tracker until its camera is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracking_runtime.errors import ModelError


@dataclass(frozen=True)
class UninitializedTracker:
    """Tracker without targets, in place of one whose model needs the bands of an unknown camera.

    Attributes:
        reason: message that names the missing information and its possible sources.
    """

    reason: str

    camera = None
    max_load_level = 0
    size_tolerance_px = 0

    def reset(self) -> None:
        """Do nothing: there are no targets."""

    def set_load_level(self, level: int) -> None:
        """Do nothing: there is no work to reduce."""

    def copy_state_from(self, other: Any) -> None:
        """Check that the other tracker is uninitialized too. Raise ModelError if not."""
        if not isinstance(other, UninitializedTracker):
            raise ModelError(self.reason)
