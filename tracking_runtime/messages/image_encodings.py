"""The pixels of sensor_msgs/Image as arrays, nothing copied, with or without ROS."""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefusedError

_NAMED = {"mono8": ("8U", 1), "mono16": ("16U", 1), "bgr8": ("8U", 3), "rgb8": ("8U", 3)}
_TYPES: dict[str, np.dtype[Any]] = {
    "8U": np.dtype(np.uint8),
    "16U": np.dtype(np.uint16),
    "32F": np.dtype(np.float32),
}
_GENERIC = re.compile(r"(8U|16U|32F)C([1-9]\d{0,3})")


def parse_encoding(encoding: str) -> tuple[np.dtype[Any], int]:
    """Type of a sample, and channels of a pixel.

    Raises:
        FrameRefused: the encoding is not one of mono8, mono16, bgr8, rgb8, 8UC<n>, 16UC<n>, 32FC<n>.
    """
    generic = _GENERIC.fullmatch(encoding)
    if generic:
        return _TYPES[generic[1]], int(generic[2])
    if encoding in _NAMED:
        depth, channels = _NAMED[encoding]
        return _TYPES[depth], channels
    raise FrameRefusedError(
        f"encoding {encoding!r} is not known; known: {', '.join(_NAMED)}, 8UC<n>, 16UC<n>, 32FC<n>"
    )


def decode_image(message: Any) -> tuple[NDArray[Any], str]:
    """The pixels of an image, and their encoding: its own, or bgr8 where cv_bridge had to convert them.

    cv_bridge, where it is installed, is asked for what it knows and ``parse_encoding`` does not: Bayer
    patterns, YUV, four channels with alpha.

    Args:
        message: as ``to_array`` takes it.

    Raises:
        FrameRefused: nobody here knows the encoding, or the message contradicts itself.
    """
    try:
        parse_encoding(message.encoding)
    except FrameRefusedError as unknown:
        return _by_cv_bridge(message, unknown), "bgr8"
    return to_array(message), message.encoding


def to_array(message: Any) -> NDArray[Any]:
    """A read-only view of an image's pixels; a copy only if its byte order is not this machine's.

    Args:
        message: with the fields of sensor_msgs/Image, from rclpy or from a recording.

    Returns:
        ``(height, width)`` for one channel, else ``(height, width, channels)``.

    Raises:
        FrameRefused: the message contradicts itself, or is empty; the message says in what.
    """
    dtype, channels = parse_encoding(message.encoding)
    height, width, step = message.height, message.width, message.step
    if not height or not width:
        raise FrameRefusedError(f"the image is empty: {width} x {height} pixels")
    row = width * channels * dtype.itemsize
    if step < row:
        raise FrameRefusedError(
            f"step is {step} bytes, but a row of {width} pixels {message.encoding} has {row}"
        )
    size = height * step
    if len(message.data) != size:
        raise FrameRefusedError(
            f"the image has {len(message.data)} bytes of data, but {height} rows of {step} bytes are {size}"
        )
    swapped = bool(message.is_bigendian) != (sys.byteorder == "big")
    stored = dtype.newbyteorder() if swapped else dtype
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixel = (channels * dtype.itemsize, dtype.itemsize)[: len(shape) - 1]
    view: NDArray[Any] = np.ndarray(shape, stored, memoryview(message.data), strides=(step, *pixel))
    view = view.astype(dtype) if swapped and dtype.itemsize > 1 else view
    view.flags.writeable = False
    return view


def _by_cv_bridge(message: Any, unknown: FrameRefusedError) -> NDArray[Any]:
    try:
        bridge = _cv_bridge()
    except ImportError as error:
        raise FrameRefusedError(
            f"{unknown}; for more, cv_bridge is not installed: sudo apt install ros-jazzy-cv-bridge"
        ) from error
    try:
        pixels: NDArray[Any] = bridge.imgmsg_to_cv2(message, "bgr8")
    except Exception as error:  # of several libraries; among them that it was built for another NumPy
        raise FrameRefusedError(f"{unknown}; nor can cv_bridge read it: {error}") from error
    return pixels


@cache
def _cv_bridge() -> Any:
    return importlib.import_module("cv_bridge").CvBridge()
