"""Decoded pictures of a video as arrays, upright and with all their bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.io.av_library import av

_FIXED_POINT_ONE = 1 << 16  # the value 1 in a display matrix
_MATRIX_VALUES = 9
_BITS_OF_BYTE = 8
_BITS_OF_WORD = 16


@dataclass(frozen=True)
class Orientation:
    """Turn and mirroring that a player applies to the stored pictures.

    Attributes:
        is_transposed: True if rows become columns.
        flips_columns: True if the result is mirrored from left to right.
        flips_rows: True if the result is mirrored from top to bottom.
        is_exact: False if the file asks for an angle that is not a multiple of 90 degrees, which is ignored.
    """

    is_transposed: bool = False
    flips_columns: bool = False
    flips_rows: bool = False
    is_exact: bool = True

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Turn an image (H, W) or (H, W, C) upright."""
        if self.is_transposed:
            image = image.swapaxes(0, 1)
        if self.flips_columns:
            image = image[:, ::-1]
        if self.flips_rows:
            image = image[::-1]
        return np.ascontiguousarray(image)


UPRIGHT = Orientation()


def read_orientation(picture: av.VideoFrame) -> Orientation:
    """Read the display matrix that phones and drones write beside the pictures."""
    side_data: Any
    for side_data in picture.side_data:
        if side_data.type.name == "DISPLAYMATRIX":
            matrix = np.frombuffer(bytes(side_data), np.int32, _MATRIX_VALUES)
            return _parse_matrix(matrix)
    return UPRIGHT


def to_image(picture: av.VideoFrame) -> tuple[NDArray[Any], str]:
    """Convert a picture to an image with the values of the file.

    Gray pictures keep their values, up to 16 bits or float32. Color pictures become BGR; those with 9 to 16
    bits a sample keep the range of their bits (0..1023 for 10 bits). Transparency is left out.

    Returns:
        Image (H, W) or (H, W, 3), and its encoding: mono8, mono16, 32FC1, bgr8 or 16UC3.
    """
    pixel_format = picture.format
    bits = count_bits(pixel_format)
    if pixel_format.name.startswith("grayf32"):
        return np.asarray(picture.to_ndarray(format="grayf32le")), "32FC1"
    if _is_gray(pixel_format):
        if bits <= _BITS_OF_BYTE:
            return np.asarray(picture.to_ndarray(format="gray")), "mono8"
        return _read_words(picture, "gray16le", bits), "mono16"
    if bits <= _BITS_OF_BYTE:
        return np.asarray(picture.to_ndarray(format="bgr24")), "bgr8"
    return _read_words(picture, "bgr48le", bits), "16UC3"


def count_bits(pixel_format: av.VideoFormat) -> int:
    """Return the bits of a sample, at most 16."""
    bits = max(component.bits for component in pixel_format.components)
    return _BITS_OF_BYTE if pixel_format.has_palette else min(bits, _BITS_OF_WORD)


def _read_words(picture: av.VideoFrame, pixel_format: str, bits: int) -> NDArray[np.uint16]:
    """Return the samples of a picture with 16 bits, shifted back to the range of their bits."""
    words = np.asarray(picture.to_ndarray(format=pixel_format), np.uint16)
    return words if bits == _BITS_OF_WORD else words >> np.uint16(_BITS_OF_WORD - bits)


def _is_gray(pixel_format: av.VideoFormat) -> bool:
    has_color = pixel_format.has_palette or pixel_format.is_bayer or pixel_format.is_rgb
    return not has_color and len(pixel_format.components) <= 2  # gray, or gray and transparency


def _parse_matrix(matrix: NDArray[np.int32]) -> Orientation:
    """Convert a display matrix. A stored point x, y is displayed at (a x + c y, b x + d y)."""
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if abs(a) == abs(d) == _FIXED_POINT_ONE and b == c == 0:
        return Orientation(False, a < 0, d < 0)
    if abs(b) == abs(c) == _FIXED_POINT_ONE and a == d == 0:
        return Orientation(True, c < 0, b < 0)
    return Orientation(is_exact=False)
