"""OpenCV's trackers on false color. CSRT and KCF need OpenCV's contrib modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from hsi_tracker_ros.benchmark.base import (
    INPUT_CODE,
    BenchmarkEntry,
    BenchmarkFrame,
    Box,
    TargetPrediction,
    compute_code_sha256,
)
from tracking_runtime.boxes import clip_to_image, to_corners

OPENCV_TRACKERS = ("CSRT", "KCF", "MIL")


class OpenCVTracker:
    """Adapter of one of OpenCV's trackers. A target that is not found is lost and keeps its last box.

    Args:
        create_tracker: factory of the OpenCV tracker.
    """

    def __init__(self, create_tracker: Callable[[], Any]) -> None:
        self._tracker = create_tracker()
        self._box = np.zeros(4)

    def initialize(self, frame: BenchmarkFrame, box: Box) -> None:
        """Set the target to the content of a box, rounded to the whole pixels that OpenCV requires."""
        height, width = frame.cube.shape[:2]
        self._box = clip_to_image(box, width, height)[0]
        left, top, right, bottom = np.round(to_corners(self._box)[0]).astype(int)
        rounded_box = int(left), int(top), max(int(right - left), 1), max(int(bottom - top), 1)
        self._tracker.init(frame.false_color, rounded_box)

    def track(self, frame: BenchmarkFrame) -> TargetPrediction:
        """Return the target's box in the next frame."""
        is_found, box = self._tracker.update(frame.false_color)
        if is_found:
            self._box = np.array(box, np.float64)
        return TargetPrediction(self._box, not is_found)


def find_missing_opencv_trackers() -> list[str]:
    """Return the names of the trackers that this build of OpenCV lacks."""
    return [name for name in OPENCV_TRACKERS if not hasattr(cv2, f"Tracker{name}_create")]


def make_opencv_entries() -> list[BenchmarkEntry]:
    """Return the benchmark entries of the trackers that this build of OpenCV has."""
    missing = find_missing_opencv_trackers()
    return [_make_opencv_entry(name) for name in OPENCV_TRACKERS if name not in missing]


def _make_opencv_entry(name: str) -> BenchmarkEntry:
    components = {
        "tracker": name,
        "opencv": cv2.__version__,
        "code sha256": compute_code_sha256(*INPUT_CODE, "benchmark/opencv.py"),
    }
    create_tracker = getattr(cv2, f"Tracker{name}_create")
    return BenchmarkEntry(name, components, lambda _: OpenCVTracker(create_tracker))
