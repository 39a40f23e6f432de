"""What stands still under a moving platform: the median of earlier frames, at the newest one's pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

GrayImage = NDArray[Any]
Transform = NDArray[np.float64]  # (2, 3) from the pixels of one frame to those of another

IDENTITY: Transform = np.eye(2, 3)
SAMPLES = 7
_STRIP_ROWS = 64

# Exchanges after which the middle of seven values is their median (Devillard, "Fast median search", 1998).
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


def compose(second: Transform, first: Transform) -> Transform:
    """The transform that does ``first`` and then ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def median_of_seven(images: list[GrayImage]) -> GrayImage:
    """The median of seven images by pixel; in strips, so that all values in between stay in the cache."""
    median = np.empty_like(images[0])
    for top in range(0, len(median), _STRIP_ROWS):
        values = [image[top : top + _STRIP_ROWS] for image in images]
        for low, high in _MEDIAN_OF_7:
            values[low], values[high] = cv2.min(values[low], values[high]), cv2.max(values[low], values[high])
        median[top : top + _STRIP_ROWS] = values[3]
    return median


@dataclass(frozen=True)
class _View:
    """An image, how many frames ago it was the newest, and the way from its pixels to the newest frame's."""

    image: GrayImage
    age: int
    to_newest: Transform

    def moved(self, transform: Transform) -> _View:
        return replace(self, age=self.age + 1, to_newest=compose(transform, self.to_newest))

    def warped_onto(self, gray: GrayImage) -> GrayImage:
        """What of the newest frame it shows; the newest frame itself elsewhere."""
        height, width = gray.shape
        return cv2.warpAffine(
            self.image, self.to_newest, (width, height), dst=gray.copy(),
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip

    def seen_at(self, x: NDArray[np.float32], y: NDArray[np.float32], otherwise: GrayImage) -> GrayImage:
        """Its values at places of the newest frame; those given otherwise where it does not show them."""
        (a, b, right), (c, d, down) = cv2.invertAffineTransform(self.to_newest).astype(np.float32)
        return cv2.remap(
            self.image, a * x + b * y + right, c * x + d * y + down, cv2.INTER_LINEAR,
            dst=otherwise.copy(), borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip


class Background:
    """Seven frames spread over a window, and their median.

    While there are fewer than seven, every frame is one of them; then each ``window / 7``-th takes the place
    of one that is too old or stands closest to its neighbours. Only then is the median made anew: in between,
    it is moved on with the platform, a seventh of the work.

    Args:
        window: frames after which one is too old.
    """

    def __init__(self, window: int) -> None:
        self._window, self._spacing = window, max(1, round(window / SAMPLES))
        self._samples: list[_View] = []
        self._median: _View | None = None

    def clear(self) -> None:
        """Forget every frame."""
        self._samples, self._median = [], None

    def move_on(self, transform: Transform) -> None:
        """A new frame is there; ``transform`` takes the last one's pixels to its."""
        self._samples = [sample.moved(transform) for sample in self._samples]
        self._median = self._median and self._median.moved(transform)

    def at(self, gray: GrayImage) -> GrayImage:
        """The background of the newest frame; the frame itself where nothing else was seen so far."""
        if not self._samples:
            return gray
        if self._median is None:
            median = self._median_of([sample.warped_onto(gray) for sample in self._samples])
            self._median = _View(median, 0, IDENTITY)
            return self._median.image
        return self._median.warped_onto(gray)

    def at_places(self, x: NDArray[np.float32], y: NDArray[np.float32], newest: GrayImage) -> GrayImage:
        """The background at some places of the newest frame alone, from every sample, by what is there now.

        Args:
            x: of the places, with two axes.
            y: like it.
            newest: the frame's values there.
        """
        if not self._samples:
            return newest
        return self._median_of([sample.seen_at(x, y, newest) for sample in self._samples])

    @staticmethod
    def _median_of(aligned: list[GrayImage]) -> GrayImage:
        """The median of up to seven images, spread evenly over seven where there are fewer."""
        chosen = np.linspace(0, len(aligned) - 1, SAMPLES).round().astype(int)
        return median_of_seven([aligned[index] for index in chosen])

    def take_in(self, gray: GrayImage) -> None:
        """Let the newest frame count from the next one on, if it is its turn."""
        if len(self._samples) == SAMPLES:
            if self._samples[-1].age < self._spacing:
                return
            del self._samples[self._superfluous()]
        self._samples.append(_View(gray, 0, IDENTITY))
        self._median = None

    def _superfluous(self) -> int:
        ages = np.array([sample.age for sample in self._samples])
        return 0 if ages[0] > self._window else 1 + int(np.argmin(ages[:-2] - ages[2:]))
