"""Makes targets of clicks: those of RViz and Foxglove, with the help of any detector."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped, PolygonStamped
from numpy.typing import NDArray
from rclpy.qos import QoSProfile
from rclpy.task import Future
from remote_sensing_tracking.msg import TargetTrackArray
from remote_sensing_tracking.srv import SetTarget
from std_msgs.msg import Header

from tracking_runtime.errors import TargetRefused
from tracking_runtime.messages.conversion import stamp_ns
from tracking_runtime.nodes.click_resolution import (
    Detected,
    Shown,
    box_around,
    box_of_corners,
    nearest_box,
    nearest_in_time,
    on_screen,
)
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.conversions.detection_messages import DETECTORS
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, Level, Value
from tracking_runtime.ros.node.managed_node import TrackingNode, run_node
from tracking_runtime.ros.node.parameters import Change, NodeParameters, parameter

_FRAMES_KEPT = 100


@dataclass(frozen=True)
class TargetSelectorParameters(NodeParameters):
    """Parameters of the target selector."""

    box: tuple[float, ...] = parameter(
        (32.0, 32.0),
        "[px] width, height of the box around a click that meets nothing detected",
        minimum=1,
        change=Change.ALWAYS,
    )
    reach: float = parameter(
        10.0, "[px] a click not further from a detected box means that box", minimum=0, change=Change.ALWAYS
    )
    clicks: str = parameter(
        "add",
        "whether a click adds a target, or replaces the one chosen last",
        choices=("add", "replace"),
        change=Change.ALWAYS,
    )
    display_delay: float = parameter(
        0.15,
        "[s] from when a frame's tracks come here until people see them",
        minimum=0,
        change=Change.ALWAYS,
    )
    detector: str = parameter("DetectionArray", "type of the topic detections", choices=tuple(DETECTORS))
    pairing: float = parameter(
        0.1, "[s] detections of a frame this far from the clicked one count", minimum=0, change=Change.ALWAYS
    )
    pixel_size: float = parameter(0.01, "[m] of a pixel in the visualizer's markers", minimum=1e-6)
    marker_frame: str = parameter("image", "frame_id of the visualizer's markers")

    def check(self) -> None:
        """Raise ValueError where values do not fit together."""
        if len(self.box) != 2:
            raise ValueError(f"parameter box has {len(self.box)} numbers, allowed: 2")


class TargetSelector(TrackingNode[TargetSelectorParameters]):
    """Asks ``hsi_tracker/set_target`` to follow what was clicked in the frame that was on the screen."""

    def __init__(self) -> None:
        super().__init__("target_selector", TargetSelectorParameters)
        self._forget()

    def load(self) -> None:
        """Look for the tracker."""
        self._forget()
        self._tracker = self.create_client(SetTarget, "hsi_tracker/set_target")
        self.scope.callback(self.destroy_client, self._tracker)

    def start(self) -> None:
        """Subscribe to clicks and to what is on the screen."""
        detections_type, self._read_detections = DETECTORS[self.parameters.detector]()
        self.subscribe(TargetTrackArray, "hsi_tracker/tracks", self._take_tracks, qos.track())
        self.subscribe(detections_type, "detections", self._take_detections, qos.track())
        self.subscribe(PointStamped, "clicked_point", self._take_point, QoSProfile(depth=10))
        self.subscribe(PolygonStamped, "clicked_box", self._take_box, QoSProfile(depth=10))

    def diagnose(self) -> Diagnosis:
        """What was chosen."""
        values: dict[str, Value] = {
            "frames": len(self._frames),
            "chosen": self._chosen,
            "last_target": self._last_id,
            "last_refusal": self._refusal,
        }
        if self._refusal:
            return Diagnosis(Level.WARN, f"target refused: {self._refusal}", values)
        return Diagnosis(Level.OK, "waiting for clicks", values)

    def _forget(self) -> None:
        self._frames: deque[Shown] = deque(maxlen=_FRAMES_KEPT)
        self._detections: deque[Detected] = deque(maxlen=_FRAMES_KEPT)
        self._chosen = self._last_id = 0
        self._refusal = ""

    def _take_tracks(self, message: TargetTrackArray) -> None:
        self._frames.append(Shown(stamp_ns(message), message.header.frame_id, time.monotonic()))

    def _take_detections(self, message: Any) -> None:
        self._detections.append(self._read_detections(message))

    def _take_point(self, message: PointStamped) -> None:
        def find(frame: Shown) -> tuple[NDArray[np.float64], str]:
            (point,) = self._pixels(message.header, [message.point], frame)
            return self._meant(point, frame.stamp_ns)

        self._choose(message.header, find)

    def _take_box(self, message: PolygonStamped) -> None:
        def find(frame: Shown) -> tuple[NDArray[np.float64], str]:
            if len(message.polygon.points) < 2:
                raise TargetRefused("a box needs two corners at least")
            return box_of_corners(self._pixels(message.header, message.polygon.points, frame)), ""

        self._choose(message.header, find)

    def _choose(self, header: Header, find: Callable[[Shown], tuple[NDArray[np.float64], str]]) -> None:
        """Ask the tracker to follow a box with a label, found in the frame that was on the screen."""
        try:
            click_ns = track_messages.stamp_ns(header.stamp)
            frame = on_screen(self._frames, click_ns, time.monotonic(), self.parameters.display_delay)
            if frame is None:
                raise TargetRefused(f"no frame yet on {self.resolve_topic_name('hsi_tracker/tracks')}")
            box, label = find(frame)
            if not self._tracker.service_is_ready():
                name = self.resolve_service_name(self._tracker.srv_name)
                raise TargetRefused(f"no service {name}: is the tracker configured?")
        except TargetRefused as error:
            self._refuse(str(error))
            return
        replaced = self._last_id if self.parameters.clicks == "replace" else 0
        request = SetTarget.Request(
            box=track_messages.to_box(box),
            stamp=track_messages.to_time(frame.stamp_ns),
            id=replaced,
            label=label,
        )
        self._refusal = ""
        self._tracker.call_async(request).add_done_callback(self._take_answer)

    def _take_answer(self, answer: Future) -> None:
        response = answer.result()
        if not response.success:
            self._refuse(response.message)
            return
        self._chosen, self._last_id = self._chosen + 1, int(response.id)
        self.get_logger().info(response.message)

    def _refuse(self, reason: str) -> None:
        self._refusal = reason
        self.get_logger().warning(f"target refused: {reason}")

    def _meant(self, point: NDArray[np.float64], stamp: int) -> tuple[NDArray[np.float64], str]:
        """The detected box that a point is in or near, with its label; else a box around it."""
        detected = nearest_in_time(self._detections, stamp, self.parameters.pairing)
        index = nearest_box(detected.boxes, point, self.parameters.reach) if detected else None
        if detected is None or index is None:
            return box_around(point, self.parameters.box), ""
        return detected.boxes[index], detected.labels[index]

    def _pixels(self, header: Header, points: Sequence[Any], frame: Shown) -> NDArray[np.float64]:
        """``(n, 2)`` points in pixels: from the plane of the markers, or as they are in the camera's frame.

        Raises:
            TargetRefused: they are in another frame.
        """
        places = np.array([[point.x, point.y] for point in points])
        if header.frame_id == self.parameters.marker_frame:
            return places * [1, -1] / self.parameters.pixel_size
        if header.frame_id in ("", frame.frame_id):
            return places
        raise TargetRefused(
            f"a click in frame {header.frame_id}: known are {self.parameters.marker_frame}, in metres of the "
            f"markers (parameter marker_frame), and {frame.frame_id}, in pixels of the camera"
        )


def main() -> int:
    """Run the node until it is told to end."""
    return run_node(TargetSelector)


if __name__ == "__main__":
    sys.exit(main())
