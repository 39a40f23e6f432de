"""Track before detect: differences from the background, accumulated along a bank of velocities.

A mover that is hardly brighter than its background is lost in the noise of a single frame. Along its path the
differences of some frames add up, and those of the noise do not: with n frames the signal-to-noise ratio
grows by the square root of n. Each pixel gets the largest sum over all velocities, and the velocity.

The sums are taken at half the image's size, where a pixel is the mean of four. Two properties of the
background would otherwise exceed faint movers, and are learned from the frames before:

- Edges and textures differ from the background by a part that stays. It is subtracted.
- Their deviation is larger than that of the noise. The difference is measured in units of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.background import GrayImage
from spax_ros.transforms import IDENTITY, Transform, compose_transforms, warp_image

FloatImage = NDArray[np.float32]

REDUCTION = 2  # factor by which the size of the image is reduced
NUM_FRAMES = 8  # frames that are accumulated
MAX_SPEED_PX = 1.6  # pixels a frame of the full-size image; real road traffic seen from orbit is slower
_SPEED_STEP_PX = 0.5  # between neighboring velocities; half of the blur over eight frames
_BODY_PX = 3  # side of the square of reduced pixels that a mover fills
_MEAN_RATE = 1 / 16  # weight of the newest frame in the mean difference
_VARIANCE_RATE = 1 / 12  # weight of the newest frame in the variance
_MAX_DEVIATION = 3.0  # standard deviations; a mover shall not count as noise
_MIN_DEVIATION = 0.5  # gray levels; the mean of four rounded values is not more exact
_LEVEL_WINDOW_PX = 25  # side of the square of reduced pixels in which sums are compared
_NOISE_LEVEL = 2.4  # mean of the largest sum over the bank, of white noise of unit variance


def make_velocity_bank(max_speed: float = MAX_SPEED_PX, step: float = _SPEED_STEP_PX) -> NDArray[np.float32]:
    """Return velocities x, y ``(n, 2)`` in pixels a frame on a square grid, without standing still.

    Args:
        max_speed: largest speed in pixels a frame.
        step: distance of neighboring velocities in pixels a frame.
    """
    reach = int(max_speed / step)
    steps = np.arange(-reach, reach + 1, dtype=np.float32) * np.float32(step)
    y, x = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    speeds = np.hypot(x, y)
    return np.stack([x, y], axis=1)[(speeds <= max_speed) & (speeds > 0)]


@dataclass(frozen=True)
class AccumulatedMotion:
    """Largest sum of the differences along the bank, at half the image's size.

    Attributes:
        strength: largest sum in units of its noise, ``(height, width)`` float32; about 2.4 where nothing
            moves.
        velocities: velocity of the largest sum in pixels a frame of the full-size image over the ground,
            ``(height, width, 2)`` float32: x, y.
    """

    strength: FloatImage
    velocities: FloatImage

    def sample(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> tuple[FloatImage, FloatImage]:
        """Return strengths ``(n,)`` and velocities ``(n, 2)`` at pixels of the full-size image."""
        height, width = self.strength.shape
        rows, columns = np.minimum(y // REDUCTION, height - 1), np.minimum(x // REDUCTION, width - 1)
        return self.strength[rows, columns], self.velocities[rows, columns]


def accumulate_along_bank(
    differences: list[FloatImage], velocities: NDArray[np.float32]
) -> tuple[FloatImage, NDArray[np.uint8]]:
    """Return the largest sum over all velocities in each pixel, and the index of the velocity.

    Args:
        differences: differences from the background in units of the noise, ``(height, width)`` each, in the
            newest frame's pixels; newest last.
        velocities: velocities x, y ``(n, 2)`` in pixels of the differences a frame; at most 256.

    Returns:
        Magnitude of the sum, divided by the square root of the number of frames, and the index.
    """
    height, width = differences[0].shape
    oldest = len(differences) - 1
    margin = int(np.ceil(np.abs(velocities).max() * oldest)) + 1
    padded = [
        cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
        for image in differences
    ]
    largest: FloatImage = np.zeros((height, width), np.float32)
    indices = np.zeros((height, width), np.uint8)
    total: FloatImage = np.zeros((height, width), np.float32)
    for index, velocity in enumerate(velocities):
        total[:] = differences[-1]
        for age in range(1, oldest + 1):
            x, y = np.floor(margin - velocity * age + 0.5).astype(int)
            np.add(total, padded[oldest - age][y : y + height, x : x + width], out=total)
        np.abs(total, out=total)
        # OpenCV's functions take a third of the time of masked assignments.
        is_larger = cv2.compare(total, largest, cv2.CMP_GT)
        cv2.max(total, largest, dst=largest)
        cv2.copyTo(np.full_like(indices, index), is_larger, indices)
    return largest / np.float32(np.sqrt(len(differences))), indices


class MotionAccumulator:
    """Accumulation over a stream of frames."""

    def __init__(self) -> None:
        self._velocities = make_velocity_bank()
        self.reset()

    def reset(self) -> None:
        """Delete all frames; the next frame may have another size."""
        self._history: deque[tuple[FloatImage, Transform]] = deque(maxlen=NUM_FRAMES)
        self._statistics: FloatImage | None = None  # mean and variance of the difference, (height, width, 2)

    def update(
        self,
        gray: GrayImage,
        background: GrayImage,
        mean_difference: FloatImage,
        noise: float,
        transform: Transform,
    ) -> AccumulatedMotion:
        """Add the next frame and return the accumulated motion in its pixels.

        Args:
            gray: frame of half the size, ``(height, width)``.
            background: background of the frame, of the same shape.
            mean_difference: mean difference around each block's center, ``(rows, columns)``.
            noise: noise of the whole image in gray levels.
            transform: camera motion from the previous frame's pixels to this frame's, at half the
                size.
        """
        size = gray.shape[::-1]
        local_mean = cv2.resize(mean_difference, size, interpolation=cv2.INTER_LINEAR)
        difference = cv2.subtract(
            cv2.subtract(gray, background, dtype=cv2.CV_32F), local_mean, dtype=cv2.CV_32F
        )
        normalized = self._normalize(np.asarray(difference, np.float32), noise, transform)
        self._history = deque(
            ((image, compose_transforms(transform, to_before)) for image, to_before in self._history),
            maxlen=NUM_FRAMES,
        )
        self._history.append((normalized, IDENTITY))
        aligned = [warp_image(image, to_newest, size) for image, to_newest in self._history]
        sums, indices = accumulate_along_bank(
            [np.asarray(image, np.float32) for image in aligned], self._velocities / np.float32(REDUCTION)
        )
        level = cv2.blur(sums, (_LEVEL_WINDOW_PX, _LEVEL_WINDOW_PX))
        strength = sums * (np.float32(_NOISE_LEVEL) / np.maximum(level, np.float32(_NOISE_LEVEL)))
        return AccumulatedMotion(strength, self._velocities[indices])

    def _normalize(self, difference: FloatImage, noise: float, transform: Transform) -> FloatImage:
        """Return the sum over a mover's body of the difference, without its mean and in its deviations.

        Mean and deviation are those of the frames before at the same place on the ground.
        """
        size = difference.shape[::-1]
        if self._statistics is None:
            self._statistics = np.zeros((*difference.shape, 2), np.float32)
            self._statistics[..., 1] = noise**2
        else:
            self._statistics = warp_image(self._statistics, transform, size, border_mode=cv2.BORDER_REPLICATE)
        mean, variance = self._statistics[..., 0], self._statistics[..., 1]
        deviation = np.sqrt(np.maximum(variance, _MIN_DEVIATION**2))
        smooth = np.sqrt(cv2.blur(deviation**2, (_BODY_PX, _BODY_PX)))
        normalized = cv2.blur((difference - mean) / smooth, (_BODY_PX, _BODY_PX)) * np.float32(_BODY_PX)
        limit = np.float32(_MAX_DEVIATION) * deviation
        truncated = np.clip(difference, -limit, limit)
        mean += (truncated - mean) * np.float32(_MEAN_RATE)
        variance += (truncated**2 - variance) * np.float32(_VARIANCE_RATE)
        return np.asarray(normalized, np.float32)
