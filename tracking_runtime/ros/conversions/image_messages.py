"""Images to and from sensor_msgs/Image and CompressedImage. Reading an Image copies no pixels."""

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
from tracking_runtime.messages.image_encodings import encode_jpeg, parse_encoding, view_as_array

__all__ = ["decompress", "make_image_message", "make_jpeg_message", "parse_encoding", "view_as_array"]

_ENCODINGS = {(8, 1): "mono8", (16, 1): "mono16", (8, 3): "bgr8"}
"""Names of encodings by bits of a sample and number of channels."""


def decompress(message: CompressedImage) -> tuple[NDArray[Any], str]:
    """Decompress an image and return it with its encoding.

    Raises:
        FrameRefusedError: the data is not an image, or of an unknown format.
    """
    data = np.frombuffer(message.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None:
        raise FrameRefusedError(
            f"the image must be JPEG or PNG: got {data.size} bytes of format {message.format!r}"
        )
    image: NDArray[Any] = np.asarray(pixels)
    num_bits = 8 * image.dtype.itemsize
    num_channels = 1 if image.ndim == 2 else image.shape[2]
    return image, _ENCODINGS.get((num_bits, num_channels), f"{num_bits}UC{num_channels}")


def make_jpeg_message(image: NDArray[Any], quality: int, header: Header) -> CompressedImage:
    """Compress an image and return its message, with the format as in image_transport.

    Args:
        image: image in bgr8, (H, W, 3).
        quality: JPEG quality, 1..100. Higher gives less loss and more bytes.
        header: header of the message.
    """
    data = array("B", encode_jpeg(image, quality))
    return CompressedImage(header=header, format="bgr8; jpeg compressed bgr8", data=data)


def make_image_message(image: NDArray[Any], encoding: str, header: Header) -> Image:
    """Return the message of an image. The rows follow each other without gaps.

    Args:
        image: image with the type and channels of the encoding, (H, W) or (H, W, C).
        encoding: encoding as in sensor_msgs/Image.
        header: header of the message.

    Raises:
        FrameRefusedError: type or channels of the image differ from the encoding's.
    """
    dtype, num_channels = parse_encoding(encoding)
    image_channels = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype != dtype or image_channels != num_channels:
        raise FrameRefusedError(
            f"an image {encoding} must have {num_channels} channels of {dtype}: "
            f"got {image_channels} channels of {image.dtype}"
        )
    contiguous = np.ascontiguousarray(image)
    data = array("B")  # the one type that rclpy takes without a check of every byte
    data.frombytes(contiguous.data.cast("B"))
    height, width = image.shape[:2]
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=sys.byteorder == "big",
        step=width * num_channels * dtype.itemsize,
        data=data,
    )
