"""Where a target would be by now, had it gone on as it moved while it was seen as usual."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_NEWEST = 0.3
"""Share of the newest step in the velocity."""
_LONGEST = 12
"""Frames after which nobody knows any more where something went."""


@dataclass
class Course:
    """A target's course.

    Attributes:
        centre: ``(2,)`` pixels, where it is or, unseen, would be; None: it was not seen yet.
        velocity: ``(2,)`` pixels a frame, while it was seen.
        unseen: frames since then.
    """

    centre: NDArray[np.float64] | None = None
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    unseen: int = 0

    def see(self, centre: NDArray[np.float64]) -> None:
        """A frame in which the target was seen there ``(2,)``."""
        if self.centre is not None and not self.unseen:
            self.velocity = self.velocity + _NEWEST * (centre - self.centre - self.velocity)
        self.centre, self.unseen = centre, 0

    def go_on(self) -> None:
        """A frame in which it was not."""
        if self.centre is not None:
            self.centre = self.centre + self.velocity
        self.unseen += 1

    def leads_outside(self, width: int, height: int) -> bool:
        """Whether the target is now outside an image of this size, by all that is known."""
        if self.centre is None or self.unseen > _LONGEST:
            return False
        return bool((self.centre < 0).any() or (self.centre > (width, height)).any())
