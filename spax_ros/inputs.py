"""A frame as the network takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefused

MEAN, STD = 0.49965, 0.08255  # of SatVideoDT, all channels


@dataclass(frozen=True)
class Inputs:
    """Turns images into channels.

    Attributes:
        kind: ``bgr``: as published. ``gray_residual``: brightness, and the logarithm of the motion residual.
    """

    kind: Literal["bgr", "gray_residual"]

    def bgr(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8 of an image ``(H, W)`` or ``(H, W, 3)``; 16 bits are reduced to their upper 8.

        Raises:
            FrameRefused: it is neither.
        """
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
            raise FrameRefused(f"image of shape {image.shape}: expected (H, W), (H, W, 1) or (H, W, 3)")
        if min(image.shape[:2]) < 32:
            raise FrameRefused(f"image of {image.shape[1]} x {image.shape[0]} pixels: at least 32 x 32 are needed")
        if image.dtype == np.uint16:
            image = (image >> 8).astype(np.uint8)
        if image.dtype != np.uint8:
            raise FrameRefused(f"image of {image.dtype}: expected uint8 or uint16")
        return image if image.ndim == 3 and image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)

    def gray(self, bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``(H, W)`` brightness."""
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)

    def channels(self, bgr: NDArray[np.uint8], residual: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(C, H, W)`` float32."""
        if self.kind == "bgr":
            return ((bgr.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)
        gray = (self.gray(bgr).astype(np.float32) / 255 - MEAN) / STD
        return np.stack([gray, np.log1p(residual)])
