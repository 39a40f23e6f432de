"""Node `target_selector`: sets targets by clicks in RViz and Foxglove, with the boxes of a detector."""

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

from tracking_runtime.errors import TargetRefusedError
from tracking_runtime.frames import FrameDetections
from tracking_runtime.messages.conversion import read_stamp_ns
from tracking_runtime.nodes.click_resolution import (
    DisplayedFrame,
    find_displayed_frame,
    find_nearest_box,
    find_nearest_detections,
    make_bounding_box,
    make_box_around,
)
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.conversions.detection_messages import DETECTORS
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel, Value
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import Change, NodeParameters, parameter
from tracking_runtime.ros.node.run import run_node

_MAX_FRAMES = 100


@dataclass(frozen=True)
class TargetSelectorParameters(NodeParameters):
    """Parameters of the node `target_selector`."""

    box: tuple[float, ...] = parameter(
        (32.0, 32.0),
        "[px] width, height of the box around a click without a detection",
        minimum=1,
        change=Change.ALWAYS,
    )
    reach: float = parameter(
        10.0,
        "[px] largest distance of a click from a detected box to choose it",
        minimum=0,
        change=Change.ALWAYS,
    )
    clicks: str = parameter(
        "add",
        "effect of a click: add a target, or replace the last one",
        choices=("add", "replace"),
        change=Change.ALWAYS,
    )
    display_delay: float = parameter(
        0.15,
        "[s] delay from the arrival of a frame's tracks to their display",
        minimum=0,
        change=Change.ALWAYS,
    )
    detector: str = parameter(
        "DetectionArray", "message type of the topic `detections`", choices=tuple(DETECTORS)
    )
    pairing: float = parameter(
        0.1, "[s] largest time between the clicked frame and the detections", minimum=0, change=Change.ALWAYS
    )
    pixel_size: float = parameter(0.01, "[m] size of a pixel in the visualizer's markers", minimum=1e-6)
    marker_frame: str = parameter("image", "frame_id of the visualizer's markers")

    def check(self) -> None:
        """Raise ValueError if the values contradict each other."""
        if len(self.box) != 2:
            raise ValueError(f"parameter box must have 2 numbers, width and height: got {len(self.box)}")


class TargetSelector(ManagedNode[TargetSelectorParameters]):
    """Client of `hsi_tracker/set_target` that sets the clicked box of the displayed frame as target."""

    def __init__(self) -> None:
        super().__init__("target_selector", TargetSelectorParameters)
        self._reset_state()

    def load(self) -> None:
        """Create the client of the tracker."""
        self._reset_state()
        self._tracker = self.create_client(
            SetTarget, "hsi_tracker/set_target", qos_profile=qos.make_service_profile()
        )
        self.scope.callback(self.destroy_client, self._tracker)

    def start(self) -> None:
        """Subscribe to clicks, tracks and detections."""
        detections_type, self._read_detections = DETECTORS[self.parameters.detector]()
        self.subscribe(TargetTrackArray, "hsi_tracker/tracks", self._handle_tracks, qos.make_track_profile())
        self.subscribe(detections_type, "detections", self._handle_detections, qos.make_track_profile())
        self.subscribe(PointStamped, "clicked_point", self._handle_point, QoSProfile(depth=10))
        self.subscribe(PolygonStamped, "clicked_box", self._handle_box, QoSProfile(depth=10))

    def diagnose(self) -> Diagnosis:
        """Return the number of chosen targets and the last refusal."""
        values: dict[str, Value] = {
            "frames": len(self._frames),
            "chosen": self._num_chosen,
            "last_target": self._last_id,
            "last_refusal": self._refusal,
        }
        if self._refusal:
            return Diagnosis(DiagnosticLevel.WARN, f"target refused: {self._refusal}", values)
        return Diagnosis(DiagnosticLevel.OK, "waiting for clicks", values)

    def _reset_state(self) -> None:
        self._frames: deque[DisplayedFrame] = deque(maxlen=_MAX_FRAMES)
        self._detections: deque[FrameDetections] = deque(maxlen=_MAX_FRAMES)
        self._num_chosen = 0
        self._last_id = 0
        self._refusal = ""

    def _handle_tracks(self, message: TargetTrackArray) -> None:
        self._frames.append(DisplayedFrame(read_stamp_ns(message), message.header.frame_id, time.monotonic()))

    def _handle_detections(self, message: Any) -> None:
        self._detections.append(self._read_detections(message))

    def _handle_point(self, message: PointStamped) -> None:
        def find(frame: DisplayedFrame) -> tuple[NDArray[np.float64], str]:
            (point,) = self._to_pixels(message.header, [message.point], frame)
            return self._find_clicked_box(point, frame.stamp_ns)

        self._request_target(message.header, find)

    def _handle_box(self, message: PolygonStamped) -> None:
        def find(frame: DisplayedFrame) -> tuple[NDArray[np.float64], str]:
            if len(message.polygon.points) < 2:
                raise TargetRefusedError("a clicked box must have at least 2 corners: got fewer")
            return make_bounding_box(self._to_pixels(message.header, message.polygon.points, frame)), ""

        self._request_target(message.header, find)

    def _request_target(
        self, header: Header, find: Callable[[DisplayedFrame], tuple[NDArray[np.float64], str]]
    ) -> None:
        """Request a target: the box and label that `find` returns for the displayed frame."""
        try:
            click_ns = track_messages.to_nanoseconds(header.stamp)
            frame = find_displayed_frame(
                self._frames, click_ns, time.monotonic(), self.parameters.display_delay
            )
            if frame is None:
                raise TargetRefusedError(
                    f"no frame has arrived on {self.resolve_topic_name('hsi_tracker/tracks')} yet"
                )
            box, label = find(frame)
            if not self._tracker.service_is_ready():
                name = self.resolve_service_name(self._tracker.srv_name)
                raise TargetRefusedError(f"service {name} is not available: configure the tracker")
        except TargetRefusedError as error:
            self._record_refusal(str(error))
            return
        replaced_id = self._last_id if self.parameters.clicks == "replace" else 0
        request = SetTarget.Request(
            box=track_messages.to_box(box),
            stamp=track_messages.to_time(frame.stamp_ns),
            id=replaced_id,
            label=label,
        )
        self._refusal = ""
        self._tracker.call_async(request).add_done_callback(self._handle_response)

    def _handle_response(self, future: Future) -> None:
        response = future.result()
        if not response.success:
            self._record_refusal(response.message)
            return
        self._num_chosen += 1
        self._last_id = int(response.id)
        self.get_logger().info(response.message)

    def _record_refusal(self, reason: str) -> None:
        self._refusal = reason
        self.get_logger().warning(f"target refused: {reason}")

    def _find_clicked_box(self, point: NDArray[np.float64], stamp: int) -> tuple[NDArray[np.float64], str]:
        """Return the detected box at or near a point with its label, else a box around the point."""
        detected = find_nearest_detections(self._detections, stamp, self.parameters.pairing)
        index = find_nearest_box(detected.boxes, point, self.parameters.reach) if detected else None
        if detected is None or index is None:
            return make_box_around(point, self.parameters.box), ""
        return detected.boxes[index], detected.labels[index]

    def _to_pixels(self, header: Header, points: Sequence[Any], frame: DisplayedFrame) -> NDArray[np.float64]:
        """Convert points to pixels, `(n, 2)`: from the plane of the markers or from the camera's frame.

        Raises:
            TargetRefusedError: the points are in another coordinate frame.
        """
        positions = np.array([[point.x, point.y] for point in points])
        if header.frame_id == self.parameters.marker_frame:
            return positions * [1, -1] / self.parameters.pixel_size
        if header.frame_id in ("", frame.frame_id):
            return positions
        raise TargetRefusedError(
            f"the click is in frame {header.frame_id}: expected {self.parameters.marker_frame}, in "
            f"meters of the markers (parameter marker_frame), or {frame.frame_id}, in pixels of the camera"
        )


def main() -> int:
    """Run the node until it is shut down."""
    return run_node(TargetSelector)


if __name__ == "__main__":
    sys.exit(main())
