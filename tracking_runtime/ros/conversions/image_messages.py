"""Images to and from sensor_msgs/Image and CompressedImage. Reading an Image copies no pixels."""

from __future__ import annotations

import sys
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.io.image_file import decode_image as decode_compressed_image
from tracking_runtime.messages.image_encodings import encode_jpeg, parse_encoding, view_as_array

__all__ = ["decompress", "make_image_message", "make_jpeg_message", "parse_encoding", "view_as_array"]


def decompress(message: CompressedImage, topic: str = "the image") -> tuple[NDArray[Any], str]:
    """Decompress an image and return it with its encoding.

    The header is checked before the pixels are decoded: a small message may unpack to gigabytes.

    Args:
        message: compressed image.
        topic: topic of the message, for messages.

    Raises:
        FrameRefusedError: the data is not an image, is damaged, or has more pixels than the limit.
    """
    try:
        return decode_compressed_image(bytes(message.data), f"{topic} of format {message.format[:80]!r}")
    except SourceError as error:
        raise FrameRefusedError(str(error)) from error


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
