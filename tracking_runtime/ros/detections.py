"""Detections of any detector: this package's messages, and vision_msgs where they are installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from remote_sensing_tracking.msg import DetectionArray, TrackArray

from tracking_runtime.cdr import stamp_ns
from tracking_runtime.choosing import Detected
from tracking_runtime.geometry import as_boxes

Reader = Callable[[Any], Detected]


def from_arrays(message: DetectionArray | TrackArray) -> Detected:
    """Of a message with parallel arrays."""
    names = list(message.class_names)
    labels = [names[k] if k < len(names) else "" for k in message.class_ids]
    return Detected(stamp_ns(message), as_boxes(np.asarray(message.boxes, np.float64)), labels)


def from_vision_msgs(message: Any) -> Detected:
    """Of a vision_msgs/Detection2DArray; boxes that are turned are taken upright."""
    boxes = [
        [
            each.bbox.center.position.x - each.bbox.size_x / 2,
            each.bbox.center.position.y - each.bbox.size_y / 2,
            each.bbox.size_x,
            each.bbox.size_y,
        ]
        for each in message.detections
    ]
    labels = [each.results[0].hypothesis.class_id if each.results else "" for each in message.detections]
    return Detected(stamp_ns(message), as_boxes(boxes), labels)


def _vision_msgs() -> tuple[Any, Reader]:
    try:
        from vision_msgs.msg import Detection2DArray
    except ImportError as error:
        raise ValueError(
            "parameter detector is Detection2DArray, but vision_msgs is not installed: "
            "sudo apt install ros-jazzy-vision-msgs"
        ) from error
    return Detection2DArray, from_vision_msgs


DETECTORS: dict[str, Callable[[], tuple[Any, Reader]]] = {
    "DetectionArray": lambda: (DetectionArray, from_arrays),
    "TrackArray": lambda: (TrackArray, from_arrays),
    "Detection2DArray": _vision_msgs,
}
"""Message class and reader of each kind of detections, by the message's name; raises ValueError."""
