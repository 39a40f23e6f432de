"""The target selector as a process, between clicks and a tracker's service."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Point, Point32, PointStamped, Polygon, PolygonStamped
from remote_sensing_tracking.msg import DetectionArray, TargetTrackArray
from remote_sensing_tracking.srv import SetTarget
from std_msgs.msg import Header

from tracking_runtime.ros.clients import LifecycleClient, set_parameters
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.node import qos

SECOND = 10**9
NODE = "/target_selector"


class Screen:
    """Publishes what a person sees and clicks, and answers as a tracker does."""

    def __init__(self, ros, node_process, wait_for, detections_type=DetectionArray, **parameters) -> None:
        self.ros, self.wait_for = ros, wait_for
        self.requests: list[SetTarget.Request] = []
        publish = ros.node.create_publisher
        self.tracks = publish(TargetTrackArray, "/hsi_tracker/tracks", qos.make_track_profile())
        self.detections = publish(detections_type, "/detections", qos.make_track_profile())
        self.points = publish(PointStamped, "/clicked_point", 10)
        self.boxes = publish(PolygonStamped, "/clicked_box", 10)
        self.client = LifecycleClient(ros, NODE)
        self.process = node_process(
            "tracking_runtime.nodes.target_selector",
            "target_selector",
            parameters={"autostart": True, "display_delay": 0.0, **parameters},
        )
        for publisher in (self.tracks, self.detections, self.points, self.boxes):
            wait_for(publisher.get_subscription_count, 30, "the selector")

    def serve(self) -> None:
        self.ros.node.create_service(SetTarget, "/hsi_tracker/set_target", self._answer)
        self.wait_for(
            lambda: self.ros.node.count_clients("/hsi_tracker/set_target"), description="the client"
        )

    def _answer(self, request, response):
        self.requests.append(request)
        response.success = request.box.x >= 0
        response.message = "" if response.success else "outside the image"
        response.id = request.id or len(self.requests)
        return response

    def show(self, stamp_ns: int, *boxes: tuple[float, ...]) -> None:
        """A frame, with what a detector found in it."""
        header = Header(stamp=track_messages.to_time(stamp_ns), frame_id="camera")
        flat = np.array(boxes, float).ravel().tolist()
        self.detections.publish(
            DetectionArray(header=header, class_names=["ship"], class_ids=[0] * len(boxes), boxes=flat)
        )
        self.tracks.publish(TargetTrackArray(header=header))

    def click(self, x: float, y: float, frame_id: str = "camera", stamp_ns: int = 0) -> None:
        header = Header(frame_id=frame_id, stamp=track_messages.to_time(stamp_ns))
        self.points.publish(PointStamped(header=header, point=Point(x=float(x), y=float(y))))

    def request_at(self, stamp_ns: int) -> SetTarget.Request | None:
        return next(
            (each for each in self.requests if track_messages.to_nanoseconds(each.stamp) == stamp_ns), None
        )


@pytest.fixture
def screen(ros, node_process, wait_for):
    return lambda **parameters: Screen(ros, node_process, wait_for, **parameters)


def refused(scene: Screen, reason: str) -> None:
    scene.wait_for(
        lambda: scene.client.diagnosis and reason in scene.client.diagnosis.message,
        description=f"refusal: {reason}",
    )


def test_click_sets_target_in_displayed_frame(screen) -> None:
    scene = screen()
    scene.click(5, 5)
    refused(scene, "no frame has arrived on /hsi_tracker/tracks yet")
    scene.show(SECOND)
    scene.show(2 * SECOND, (100, 50, 20, 10))
    scene.wait_for(lambda: scene.client.diagnosis.values["frames"] == "2", description="both frames")
    scene.click(5, 5)
    refused(scene, "service /hsi_tracker/set_target is not available")
    scene.serve()

    def asked() -> bool:
        scene.click(112, 54)
        return bool(scene.requests)

    scene.wait_for(asked, description="a request")
    request = scene.requests[0]
    assert (track_messages.to_nanoseconds(request.stamp), request.label, request.id) == (
        2 * SECOND,
        "ship",
        0,
    )
    np.testing.assert_array_equal(track_messages.from_box(request.box), [100, 50, 20, 10])
    scene.click(2.0, -1.0, frame_id="image", stamp_ns=SECOND)
    request = scene.wait_for(lambda: scene.request_at(SECOND), description="a request in the first frame")
    np.testing.assert_array_equal(track_messages.from_box(request.box), [184, 84, 32, 32])
    scene.click(1, 1, frame_id="map")
    refused(scene, "the click is in frame map: expected image")


def test_clicked_box_is_used_and_refusal_is_reported(screen) -> None:
    scene = screen(clicks="replace")
    scene.serve()
    scene.show(SECOND, (0, 0, 100, 100))
    scene.wait_for(lambda: scene.client.diagnosis and scene.client.diagnosis.values["frames"] == "1")

    def draw(*corners: tuple[float, float]) -> None:
        points = [Point32(x=x, y=y) for x, y in corners]
        scene.boxes.publish(PolygonStamped(header=Header(frame_id="camera"), polygon=Polygon(points=points)))

    def drawn() -> bool:
        draw((30.0, 40.0), (10.0, 20.0))
        return bool(scene.requests)

    scene.wait_for(drawn, description="a request")
    np.testing.assert_array_equal(track_messages.from_box(scene.requests[0].box), [10, 20, 20, 20])
    scene.wait_for(lambda: scene.client.diagnosis.values["chosen"] != "0", description="the choice")
    draw((-5.0, 1.0), (3.0, 3.0))
    refused(scene, "outside the image")
    assert scene.requests[-1].id == int(scene.client.diagnosis.values["last_target"])
    draw((1.0, 1.0))
    refused(scene, "a clicked box must have at least 2 corners")


def test_click_chooses_box_of_vision_msgs_detector(screen, wait_for) -> None:
    types = pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    scene = screen(detector="Detection2DArray", detections_type=types.Detection2DArray)
    scene.serve()
    header = Header(stamp=track_messages.to_time(SECOND), frame_id="camera")
    found = types.Detection2D(header=header)
    found.bbox.center.position.x, found.bbox.center.position.y = 50.0, 40.0
    found.bbox.size_x, found.bbox.size_y = 20.0, 10.0
    hypothesis = types.ObjectHypothesis(class_id="tank", score=0.9)
    found.results.append(types.ObjectHypothesisWithPose(hypothesis=hypothesis))
    scene.detections.publish(types.Detection2DArray(header=header, detections=[found]))
    scene.tracks.publish(TargetTrackArray(header=header))

    def meant() -> SetTarget.Request | None:
        scene.click(45, 42)
        return next((each for each in scene.requests if each.label == "tank"), None)

    request = wait_for(meant, description="a request for the tank")
    np.testing.assert_array_equal(track_messages.from_box(request.box), [40, 35, 20, 10])


@pytest.mark.skipif(find_spec("vision_msgs") is not None, reason="vision_msgs is installed")
def test_missing_detector_package_is_reported(screen, ros) -> None:
    scene = screen()
    scene.client.deactivate()
    scene.client.cleanup()
    set_parameters(ros, NODE, detector="Detection2DArray")
    scene.client.configure()
    with pytest.raises(RuntimeError, match="ros-jazzy-vision-msgs"):
        scene.client.activate()
