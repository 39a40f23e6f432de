"""Background under a moving camera: the median of earlier frames, in the newest frame's pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.transforms import (
    IDENTITY,
    Transform,
    compose_transforms,
    find_source_pixels,
    warp_image,
)

GrayImage = NDArray[Any]

NUM_SAMPLES = 7  # frames whose median is the background
_STRIP_ROWS = 64  # rows whose intermediate values fit into the processor's cache

# Exchanges after which the middle one of seven values is their median (Devillard, "Fast median search",
# 1998).
_MEDIAN_OF_7 = (
    (0, 5),
    (0, 3),
    (1, 6),
    (2, 4),
    (0, 1),
    (3, 5),
    (2, 6),
    (2, 3),
    (3, 6),
    (4, 5),
    (1, 4),
    (1, 3),
    (3, 4),
)


def compute_median_of_seven(images: list[GrayImage]) -> GrayImage:
    """Return the median of seven images in each pixel, as a new image (H, W).

    Args:
        images: seven images (H, W) of one size, which are not changed.
    """
    median = np.empty_like(images[0])
    for top in range(0, len(median), _STRIP_ROWS):
        values = [image[top : top + _STRIP_ROWS] for image in images]
        for low, high in _MEDIAN_OF_7:
            values[low], values[high] = cv2.min(values[low], values[high]), cv2.max(values[low], values[high])
        median[top : top + _STRIP_ROWS] = values[3]
    return median


@dataclass(frozen=True)
class _Sample:
    """An earlier frame.

    Attributes:
        image: image of the frame.
        age: frames since this one was the newest.
        to_newest: transform from this frame's pixels to the newest frame's.
    """

    image: GrayImage
    age: int
    to_newest: Transform

    def advance(self, transform: Transform) -> _Sample:
        return replace(self, age=self.age + 1, to_newest=compose_transforms(transform, self.to_newest))

    def warp_onto(self, gray: GrayImage) -> GrayImage:
        """Return the sample in the newest frame's pixels, with `gray` where the sample does not reach."""
        height, width = gray.shape
        return warp_image(self.image, self.to_newest, (width, height), background=gray)

    def sample_at(self, x: NDArray[np.float32], y: NDArray[np.float32], fallback: GrayImage) -> GrayImage:
        """Return the values at positions of the newest frame, `fallback` where the sample does not reach."""
        source_x, source_y = find_source_pixels(self.to_newest, x, y)
        return cv2.remap(
            self.image, source_x, source_y, cv2.INTER_LINEAR,
            dst=fallback.copy(), borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip


class Background:
    """Median of seven frames spread over a window.

    The first seven frames are all samples. Later, one frame in ``window / 7`` replaces the sample that is too
    old or closest in time to its neighbors. The median is computed only then. In between the last median is
    warped with the camera's motion, which takes a seventh of the time.

    Args:
        window: age in frames above which a sample is replaced first.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._spacing = max(1, round(window / NUM_SAMPLES))
        self._samples: list[_Sample] = []
        self._median: _Sample | None = None

    def reset(self) -> None:
        """Delete all samples."""
        self._samples = []
        self._median = None

    def advance(self, transform: Transform) -> None:
        """Begin a frame; `transform` leads from the previous frame's pixels to its."""
        self._samples = [sample.advance(transform) for sample in self._samples]
        self._median = self._median and self._median.advance(transform)

    def estimate(self, gray: GrayImage) -> GrayImage:
        """Return the background of the newest frame, (H, W), and the frame itself where no sample reaches.

        Args:
            gray: newest frame (H, W). Samples are registered to it.
        """
        if not self._samples:
            return gray
        if self._median is None:
            median = self._compute_median(self._align_samples(gray))
            self._median = _Sample(median, 0, IDENTITY)
            return self._median.image
        return self._median.warp_onto(gray)

    def estimate_at(self, x: NDArray[np.float32], y: NDArray[np.float32], newest: GrayImage) -> GrayImage:
        """Return the median of all samples at some positions of the newest frame.

        Args:
            x: columns of the positions, an array with two axes.
            y: rows of the positions, of the same shape.
            newest: values of the newest frame there.
        """
        if not self._samples:
            return newest
        values: list[GrayImage] = []
        for sample in reversed(self._samples):
            values.append(sample.sample_at(x, y, values[-1] if values else newest))
        return self._compute_median(values[::-1])

    def _align_samples(self, gray: GrayImage) -> list[GrayImage]:
        """Return the samples in the newest frame's pixels, with the next newer one where one does not reach.

        What has just come into view would otherwise differ from the background only after four samples.
        """
        aligned: list[GrayImage] = []
        for sample in reversed(self._samples):
            aligned.append(sample.warp_onto(aligned[-1] if aligned else gray))
        return aligned[::-1]

    @staticmethod
    def _compute_median(aligned_images: list[GrayImage]) -> GrayImage:
        """Return the median of up to seven images; fewer are repeated evenly."""
        chosen = np.linspace(0, len(aligned_images) - 1, NUM_SAMPLES).round().astype(int)
        return compute_median_of_seven([aligned_images[index] for index in chosen])

    def add_frame(self, gray: GrayImage) -> None:
        """Make the newest frame a sample if one is due."""
        if len(self._samples) == NUM_SAMPLES:
            if self._samples[-1].age < self._spacing:
                return
            del self._samples[self._find_replaced_sample()]
        self._samples.append(_Sample(gray, 0, IDENTITY))
        self._median = None

    def _find_replaced_sample(self) -> int:
        """Return the index of the sample that is too old, or closest in time to its neighbors."""
        ages = np.array([sample.age for sample in self._samples])
        return 0 if ages[0] > self._window else 1 + int(np.argmin(ages[:-2] - ages[2:]))
