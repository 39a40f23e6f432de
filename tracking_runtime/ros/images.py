"""sensor_msgs/Image <-> arrays, nothing copied on the way in."""

from __future__ import annotations

import sys
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from tracking_runtime.encodings import parse_encoding, to_array
from tracking_runtime.errors import FrameRefused

__all__ = ["from_array", "parse_encoding", "to_array"]


def from_array(image: NDArray[Any], encoding: str, header: Header) -> Image:
    """A message of an image, with rows that follow each other without gaps.

    Args:
        image: ``(height, width)`` or ``(height, width, channels)`` of the encoding's type.
        encoding: as in sensor_msgs/Image.
        header: given to the message as it is.

    Raises:
        FrameRefused: the array is not what the encoding says.
    """
    dtype, channels = parse_encoding(encoding)
    found = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype != dtype or found != channels:
        raise FrameRefused(f"{found} channels of {image.dtype} are no image {encoding}")
    contiguous = np.ascontiguousarray(image)
    data = array("B")  # the one type that rclpy takes without looking at every byte
    data.frombytes(contiguous.data.cast("B"))
    height, width = image.shape[:2]
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=sys.byteorder == "big",
        step=width * channels * dtype.itemsize,
        data=data,
    )
