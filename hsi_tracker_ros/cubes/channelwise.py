"""OpenCV operations on images with any number of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_CHANNELS = 128
"""Largest number of channels that OpenCV accepts from Python."""

Image = NDArray[Any]


def apply_channelwise(image: Image, operation: Callable[[Image], Image]) -> Image:
    """Apply an operation to all channels of an image `(height, width, channels)`.

    Args:
        image: image with any number of channels.
        operation: an OpenCV operation, which limits the channels and drops the last axis of a single channel.
    """
    parts = [
        np.atleast_3d(operation(image[..., first : first + _MAX_CHANNELS]))
        for first in range(0, image.shape[2], _MAX_CHANNELS)
    ]
    return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]
