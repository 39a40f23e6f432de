"""A frame as the network takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefusedError

MEAN, STD = 0.49965, 0.08255  # of SatVideoDT, all channels
SMALLEST_SIDE = 32


def as_uint8(image: NDArray[Any], white: float = 65535.0) -> NDArray[np.uint8]:
    """``(H, W)`` or ``(H, W, 3)`` uint8.

    Args:
        image: ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)`` in the order blue, green, red; uint8 or uint16.
        white: what becomes 255 of an image of 16 bits.

    Raises:
        FrameRefused: it is none of these, or has hardly any pixels.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise FrameRefusedError(
            f"image of shape {image.shape}: expected (height, width) or (height, width, 3)"
        )
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise FrameRefusedError(
            f"image of {width} x {height} pixels: both sides must be {SMALLEST_SIDE} at least"
        )
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / white)
    if image.dtype != np.uint8:
        raise FrameRefusedError(f"image of {image.dtype}: expected uint8 or uint16")
    return image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image


def white_level(image: NDArray[Any]) -> float:
    """What is white in a stream that begins with this image: the end of the bit range that it uses."""
    if image.dtype != np.uint16 or not image.size:
        return 255.0
    return float(2 ** max(8, int(image.max()).bit_length()) - 1)


def brightness(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W)`` of an image ``(H, W)`` or ``(H, W, 3)`` (blue, green, red), always a copy."""
    return image.copy() if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


@dataclass(frozen=True)
class Inputs:
    """What the network is told of a pixel.

    Attributes:
        kind: ``bgr``: its colour, as published. ``gray_residual``: its brightness, and the logarithm of how
            far it is from the background.
    """

    kind: Literal["bgr", "gray_residual"]

    def channels(
        self, image: NDArray[np.uint8], residual: NDArray[np.float32], pixels: NDArray[Any]
    ) -> NDArray[np.float32]:
        """``(n, C)`` of some pixels of an image as of ``as_uint8``, by their flat indices."""
        colours = image.reshape(residual.size, -1)[pixels]
        if self.kind == "bgr":
            return _normalised(np.broadcast_to(colours, (len(colours), 3)))
        one_channel = colours.shape[1] == 1 or not len(colours)
        gray = colours[:, 0] if one_channel else brightness(colours[None])[0]
        return np.stack([_normalised(gray), np.log1p(residual.reshape(-1)[pixels])], axis=1)


def _normalised(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (values.astype(np.float32) * np.float32(1 / 255) - np.float32(MEAN)) / np.float32(STD)
