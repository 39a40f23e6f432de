"""Moving object detection as it is done without learning: differences of registered frames."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.association import AssociationSettings, GaussianTracker, Tracks
from spax_ros.decoding import Detections, no_detections
from spax_ros.motion.background import IDENTITY, GrayImage, compose
from spax_ros.motion.mask import register
from spax_ros.preprocessing import as_uint8, brightness

SMALLEST_AREA, LARGEST_AREA = 6, 4000  # in pixels, of what is taken for an object
SURE = 0.9  # the score of every detection: these methods have none
DEVIATIONS = 4.0  # of a difference, above its mean, from which it is motion
GAP = 3  # frames between the two that are compared
ASSOCIATION = AssociationSettings(least_speed=0.2, classes_apart=False)


class MovingPixels(Protocol):
    """Says which pixels moved."""

    def __call__(self, gray: GrayImage, camera_motion: NDArray[np.float64]) -> NDArray[np.uint8]:
        """``(height, width)`` 255 where something moved; motion is from the last frame's pixels to these."""


class FrameDifference:
    """What differs from the frames before, both from the last but two and from the last but five."""

    def __init__(self) -> None:
        self._earlier: list[tuple[GrayImage, NDArray[np.float64]]] = []

    def __call__(self, gray: GrayImage, camera_motion: NDArray[np.float64]) -> NDArray[np.uint8]:
        """See :class:`MovingPixels`."""
        self._earlier = [(image, compose(camera_motion, motion)) for image, motion in self._earlier]
        compared = self._earlier[-GAP::-GAP][:2]
        self._earlier = [*self._earlier, (gray, IDENTITY)][-2 * GAP :]
        if not compared:
            return np.zeros(gray.shape, np.uint8)
        size = gray.shape[::-1]
        differences = [
            cv2.absdiff(
                gray, cv2.warpAffine(image, motion, size, dst=gray.copy(), borderMode=cv2.BORDER_TRANSPARENT)
            )
            for image, motion in compared
        ]
        least = np.minimum.reduce(differences)
        least = cv2.GaussianBlur(least, (3, 3), 0)
        return (least > least.mean() + DEVIATIONS * least.std()).astype(np.uint8) * 255


class MixtureOfGaussians:
    """OpenCV's MOG2 over frames in the axes of the first one."""

    def __init__(self) -> None:
        self._model = cv2.createBackgroundSubtractorMOG2(history=60, varThreshold=25, detectShadows=False)
        self._to_first = IDENTITY
        self._frames = 0

    def __call__(self, gray: GrayImage, camera_motion: NDArray[np.float64]) -> NDArray[np.uint8]:
        """See :class:`MovingPixels`."""
        self._to_first = compose(self._to_first, _inverse(camera_motion))
        size = gray.shape[::-1]
        seen = cv2.warpAffine(np.ones_like(gray), self._to_first, size)
        aligned = cv2.warpAffine(gray, self._to_first, size, borderMode=cv2.BORDER_REPLICATE)
        moving = self._model.apply(aligned) * seen
        self._frames += 1
        if self._frames <= GAP:
            return np.zeros(gray.shape, np.uint8)
        back = _inverse(self._to_first)
        return np.asarray(cv2.warpAffine(moving, back, size, flags=cv2.INTER_NEAREST), np.uint8)


class ClassicalTracker:
    """Moving pixels, cleaned and grouped, followed as SPAX's detections are."""

    def __init__(self, moving: MovingPixels, settings: AssociationSettings = ASSOCIATION) -> None:
        self._moving = moving
        self._association = GaussianTracker(settings)
        self._previous: GrayImage | None = None

    def track(self, image: NDArray[Any], stamp_ns: int) -> Tracks:
        """Every track after this frame, as of ``SpaxTracker.track``."""
        gray = brightness(as_uint8(image))
        motion = IDENTITY if self._previous is None else register(self._previous, gray)
        self._previous = gray
        found = grouped(self._moving(gray, motion))
        tracks = self._association.update(
            found.boxes, found.scores, found.class_ids, stamp_ns, camera_motion=motion
        )
        return tracks.within(gray.shape[1], gray.shape[0])


def grouped(moving: NDArray[np.uint8]) -> Detections:
    """The connected regions of a mask that have an object's size."""
    closed = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    clean = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    _, _, regions, _ = cv2.connectedComponentsWithStats(clean, connectivity=8)
    areas = regions[1:, cv2.CC_STAT_AREA]
    kept = regions[1:][(areas >= SMALLEST_AREA) & (areas <= LARGEST_AREA)]
    if not len(kept):
        return no_detections()
    scores = np.full(len(kept), SURE, np.float32)
    return Detections(kept[:, :4].astype(np.float64), scores, np.zeros(len(kept), np.uint8))


def _inverse(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.invertAffineTransform(transform), np.float64)
