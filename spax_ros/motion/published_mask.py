"""Motion mask as SPAX published it, for comparison: it assumes a camera that stands still.

Unlike the published mask it is causal: at the start of a sequence the window has fewer frames.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.background import GrayImage
from spax_ros.motion.mask import MotionResult, check_same_size
from spax_ros.transforms import IDENTITY

_MIN_DEVIATION = 1e-6  # gray levels, for images without noise
_SAMPLE_STEP = 3  # the background is the median of every third frame


@dataclass(frozen=True)
class PublishedMotionSettings:
    """Settings of the published mask.

    Attributes:
        alpha: threshold of the difference, in standard deviations above the mean. Lower finds fainter motion.
        radius: pixels by which the mask is dilated.
        window: frames in the window, this one included; the background is the median of every third.
        min_heat: value of the previous heat map from which a pixel stays active.
    """

    alpha: float
    radius: int
    window: int = 20
    min_heat: float = 0.2


SATVIDEODT = PublishedMotionSettings(alpha=1, radius=20)
SATMTB = PublishedMotionSettings(alpha=3, radius=30)


class PublishedMotionMask:
    """Drop-in replacement for `MotionMask`.

    Args:
        settings: settings of the mask.
    """

    def __init__(self, settings: PublishedMotionSettings = SATVIDEODT) -> None:
        self._settings = settings
        self._window: deque[GrayImage] = deque(maxlen=settings.window)

    def reset(self) -> None:
        """Delete all frames of the window."""
        self._window.clear()

    def update(self, gray: GrayImage, previous_heat: NDArray[Any] | None = None) -> MotionResult:
        """Compute the mask of the next frame; its residual is in standard deviations above the mean.

        Args:
            gray: frame ``(height, width)``.
            previous_heat: heat map of the previous frame, ``(height, width)``, 0 to 1; None: none.

        Raises:
            ValueError: the frame differs in size from the one before.
        """
        if self._window:
            check_same_size(self._window[-1].shape, gray)
        self._window.append(gray)

        # Step 1: difference from the median of the window.
        samples = np.stack(list(self._window)[::_SAMPLE_STEP])
        middle = (len(samples) - 1) // 2
        background = np.partition(samples, middle, axis=0)[middle]
        difference = cv2.absdiff(gray, background).astype(np.float32)

        # Step 2: threshold, erosion against noise, previous objects.
        mean = float(difference.mean())
        deviation = max(float(difference.std(ddof=1)), _MIN_DEVIATION)
        is_moving = (difference > mean + self._settings.alpha * deviation).astype(np.uint8)
        core = _erode(is_moving)
        if previous_heat is not None:
            core |= previous_heat >= self._settings.min_heat

        # Step 3: dilation.
        side = 2 * self._settings.radius + 1
        mask = cv2.dilate(core, np.ones((side, side), np.uint8)).astype(bool)
        residual = (difference - np.float32(mean)) / np.float32(deviation)
        return MotionResult(mask, residual, IDENTITY, float(mask.mean()), is_saturated=False)


def _erode(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels that are set together with their neighbors above and to the left."""
    padded = np.pad(mask, ((1, 0), (1, 0)))
    return padded[1:, 1:] & padded[:-1, 1:] & padded[1:, :-1] & padded[:-1, :-1]
