"""Detections of any detector, and for any reader: vision_msgs where they are installed."""

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

from tracking_runtime.boxes import as_boxes, centres
from tracking_runtime.messages.conversion import stamp_ns
from tracking_runtime.nodes.click_resolution import Detected
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.managed_node import TrackingNode
from tracking_runtime.ros.optional_packages import how_to_install


@dataclass(frozen=True)
class Tracked:
    """One object in one frame: its identity, box x, y, width, height in pixels, score 0..1 and class."""

    id: int
    box: NDArray[np.float64]
    score: float
    label: str


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


class Detections2D:
    """The topic ``~/detections_2d`` for programs that know vision_msgs, if these are installed.

    Its messages are nested and slow to make: there are some only while somebody subscribes.
    """

    def __init__(self, node: TrackingNode[Any]) -> None:
        self._publisher: Publisher | None = None
        with suppress(ImportError):
            self._types = importlib.import_module("vision_msgs.msg")
            self._publisher = node.advertise(self._types.Detection2DArray, "~/detections_2d", qos.track())

    def publish(self, header: Header, objects: Iterable[Tracked]) -> None:
        """Publish what is tracked in a frame."""
        if self._publisher is not None and self._publisher.get_subscription_count():
            detections = [self._detection(header, each) for each in objects]
            self._publisher.publish(self._types.Detection2DArray(header=header, detections=detections))

    def _detection(self, header: Header, tracked: Tracked) -> Any:
        types = self._types
        ((x, y),) = centres(tracked.box).tolist()
        width, height = map(float, tracked.box[2:])
        centre = types.Pose2D(position=types.Point2D(x=x, y=y))
        hypothesis = types.ObjectHypothesis(class_id=tracked.label, score=tracked.score)
        return types.Detection2D(
            header=header,
            results=[types.ObjectHypothesisWithPose(hypothesis=hypothesis)],
            bbox=types.BoundingBox2D(center=centre, size_x=width, size_y=height),
            id=str(tracked.id),
        )


def _vision_msgs() -> tuple[Any, Reader]:
    try:
        from vision_msgs.msg import Detection2DArray
    except ImportError as error:
        raise ValueError(
            "parameter detector is Detection2DArray, but vision_msgs is not installed: "
            + how_to_install("vision_msgs")
        ) from error
    return Detection2DArray, from_vision_msgs


DETECTORS: dict[str, Callable[[], tuple[Any, Reader]]] = {
    "DetectionArray": lambda: (DetectionArray, from_arrays),
    "TrackArray": lambda: (TrackArray, from_arrays),
    "Detection2DArray": _vision_msgs,
}
"""Message class and reader of each kind of detections, by the message's name; raises ValueError."""
