"""The motion mask as SPAX published it, for comparison: it takes the camera to stand still.

Unlike the published one it never looks ahead: at the start of a sequence the window holds fewer frames.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.background import IDENTITY, GrayImage
from spax_ros.motion.mask import MotionFrame, check_same_size


@dataclass(frozen=True)
class PublishedMotionSettings:
    """The published constants.

    Attributes:
        alpha: standard deviations above the mean from which a difference is motion.
        radius: by how many pixels the mask grows.
        window: frames, this one included; the background is the median of every third.
        heat: previous heat from which a pixel stays active.
    """

    alpha: float
    radius: int
    window: int = 20
    heat: float = 0.2


SATVIDEODT = PublishedMotionSettings(alpha=1, radius=20)
SATMTB = PublishedMotionSettings(alpha=3, radius=30)


class PublishedMotionMask:
    """A drop-in replacement for ``MotionMask``."""

    def __init__(self, settings: PublishedMotionSettings = SATVIDEODT) -> None:
        self._settings = settings
        self._window: deque[GrayImage] = deque(maxlen=settings.window)

    def reset(self) -> None:
        """Forget every frame."""
        self._window.clear()

    def update(self, gray: GrayImage, previous_heat: NDArray[Any] | None = None) -> MotionFrame:
        """The mask of a frame; its residual is the difference in standard deviations above the mean.

        Args:
            gray: ``(height, width)``.
            previous_heat: ``(height, width)`` of 0..1, where the network saw objects in the previous frame.

        Raises:
            ValueError: the frame has another size than the one before.
        """
        if self._window:
            check_same_size(self._window[-1].shape, gray)
        self._window.append(gray)
        chosen = np.stack(list(self._window)[::3])
        middle = (len(chosen) - 1) // 2
        background = np.partition(chosen, middle, axis=0)[middle]
        difference = cv2.absdiff(gray, background).astype(np.float32)
        mean, spread = float(difference.mean()), max(float(difference.std(ddof=1)), 1e-6)
        moving = (difference > mean + self._settings.alpha * spread).astype(np.uint8)
        core = _eroded(moving)
        if previous_heat is not None:
            core |= previous_heat >= self._settings.heat
        side = 2 * self._settings.radius + 1
        mask = cv2.dilate(core, np.ones((side, side), np.uint8)).astype(bool)
        residual = (difference - np.float32(mean)) / np.float32(spread)
        return MotionFrame(mask, residual, IDENTITY, float(mask.mean()), saturated=False)


def _eroded(moving: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What moves together with its neighbours above and to the left."""
    padded = np.pad(moving, ((1, 0), (1, 0)))
    return padded[1:, 1:] & padded[:-1, 1:] & padded[1:, :-1] & padded[:-1, :-1]
