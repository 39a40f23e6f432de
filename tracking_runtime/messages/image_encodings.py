"""Pixels of sensor_msgs/Image as arrays without a copy, with or without ROS."""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefusedError

_NAMED = {"mono8": ("8U", 1), "mono16": ("16U", 1), "bgr8": ("8U", 3), "rgb8": ("8U", 3)}
_TYPES: dict[str, np.dtype[Any]] = {
    "8U": np.dtype(np.uint8),
    "16U": np.dtype(np.uint16),
    "32F": np.dtype(np.float32),
}
_BAYER_CODES = {  # OpenCV names a pattern by the second row, from its second pixel on
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
# Encodings that become BGR: type and channels of a sample, and the conversion of OpenCV; None: BGR already.
_CONVERTED: dict[str, tuple[str, int, int | None]] = {
    **{f"bayer_{name}8": ("8U", 1, code) for name, code in _BAYER_CODES.items()},
    **{f"bayer_{name}16": ("16U", 1, code) for name, code in _BAYER_CODES.items()},
    "bgra8": ("8U", 4, cv2.COLOR_BGRA2BGR),
    "rgba8": ("8U", 4, cv2.COLOR_RGBA2BGR),
    "bgra16": ("16U", 4, cv2.COLOR_BGRA2BGR),
    "rgba16": ("16U", 4, cv2.COLOR_RGBA2BGR),
    "bgr16": ("16U", 3, None),
    "rgb16": ("16U", 3, cv2.COLOR_RGB2BGR),
    "yuv422": ("8U", 2, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": ("8U", 2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": ("8U", 2, cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": ("8U", 2, cv2.COLOR_YUV2BGR_YUY2),
}
_MIN_BAYER_SIDE_PX = 4  # OpenCV needs two whole patterns in each direction
_GENERIC = re.compile(r"(8U|16U|32F)C([1-9]\d{0,3})")


def parse_encoding(encoding: str) -> tuple[np.dtype[Any], int]:
    """Return the type of a sample and the number of channels of a pixel.

    Raises:
        FrameRefusedError: the encoding is not one of mono8, mono16, bgr8, rgb8, 8UC<n>, 16UC<n>, 32FC<n>.
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
    """Return the pixels of an image, (H, W) or (H, W, channels), and their encoding.

    Bayer patterns, alpha, YUV 4:2:2 and color of 16 bits become bgr8 or 16UC3. cv_bridge, if installed,
    converts all other encodings to bgr8.

    Args:
        message: an object with the fields of sensor_msgs/Image.

    Raises:
        FrameRefusedError: the encoding is unknown, or the fields of the message contradict each other.
    """
    if message.encoding in _CONVERTED:
        return _convert_to_bgr(message)
    try:
        parse_encoding(message.encoding)
    except FrameRefusedError as unknown:
        return _convert_by_cv_bridge(message, unknown), "bgr8"
    return view_as_array(message), message.encoding


def view_as_array(message: Any) -> NDArray[Any]:
    """Return a read-only view of an image's pixels. Pixels of foreign byte order are copied.

    Args:
        message: an object with the fields of sensor_msgs/Image, from rclpy or from a recording.

    Returns:
        The pixels, `(height, width)` for one channel, else `(height, width, channels)`.

    Raises:
        FrameRefusedError: the image is empty, or its size, step and data contradict each other.
    """
    return _view_samples(message, *parse_encoding(message.encoding))


def _view_samples(message: Any, dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    """Return a read-only view of an image's samples, as `view_as_array` does."""
    height, width, step = message.height, message.width, message.step
    if not height or not width:
        raise FrameRefusedError(f"the image is empty: {width} x {height} pixels")
    row_size = width * channels * dtype.itemsize
    if step < row_size:
        raise FrameRefusedError(
            f"step is {step} bytes, but a row of {width} pixels {message.encoding} has {row_size}"
        )
    size = height * step
    if len(message.data) != size:
        raise FrameRefusedError(
            f"the image has {len(message.data)} bytes of data, but {height} rows of {step} bytes are {size}"
        )
    is_swapped = bool(message.is_bigendian) != (sys.byteorder == "big")
    stored_dtype = dtype.newbyteorder() if is_swapped else dtype
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixel_strides = (channels * dtype.itemsize, dtype.itemsize)[: len(shape) - 1]
    view: NDArray[Any] = np.ndarray(
        shape, stored_dtype, memoryview(message.data), strides=(step, *pixel_strides)
    )
    view = view.astype(dtype) if is_swapped and dtype.itemsize > 1 else view
    view.flags.writeable = False
    return view


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """Return an image as JPEG.

    Args:
        image: BGR or gray image, (H, W, 3) or (H, W).
        quality: JPEG quality, 1..100. Higher gives less loss and more bytes.
    """
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _convert_to_bgr(message: Any) -> tuple[NDArray[Any], str]:
    """Convert an image of an encoding in `_CONVERTED` to BGR. Return the pixels and their encoding."""
    depth, channels, code = _CONVERTED[message.encoding]
    samples = _view_samples(message, _TYPES[depth], channels)
    height, width = samples.shape[:2]
    is_bayer = message.encoding.startswith("bayer_")
    if is_bayer and min(height, width) < _MIN_BAYER_SIDE_PX:
        raise FrameRefusedError(
            f"an image {message.encoding} must have at least {_MIN_BAYER_SIDE_PX} pixels on each side: "
            f"got {width} x {height}"
        )
    if channels == 2 and width % 2:
        raise FrameRefusedError(f"the width of an image {message.encoding} must be even: got {width} pixels")
    pixels = samples if code is None else cv2.cvtColor(np.ascontiguousarray(samples), code)
    return pixels, "bgr8" if depth == "8U" else "16UC3"


def _convert_by_cv_bridge(message: Any, unknown: FrameRefusedError) -> NDArray[Any]:
    try:
        bridge = _load_cv_bridge()
    except ImportError as error:
        raise FrameRefusedError(
            f"{unknown}, {', '.join(_CONVERTED)}; set the camera driver to one of them"
        ) from error
    try:
        pixels: NDArray[Any] = bridge.imgmsg_to_cv2(message, "bgr8")
    except (
        Exception
    ) as error:  # cv_bridge raises errors of several libraries, also if built for another NumPy
        raise FrameRefusedError(f"{unknown}; nor can cv_bridge read it: {error}") from error
    return pixels


@cache
def _load_cv_bridge() -> Any:
    return importlib.import_module("cv_bridge").CvBridge()
