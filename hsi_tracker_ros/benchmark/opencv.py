"""OpenCV's trackers on false colour. CSRT and KCF are in its contrib modules, which not every build has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from hsi_tracker_ros.benchmark.base import SHOWING, Answer, Box, Contender, Shown, code_sha256
from tracking_runtime.boxes import clip_to_image

OPENCV_TRACKERS = ("CSRT", "KCF", "MIL")


class OpenCVTracker:
    """One of OpenCV's trackers; where it finds nothing, the box stays and the target is lost."""

    def __init__(self, create: Callable[[], Any]) -> None:
        self._tracker = create()
        self._box = np.zeros(4)

    def start(self, shown: Shown, box: Box) -> None:
        """See :class:`OneTargetTracker`; OpenCV takes whole pixels."""
        height, width = shown.cube.shape[:2]
        self._box = clip_to_image(box, width, height)[0]
        left, top, right, bottom = np.round([*self._box[:2], *(self._box[:2] + self._box[2:])]).astype(int)
        whole = int(left), int(top), max(int(right - left), 1), max(int(bottom - top), 1)
        self._tracker.init(shown.false_color, whole)

    def track(self, shown: Shown) -> Answer:
        """See :class:`OneTargetTracker`."""
        found, box = self._tracker.update(shown.false_color)
        if found:
            self._box = np.array(box, np.float64)
        return Answer(self._box, not found)


def missing_opencv_trackers() -> list[str]:
    """Those of OpenCV's trackers that this OpenCV was built without."""
    return [name for name in OPENCV_TRACKERS if not hasattr(cv2, f"Tracker{name}_create")]


def opencv_contenders() -> list[Contender]:
    """OpenCV's trackers, as far as this OpenCV has them."""
    missing = missing_opencv_trackers()
    return [_opencv_contender(name) for name in OPENCV_TRACKERS if name not in missing]


def _opencv_contender(name: str) -> Contender:
    ran = {
        "tracker": name,
        "opencv": cv2.__version__,
        "code sha256": code_sha256(*SHOWING, "benchmark/opencv.py"),
    }
    create = getattr(cv2, f"Tracker{name}_create")
    return Contender(name, ran, lambda _: OpenCVTracker(create))
