"""Preprocessing of images: 8 bits, gray levels, and the network's input channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefusedError

MEAN = 0.49965  # of all channels of SatVideoDT, in fractions of white
STD = 0.08255  # standard deviation of the same
MIN_SIDE_PX = 32  # shortest side of an image


def to_uint8(image: NDArray[Any], white_level: float = 65535.0) -> NDArray[np.uint8]:
    """Return an image with 8 bits, ``(H, W)`` or ``(H, W, 3)``.

    Args:
        image: image ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)`` in the order blue, green, red; uint8 or
            uint16.
        white_level: value of a 16-bit image that becomes 255.

    Raises:
        FrameRefusedError: the image has another shape or type, or a side is too short.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise FrameRefusedError(
            f"the image must have the shape (height, width) or (height, width, 3): got {image.shape}"
        )
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise FrameRefusedError(
            f"both sides of the image must be at least {MIN_SIDE_PX} pixels: got {width} x {height}"
        )
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / white_level)
    if image.dtype != np.uint8:
        raise FrameRefusedError(f"the image must be uint8 or uint16: got {image.dtype}")
    return image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image


def find_white_level(image: NDArray[Any]) -> float:
    """Return the white level of a stream by its first image: the highest value of the bits in use."""
    if image.dtype != np.uint16 or not image.size:
        return 255.0
    return float(2 ** max(8, int(image.max()).bit_length()) - 1)


def to_gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy of an image ``(H, W)`` or ``(H, W, 3)`` (blue, green, red) in gray levels, ``(H, W)``."""
    return image.copy() if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


@dataclass(frozen=True)
class PixelEncoder:
    """Encoder of pixels as network input.

    Attributes:
        kind: channels of a pixel. ``bgr``: blue, green, red, as published. ``gray_residual``: gray level, and
            logarithm of the difference from the background.
    """

    kind: Literal["bgr", "gray_residual"]

    def encode_pixels(
        self, image: NDArray[np.uint8], residual: NDArray[np.float32], pixels: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Return the channels of some pixels, ``(n, C)``.

        Args:
            image: image as from `to_uint8`.
            residual: difference from the background, ``(H, W)``.
            pixels: flat indices of the pixels, ``(n,)``.
        """
        colors = image.reshape(residual.size, -1)[pixels]
        if self.kind == "bgr":
            return _normalize(np.broadcast_to(colors, (len(colors), 3)))
        is_gray = colors.shape[1] == 1 or not len(colors)
        gray = colors[:, 0] if is_gray else to_gray(colors[None])[0]
        return np.stack([_normalize(gray), np.log1p(residual.reshape(-1)[pixels])], axis=1)


def _normalize(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (values.astype(np.float32) * np.float32(1 / 255) - np.float32(MEAN)) / np.float32(STD)
