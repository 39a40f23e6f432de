"""Preprocessing of images: 8 bits, gray levels, and the network's input channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.accumulation import MAX_SPEED_PX, AccumulatedMotion
from tracking_runtime.errors import FrameRefusedError

MEAN = 0.49965  # of all channels of SatVideoDT, in fractions of white
STD = 0.08255  # standard deviation of the same
MIN_BANDS = 5  # of a cube; fewer channels are gray, color, or color with infrared
MIN_SIDE_PX = 32  # shortest side of an image

_CLIPPED_FRACTION = 1e-4  # fraction of the pixels that may exceed the brightness range
_DARK_RANGE = 0.25  # fraction of the range; images that use no more of it are dark
_DARK_FRAMES = 3  # consecutive dark images after which a range shrinks that other images used


@dataclass(frozen=True)
class BrightnessRange:
    """Values of a stream's pixels that become black and white.

    Attributes:
        black: value that becomes 0.
        white: value that becomes 255.
    """

    black: float = 0.0
    white: float = 255.0


class BrightnessFollower:
    """The brightness range of a stream, which follows its images.

    The range of uint16 is that of the bits in use. The range of float32 is aligned to a power of two. The
    range grows as soon as an image exceeds it, and shrinks after some images that use less than a quarter of
    it. A few pixels may exceed the range: defects, and reflections of the sun.
    """

    def __init__(self) -> None:
        self._range: BrightnessRange | None = None
        self._num_bright = 0  # images that used more than a quarter of the range
        self._num_dark = 0  # newest images that did not

    @property
    def range(self) -> BrightnessRange:
        """Range in force."""
        return self._range or BrightnessRange()

    def update(self, image: NDArray[Any]) -> None:
        """Follow the next image of the stream.

        Args:
            image: image that `check_image` accepts.
        """
        if image.dtype == np.uint8:
            return
        before = self._range
        if before is None or _exceeds(image, before):
            self._set_range(find_brightness_range(image), before)
        elif _exceeds(image, _get_dark_part(before)):
            self._num_bright, self._num_dark = self._num_bright + 1, 0
        else:
            self._num_dark += 1
            if self._num_dark >= min(_DARK_FRAMES, self._num_bright):
                self._set_range(find_brightness_range(image), None)

    def _set_range(self, found: BrightnessRange, before: BrightnessRange | None) -> None:
        """Set the range of an image, extended by that of the images before if given."""
        if before is not None:
            found = BrightnessRange(min(found.black, before.black), max(found.white, before.white))
        self._range, self._num_bright, self._num_dark = found, 1, 0


def is_cube(image: NDArray[Any]) -> bool:
    """Return whether an image is a cube ``(height, width, bands)``: of at least `MIN_BANDS` bands."""
    return image.ndim == 3 and image.shape[2] >= MIN_BANDS


def compute_panchromatic(cube: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of a cube's bands, ``(height, width)`` in the cube's type.

    Raises:
        FrameRefusedError: the type is not uint8, uint16 or float32, or a side is too short.
    """
    check_image(cube[:, :, 0])
    mean = cv2.transform(cube, np.full((1, cube.shape[2]), 1 / cube.shape[2], np.float32))
    return np.asarray(mean.reshape(cube.shape[:2]))


def check_image(image: NDArray[Any]) -> None:
    """Check the shape and type of an image.

    Args:
        image: image ``(H, W)``, or ``(H, W, C)`` with one, three or four channels; uint8, uint16 or float32.

    Raises:
        FrameRefusedError: the image has another shape or type, or a side is too short.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise FrameRefusedError(
            "the image must have the shape (height, width), or (height, width, channels) with 1, 3 or 4 "
            f"channels: got {image.shape}"
        )
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise FrameRefusedError(
            f"both sides of the image must be at least {MIN_SIDE_PX} pixels: got {width} x {height}"
        )
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise FrameRefusedError(f"the image must be uint8, uint16 or float32: got {image.dtype}")


def to_uint8(
    image: NDArray[Any], white_level: float = 65535.0, black_level: float = 0.0
) -> NDArray[np.uint8]:
    """Return an image with 8 bits, ``(H, W)`` or ``(H, W, 3)``.

    Args:
        image: image ``(H, W)``, or ``(H, W, C)`` with one channel, or with blue, green, red, and a fourth
            channel that is left out; uint8, uint16 or float32.
        white_level: value of an image of uint16 or float32 that becomes 255.
        black_level: value of a float32 image that becomes 0, as do values that are not finite.

    Raises:
        FrameRefusedError: the image has another shape or type, or a side is too short.
    """
    check_image(image)
    image = image[:, :, :3] if image.ndim == 3 else image
    result: NDArray[Any] = image
    if image.dtype == np.uint16:
        result = np.asarray(cv2.convertScaleAbs(np.ascontiguousarray(image), alpha=255 / white_level))
    elif image.dtype == np.float32:
        with np.errstate(over="ignore", invalid="ignore"):
            levels = (image - np.float32(black_level)) * np.float32(255 / (white_level - black_level))
        levels = np.clip(np.nan_to_num(levels, nan=0, posinf=255, neginf=0), 0, 255)
        result = np.rint(levels).astype(np.uint8)
    return result[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else result


def find_brightness_range(image: NDArray[Any]) -> BrightnessRange:
    """Find the brightness range that an image uses. A few pixels may exceed it.

    Args:
        image: image; uint8, uint16 or float32.
    """
    if image.dtype != np.float32:
        return BrightnessRange(0.0, find_white_level(image))
    values = image[np.isfinite(image)]
    if not values.size:
        return BrightnessRange(0.0, 1.0)
    rank = int(values.size * _CLIPPED_FRACTION)
    partitioned = np.partition(values, [rank, values.size - 1 - rank])
    return _align_range(float(partitioned[rank]), float(partitioned[values.size - 1 - rank]))


def find_white_level(image: NDArray[Any]) -> float:
    """Return the white level of an image: 255, or of 16 bits the highest value of the bits in use.

    A bit is in use if more than a few pixels have a value that needs the bit: 10-bit images in 16 bits have
    1023.
    """
    if image.dtype != np.uint16 or not image.size:
        return 255.0
    num_bits = max(8, int(image.max()).bit_length())
    max_clipped = int(image.size * _CLIPPED_FRACTION)
    while num_bits > 8 and np.count_nonzero(image >= 1 << (num_bits - 1)) <= max_clipped:
        num_bits -= 1
    return float(2**num_bits - 1)


def _exceeds(image: NDArray[Any], brightness: BrightnessRange) -> bool:
    """Return whether more than a few pixels of an image are outside of a range."""
    num_outside = np.count_nonzero(image > brightness.white)
    if image.dtype == np.float32:
        num_outside += np.count_nonzero(image < brightness.black)
    return int(num_outside) > int(image.size * _CLIPPED_FRACTION)


def _align_range(lowest: float, highest: float) -> BrightnessRange:
    """Return the range of some values, extended to multiples of the power of two below its width."""
    width = highest - lowest
    if not width > 0:
        return BrightnessRange(min(lowest, 0.0), highest if highest > 0 else min(lowest, 0.0) + 1.0)
    step = 2.0 ** math.floor(math.log2(width))
    return BrightnessRange(math.floor(lowest / step) * step, math.ceil(highest / step) * step)


def _get_dark_part(brightness: BrightnessRange) -> BrightnessRange:
    """Return the darkest quarter of a range."""
    return BrightnessRange(
        brightness.black, brightness.black + _DARK_RANGE * (brightness.white - brightness.black)
    )


def to_gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy of an image ``(H, W)`` or ``(H, W, 3)`` (blue, green, red) in gray levels, ``(H, W)``."""
    return image.copy() if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


InputKind = Literal["bgr", "gray_residual", "gray_residual_velocity"]
"""Kinds of input channels; see `PixelEncoder`."""

NUM_CHANNELS: dict[InputKind, int] = {"bgr": 3, "gray_residual": 2, "gray_residual_velocity": 5}
"""Channels of a pixel by kind."""

VELOCITY_CHANNELS = slice(3, 5)
"""Channels x, y of the velocity in ``gray_residual_velocity``."""


@dataclass(frozen=True)
class PixelEncoder:
    """Encoder of pixels as network input.

    Attributes:
        kind: channels of a pixel. ``bgr``: blue, green, red, as published. ``gray_residual``: gray level, and
            logarithm of the difference from the background. ``gray_residual_velocity``: the same, the
            strength of the accumulated motion, and its velocity x, y.
    """

    kind: InputKind

    @property
    def needs_accumulation(self) -> bool:
        """True if the channels include the accumulated motion."""
        return self.kind == "gray_residual_velocity"

    def encode_pixels(
        self,
        image: NDArray[np.uint8],
        residual: NDArray[np.float32],
        pixels: NDArray[Any],
        accumulated: AccumulatedMotion | None = None,
    ) -> NDArray[np.float32]:
        """Return the channels of some pixels, ``(n, C)``.

        Args:
            image: image as from `to_uint8`.
            residual: difference from the background, ``(H, W)``.
            pixels: flat indices of the pixels, ``(n,)``.
            accumulated: motion accumulated over the last frames, if the channels include it.
        """
        colors = image.reshape(residual.size, -1)[pixels]
        if self.kind == "bgr":
            return _normalize(np.broadcast_to(colors, (len(colors), 3)))
        is_gray = colors.shape[1] == 1 or not len(colors)
        gray = colors[:, 0] if is_gray else to_gray(colors[None])[0]
        channels = [_normalize(gray), np.log1p(residual.reshape(-1)[pixels])]
        if self.needs_accumulation:
            assert accumulated is not None
            strength, velocities = accumulated.sample(*np.divmod(pixels, residual.shape[1]))
            channels += [np.log1p(strength), *(velocities.T / np.float32(MAX_SPEED_PX))]
        return np.stack(channels, axis=1)


def _normalize(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (values.astype(np.float32) * np.float32(1 / 255) - np.float32(MEAN)) / np.float32(STD)
