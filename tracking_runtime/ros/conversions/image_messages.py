"""sensor_msgs/Image and CompressedImage <-> arrays; of an Image nothing is copied on the way in."""

from __future__ import annotations

import sys
from array import array
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.messages.image_encodings import parse_encoding, to_array

__all__ = ["compress", "decompress", "from_array", "parse_encoding", "to_array"]


def decompress(message: CompressedImage) -> tuple[NDArray[Any], str]:
    """The pixels of a compressed image, as to_array gives them, and their encoding.

    Raises:
        FrameRefused: it is none, or of a kind that is not known.
    """
    data = np.frombuffer(message.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None:
        raise FrameRefusedError(
            f"{data.size} bytes of format {message.format!r} are no image that can be read"
        )
    image: NDArray[Any] = np.asarray(pixels)
    depth, channels = 8 * image.dtype.itemsize, 1 if image.ndim == 2 else image.shape[2]
    known = {(8, 1): "mono8", (16, 1): "mono16", (8, 3): "bgr8"}
    return image, known.get((depth, channels), f"{depth}UC{channels}")


def compress(image: NDArray[Any], quality: int, header: Header) -> CompressedImage:
    """A message of a ``(height, width, 3)`` bgr8 image as JPEG, as image_transport names it."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return CompressedImage(
        header=header, format="bgr8; jpeg compressed bgr8", data=array("B", data.tobytes())
    )


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
        raise FrameRefusedError(f"{found} channels of {image.dtype} are no image {encoding}")
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
