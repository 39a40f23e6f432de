"""OpenCV on images of any number of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST = 128
"""Channels of an image that OpenCV takes from Python."""

Image = NDArray[Any]


def filtered(image: Image, operation: Callable[[Image], Image]) -> Image:
    """An image ``(height, width, channels)`` after an operation on each channel, done for many at once.

    Args:
        image: of any number of channels.
        operation: of OpenCV, which takes at most so many, and drops the last axis where there is but one.
    """
    parts = [
        np.atleast_3d(operation(image[..., first : first + _MOST]))
        for first in range(0, image.shape[2], _MOST)
    ]
    return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]
