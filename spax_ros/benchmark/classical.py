"""Moving object detection without learning: frame differencing and background subtraction."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.association import AssociationSettings, GaussianTracker, Tracks
from spax_ros.decoding import Detections, make_empty_detections
from spax_ros.motion.background import GrayImage
from spax_ros.motion.registration import register_frames
from spax_ros.preprocessing import to_gray, to_uint8
from spax_ros.transforms import IDENTITY, compose_transforms, invert_transform, warp_image

MIN_AREA_PX = 6  # smallest area of an object
MAX_AREA_PX = 4000  # largest area of an object
DETECTION_SCORE = 0.9  # score of every detection; the methods compute none
MOTION_DEVIATIONS = 4.0  # standard deviations above the mean from which a difference is motion
FRAME_GAP = 3  # frames between two compared frames, and warm-up frames of the background model
ASSOCIATION = AssociationSettings(min_speed=0.2, is_class_aware=False)


class MotionDetector(Protocol):
    """Detector of moving pixels in a sequence of frames."""

    def __call__(self, gray: GrayImage, camera_motion: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return a mask of the moving pixels of the next frame, (H, W): 255 for motion, else 0.

        Args:
            gray: the frame, (H, W).
            camera_motion: transform from pixels of the last frame to pixels of this one, (3, 3).
        """


class FrameDifference:
    """Motion detector that compares a frame with both the third and the sixth frame before."""

    def __init__(self) -> None:
        self._earlier_frames: list[tuple[GrayImage, NDArray[np.float64]]] = []

    def __call__(self, gray: GrayImage, camera_motion: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return a mask of the moving pixels of the next frame. See `MotionDetector`."""
        # Step 1: update the transforms from the earlier frames to this frame.
        self._earlier_frames = [
            (image, compose_transforms(camera_motion, transform)) for image, transform in self._earlier_frames
        ]
        compared_frames = self._earlier_frames[-FRAME_GAP::-FRAME_GAP][:2]
        self._earlier_frames = [*self._earlier_frames, (gray, IDENTITY)][-2 * FRAME_GAP :]
        if not compared_frames:
            return np.zeros(gray.shape, np.uint8)

        # Step 2: compute the differences from the registered earlier frames.
        size = gray.shape[::-1]
        differences = [
            cv2.absdiff(
                gray,
                warp_image(image, transform, size, background=gray),
            )
            for image, transform in compared_frames
        ]

        # Step 3: keep the pixels that differ from all of them by more than the noise.
        difference = cv2.GaussianBlur(np.minimum.reduce(differences), (3, 3), 0)
        threshold = difference.mean() + MOTION_DEVIATIONS * difference.std()
        return (difference > threshold).astype(np.uint8) * 255


class MixtureOfGaussians:
    """Motion detector by OpenCV's MOG2, over frames registered to the first one."""

    def __init__(self) -> None:
        self._model = cv2.createBackgroundSubtractorMOG2(history=60, varThreshold=25, detectShadows=False)
        self._to_first = IDENTITY
        self._num_frames = 0

    def __call__(self, gray: GrayImage, camera_motion: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return a mask of the moving pixels of the next frame. See `MotionDetector`."""
        self._to_first = compose_transforms(self._to_first, invert_transform(camera_motion))
        size = gray.shape[::-1]
        is_covered = warp_image(np.ones_like(gray), self._to_first, size)
        registered = warp_image(gray, self._to_first, size, border_mode=cv2.BORDER_REPLICATE)
        motion_mask = self._model.apply(registered) * is_covered
        self._num_frames += 1
        if self._num_frames <= FRAME_GAP:
            return np.zeros(gray.shape, np.uint8)
        from_first = invert_transform(self._to_first)
        return warp_image(motion_mask, from_first, size, interpolation=cv2.INTER_NEAREST)


class ClassicalTracker:
    """Tracker of regions of moving pixels, with the association of SPAX.

    Args:
        detect_motion: detector of the moving pixels.
        settings: settings of the association.
    """

    def __init__(self, detect_motion: MotionDetector, settings: AssociationSettings = ASSOCIATION) -> None:
        self._detect_motion = detect_motion
        self._association = GaussianTracker(settings)
        self._previous_image: GrayImage | None = None

    def track(self, image: NDArray[Any], stamp_ns: int) -> Tracks:
        """Return all tracks after the next frame. See `SpaxTracker.track`."""
        gray = to_gray(to_uint8(image))
        camera_motion = (
            IDENTITY if self._previous_image is None else register_frames(self._previous_image, gray)
        )
        self._previous_image = gray
        detections = find_regions(self._detect_motion(gray, camera_motion))
        tracks = self._association.update(
            detections.boxes,
            detections.scores,
            detections.class_ids,
            stamp_ns,
            camera_motion=camera_motion,
        )
        return tracks.clip_to_image(gray.shape[1], gray.shape[0])


def find_regions(motion_mask: NDArray[np.uint8]) -> Detections:
    """Return the connected regions of a motion mask that have the size of an object, as detections."""
    closed = cv2.morphologyEx(motion_mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    _, _, regions, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    areas = regions[1:, cv2.CC_STAT_AREA]
    objects = regions[1:][(areas >= MIN_AREA_PX) & (areas <= MAX_AREA_PX)]
    if not len(objects):
        return make_empty_detections()
    scores = np.full(len(objects), DETECTION_SCORE, np.float32)
    return Detections(objects[:, :4].astype(np.float64), scores, np.zeros(len(objects), np.uint8))
