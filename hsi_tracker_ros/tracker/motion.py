"""Constant-velocity motion of a target, extrapolated while the target is not visible."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_VELOCITY_SMOOTHING = 0.3  # weight of the newest displacement in the velocity
_MAX_EXTRAPOLATION = 12  # frames; later the predicted position is ignored


@dataclass
class ConstantVelocity:
    """Position and velocity of a target.

    Attributes:
        center: position ``(2,)`` in pixels, predicted while the target is not visible; None before the first
            visible frame.
        velocity: displacement ``(2,)`` per frame in pixels, from visible frames.
        frames_missed: number of frames since the target was visible.
    """

    center: NDArray[np.float64] | None = None
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    frames_missed: int = 0

    def update(self, center: NDArray[np.float64]) -> None:
        """Set the position from a frame that shows the target, and update the velocity.

        The velocity stays if the target was not in the frame before.

        Args:
            center: center of the target in pixels, ``(2,)``.
        """
        if self.center is not None and not self.frames_missed:
            self.velocity = self.velocity + _VELOCITY_SMOOTHING * (center - self.center - self.velocity)
        self.center = center
        self.frames_missed = 0

    def predict(self) -> None:
        """Advance the position by one frame that does not show the target."""
        if self.center is not None:
            self.center = self.center + self.velocity
        self.frames_missed += 1

    def is_outside(self, image_size: tuple[int, int]) -> bool:
        """Return whether the position is outside an image of this width and height.

        False if the position is unknown or extrapolated over too many frames.
        """
        if self.center is None or self.frames_missed > _MAX_EXTRAPOLATION:
            return False
        return bool((self.center < 0).any() or (self.center > image_size).any())
