"""Detections of any detector to arrays, and tracks as vision_msgs if these are installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from remote_sensing_tracking.msg import DetectionArray, TrackArray
from std_msgs.msg import Header

from tracking_runtime.boxes import as_boxes, compute_centers
from tracking_runtime.frames import FrameDetections
from tracking_runtime.messages.conversion import read_stamp_ns
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.optional_packages import format_install_command


@dataclass(frozen=True)
class TrackedObject:
    """Tracked object in one frame.

    Attributes:
        id: id of its target or track.
        box: box in pixels, (4,): x, y, width, height.
        score: score, 0..1.
        label: class name or label, may be empty.
    """

    id: int
    box: NDArray[np.float64]
    score: float
    label: str


DetectionReader = Callable[[Any], FrameDetections]


def read_parallel_arrays(message: DetectionArray | TrackArray) -> FrameDetections:
    """Return the detections of a message with parallel arrays."""
    names = list(message.class_names)
    labels = [names[k] if k < len(names) else "" for k in message.class_ids]
    return FrameDetections(read_stamp_ns(message), as_boxes(np.asarray(message.boxes, np.float64)), labels)


def read_detections_2d(message: Any) -> FrameDetections:
    """Return the detections of a vision_msgs/Detection2DArray. The rotation of boxes is ignored."""
    boxes = [
        [
            detection.bbox.center.position.x - detection.bbox.size_x / 2,
            detection.bbox.center.position.y - detection.bbox.size_y / 2,
            detection.bbox.size_x,
            detection.bbox.size_y,
        ]
        for detection in message.detections
    ]
    labels = [
        detection.results[0].hypothesis.class_id if detection.results else ""
        for detection in message.detections
    ]
    return FrameDetections(read_stamp_ns(message), as_boxes(boxes), labels)


class Detections2DPublisher:
    """Publisher of `~/detections_2d` for programs that use vision_msgs. Idle if these are not installed.

    The messages are nested and slow to build. They are built only while the topic has subscribers.
    """

    def __init__(self, node: ManagedNode[Any]) -> None:
        """Advertise the topic in the current scope of a node."""
        self._publisher: Publisher | None = None
        with suppress(ImportError):
            self._types = importlib.import_module("vision_msgs.msg")
            self._publisher = node.advertise(
                self._types.Detection2DArray, "~/detections_2d", qos.make_track_profile()
            )

    def publish(self, header: Header, objects: Iterable[TrackedObject]) -> None:
        """Publish the tracked objects of a frame if the topic has subscribers."""
        if self._publisher is not None and self._publisher.get_subscription_count():
            detections = [self._make_detection(header, tracked) for tracked in objects]
            self._publisher.publish(self._types.Detection2DArray(header=header, detections=detections))

    def _make_detection(self, header: Header, tracked: TrackedObject) -> Any:
        types = self._types
        ((x, y),) = compute_centers(tracked.box).tolist()
        width, height = map(float, tracked.box[2:])
        center = types.Pose2D(position=types.Point2D(x=x, y=y))
        hypothesis = types.ObjectHypothesis(class_id=tracked.label, score=tracked.score)
        return types.Detection2D(
            header=header,
            results=[types.ObjectHypothesisWithPose(hypothesis=hypothesis)],
            bbox=types.BoundingBox2D(center=center, size_x=width, size_y=height),
            id=str(tracked.id),
        )


def _load_vision_msgs() -> tuple[Any, DetectionReader]:
    try:
        from vision_msgs.msg import Detection2DArray
    except ImportError as error:
        raise ValueError(
            "parameter detector is Detection2DArray, but vision_msgs is not installed: "
            + format_install_command("vision_msgs")
        ) from error
    return Detection2DArray, read_detections_2d


DETECTORS: dict[str, Callable[[], tuple[Any, DetectionReader]]] = {
    "DetectionArray": lambda: (DetectionArray, read_parallel_arrays),
    "TrackArray": lambda: (TrackArray, read_parallel_arrays),
    "Detection2DArray": _load_vision_msgs,
}
"""Function by the name of a detector's message: returns message class and reader, raises ValueError."""
