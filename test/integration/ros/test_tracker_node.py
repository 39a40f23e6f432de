"""Base of the tracker nodes, as a process over DDS."""

from __future__ import annotations

import os
import re
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from remote_sensing_tracking.msg import TrackArray
from remote_sensing_tracking.srv import ReloadModel
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from tracking_runtime.nodes.playback_clock import FixedRateClock
from tracking_runtime.ros.clients import LifecycleClient, RequestRefusedError, TrackerClient
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.node.diagnostics import DiagnosticLevel
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession

pytestmark = pytest.mark.ros
LOG_PERIOD_S = 5.0  # shortest time between two equal log lines
SECOND = 10**9
NODE = "/brightness"


@dataclass(frozen=True)
class Running:
    """Active brightness node.

    Attributes:
        process: process of the node.
        node: client of its lifecycle.
        camera: camera of the node.
        make_spot: function that makes an image with one bright pixel.
    """

    process: NodeProcess
    node: LifecycleClient
    camera: Any
    make_spot: Callable[..., Any]

    def make_frame(self, stamp_ns: int, **options: Any) -> Image:
        return self.camera.make_message(self.make_spot(1, 1, **options), "mono8", stamp_ns)

    def track(self, stamp_ns: int, **options: Any) -> Any:
        return self.camera.track(self.make_frame(stamp_ns, **options))


@pytest.fixture
def start_node(
    ros: RosSession, brightness: Callable[..., NodeProcess], make_camera: Any, make_spot: Any
) -> Callable[..., Running]:
    """Return a function that starts and activates a brightness node with parameters."""

    def start(**parameters: Any) -> Running:
        process = brightness(**parameters)
        node = LifecycleClient(ros, NODE)
        camera = make_camera(NODE, TrackArray)
        node.start()
        camera.wait_for_node()
        return Running(process, node, camera, make_spot)

    return start


@pytest.fixture
def running(start_node: Callable[..., Running]) -> Running:
    return start_node()


def test_result_carries_metadata_of_its_frame(running: Running) -> None:
    image = running.make_spot(5, 7)
    message = running.camera.make_message(image, "mono8", 123 * SECOND + 45, frame_id="nadir")

    tracks = running.camera.track(message)

    assert tracks.header == message.header
    assert (tracks.image_width, tracks.image_height, tracks.epoch) == (32, 24, 0)
    np.testing.assert_array_equal(tracks.boxes, [5, 7, 3, 3])
    assert 0 < tracks.latency.nanosec < SECOND


def _change(message: Image, **changes: Any) -> Image:
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_refused_frame_leaves_tracker_unchanged(running: Running, wait_for: Callable[..., Any]) -> None:
    camera = running.camera
    running.track(SECOND)

    def make_good(number: int) -> Image:
        return running.make_frame(SECOND + number)

    not_a_number = np.full((4, 4), np.nan, np.float32)
    bad_frames = [
        (_change(make_good(1), data=b""), "0 bytes of data"),
        (_change(make_good(1), width=0), "the image is empty"),
        (_change(make_good(1), step=31), "step is 31 bytes"),
        (_change(make_good(1), encoding="yuv"), "encoding 'yuv' is not known"),
        (camera.make_message(not_a_number, "32FC1", SECOND + 1), "not finite"),
        (running.make_frame(0), "stamp is zero"),
        (make_good(16), "stamp of the previous frame"),
    ]
    for number, (message, reason) in enumerate(bad_frames, start=1):
        camera.send(message)
        refusal = re.compile(f"frame on /image refused: .*{reason}")
        wait_for(lambda refusal=refusal: refusal.search(running.process.log), description=reason)
        tracks = camera.track(make_good(10 + number))
        assert (list(tracks.ids), tracks.epoch) == ([number + 1], 0), "the tracker continues"

    running.node.deactivate()
    values = running.node.diagnosis.values
    assert "stamp of the previous frame" in values["last_refusal"]
    assert (values["frames_refused"], values["frames_processed"]) == ("7", "8")


def test_tracker_error_costs_one_frame(running: Running, wait_for: Callable[..., Any]) -> None:
    running.track(SECOND)

    running.camera.send(running.make_frame(2 * SECOND, value=13))
    wait_for(lambda: "RuntimeError: poisoned" in running.process.log)
    tracks = running.track(3 * SECOND)

    assert (tracks.epoch, list(tracks.ids)) == (1, [1])
    running.node.deactivate()
    assert running.node.diagnosis.values["frames_failed"] == "1"
    assert running.node.diagnosis.message == "cannot track: poisoned"


def test_new_stream_begins_an_epoch(running: Running) -> None:
    camera = running.camera
    small = running.make_spot(1, 1, size=(10, 10))
    wide = small.astype(np.uint16)
    frames = [
        running.make_frame(10 * SECOND),
        running.make_frame(9 * SECOND),
        camera.make_message(small, "mono8", 11 * SECOND),
        camera.make_message(wide, "mono16", 12 * SECOND),
        camera.make_message(wide, "mono16", 13 * SECOND, frame_id="other"),
        camera.make_message(wide, "mono16", 14 * SECOND, frame_id="other"),
    ]

    tracks = [camera.track(frame) for frame in frames]

    assert [message.epoch for message in tracks] == [0, 1, 2, 3, 4, 4]
    assert [list(message.ids) for message in tracks] == [[1], [1], [1], [1], [1], [2]]


def test_size_within_tolerance_continues_epoch(running: Running) -> None:
    sizes = [(20, 30), (22, 28), (18, 31), (20, 30), (17, 30), (20, 30)]

    tracks = [running.track(number * SECOND, size=size) for number, size in enumerate(sizes, start=1)]

    assert [message.epoch for message in tracks] == [0, 0, 0, 0, 1, 2]
    assert [(message.image_height, message.image_width) for message in tracks] == sizes


def test_every_published_frame_is_counted_once(running: Running, wait_for: Callable[..., Any]) -> None:
    camera = running.camera
    size = (256, 256)
    running.track(SECOND, size=size)  # both sides have discovered each other

    for number in range(1, 300):
        camera.send(running.make_frame(SECOND + number, size=size))
    running.track(2 * SECOND, size=size)
    running.node.deactivate()

    values = running.node.diagnosis.values
    counts = {key: int(value) for key, value in values.items() if key.startswith("frames_")}
    fates = ("processed", "dropped", "refused", "failed", "lost")
    assert sum(counts[f"frames_{fate}"] for fate in fates) == camera.num_published
    wait_for(lambda: len(camera.tracks) == counts["frames_processed"])


def test_reset_and_reload_begin_epochs(ros: RosSession, running: Running) -> None:
    client = TrackerClient(ros, NODE)
    running.track(SECOND)

    client.reset()
    assert running.track(2 * SECOND).epoch == 1

    with pytest.raises(RequestRefusedError, match="no model /absent"):
        client.reload_model("/absent")
    assert running.track(3 * SECOND).epoch == 1

    client.reload_model()
    tracks = running.track(4 * SECOND)
    assert (tracks.epoch, list(tracks.ids)) == (2, [1])


@contextmanager
def _make_slow_model(tmp_path: Path) -> Iterator[Path]:
    """Make a model whose reading ends with the block."""
    path = tmp_path / "slow"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        yield path
    finally:
        os.close(writer)


def test_frames_and_services_continue_during_loading(
    ros: RosSession, running: Running, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    client = ros.node.create_client(ReloadModel, f"{NODE}/reload_model")
    client.wait_for_service(10)

    with _make_slow_model(tmp_path) as model:
        response = client.call_async(ReloadModel.Request(model=str(model)))
        for number in range(1, 4):
            tracks = running.track(number * SECOND)
        assert (tracks.epoch, list(tracks.ids)) == (0, [3])
        assert running.node.state() == "active"
        assert not response.done()

    wait_for(response.done, description="the response")
    assert response.result().success
    assert running.track(9 * SECOND).epoch == 1


def test_cleanup_during_loading_leaves_usable_node(
    ros: RosSession, running: Running, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    client = ros.node.create_client(ReloadModel, f"{NODE}/reload_model")
    client.wait_for_service(10)
    running.node.deactivate()

    with _make_slow_model(tmp_path) as model:
        client.call_async(ReloadModel.Request(model=str(model)))
        wait_for(lambda: model in running.process.open_files, description="the loading")
        change_state = ros.node.create_client(ChangeState, f"{NODE}/change_state")
        change_state.wait_for_service(10)
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CLEANUP))
        response = change_state.call_async(request)
        wait_for(lambda: "unloading" in running.process.log)

    wait_for(response.done, description="the end of the clean-up")
    assert response.result().success
    wait_for(lambda: "a request stays without answer" in running.process.log)
    running.node.start()
    assert running.node.diagnosis.values["model"] == ""
    assert running.node.diagnosis.values["last_error"] == ""


def test_old_frame_is_refused(start_node: Callable[..., Running], wait_for: Callable[..., Any]) -> None:
    running = start_node(max_age=5.0)
    now_ns = time.time_ns()

    running.camera.send(running.make_frame(now_ns - 60 * SECOND))

    wait_for(lambda: "max_age is 5 s" in running.process.log)
    running.track(now_ns)


def test_refusals_of_one_kind_are_logged_once_in_a_period(
    start_node: Callable[..., Running], wait_for: Callable[..., Any]
) -> None:
    running = start_node(max_age=5.0)
    start_s = time.monotonic()

    def are_many_refused() -> bool:
        running.camera.send(running.make_frame(time.time_ns() - 60 * SECOND))
        return int(running.node.diagnosis.values["frames_refused"]) >= 25

    wait_for(are_many_refused, 60, "25 refused frames")

    num_periods = (time.monotonic() - start_s) / LOG_PERIOD_S
    assert 1 <= running.process.log.count("max_age is 5 s") <= 1 + num_periods


@dataclass(frozen=True)
class LoadedNode:
    """Node that takes 24 ms per frame, with a camera of any rate."""

    running: Running

    def run(self, rate_hz: float, *, until: Callable[[dict[str, str], str], bool]) -> None:
        """Send frames at a rate until a condition on the diagnosis holds.

        Args:
            rate_hz: frames per second.
            until: condition on the values and the message of the diagnosis.
        """
        clock = FixedRateClock(rate_hz)
        deadline_s = time.monotonic() + 60
        while not self._is_met(until):
            assert time.monotonic() < deadline_s, self.running.node.diagnosis
            clock.wait_for_next_frame()
            self.running.camera.send(self.running.make_frame(time.time_ns()))

    def _is_met(self, until: Callable[[dict[str, str], str], bool]) -> bool:
        diagnosis = self.running.node.diagnosis
        return bool(diagnosis) and until(diagnosis.values, diagnosis.message)


@pytest.fixture
def start_loaded(start_node: Callable[..., Running], tmp_path: Path) -> Callable[..., LoadedNode]:
    """Return a function that starts a slow node with an overload policy."""

    def start(**parameters: Any) -> LoadedNode:
        (tmp_path / "light").touch()
        defaults = {"qos_overrides./image.subscription.depth": 1, "max_age": 30.0}
        return LoadedNode(start_node(work=0.024, **{**defaults, **parameters}))

    return start


def test_overload_skips_frames_and_is_reported(start_loaded: Callable[..., LoadedNode]) -> None:
    load = start_loaded()

    load.run(100, until=lambda _, message: "of the frames are skipped" in message)
    load.run(100, until=lambda values, _: float(values["load"]) > 1 and values["eased"] == "0")
    load.run(10, until=lambda values, message: message == "tracking" and float(values["load"]) < 0.8)


def test_overload_shrinks_search_until_spare_time(start_loaded: Callable[..., LoadedNode]) -> None:
    load = start_loaded(overload="shrink")

    load.run(100, until=lambda _, message: "the search is shrunk, level 2" in message)
    load.run(20, until=lambda values, message: values["eased"] == "0" and message == "tracking")

    assert {tracks.epoch for tracks in load.running.camera.tracks} == {0}


def test_overload_uses_light_model_until_spare_time(
    start_loaded: Callable[..., LoadedNode], tmp_path: Path
) -> None:
    load = start_loaded(overload="light", light_model=str(tmp_path / "light"))

    load.run(
        100, until=lambda values, message: "light_model" in message and values["model"].endswith("/light")
    )
    load.run(20, until=lambda values, message: values["eased"] == "0" and message == "tracking")

    ids = [tracks.ids[0] for tracks in load.running.camera.tracks]
    assert ids == list(range(1, len(ids) + 1)), "each model continues with the state of the other"


@pytest.mark.parametrize(("model", "status"), [("", 0), ("/absent", 1)])
def test_build_only_node_ends_after_configuring(
    brightness: Callable[..., NodeProcess], model: str, status: int
) -> None:
    process = brightness(build_only=True, autostart=True, model=model)

    assert process.wait(60) == status
    assert ("no model /absent" in process.log) == bool(status)


def test_overload_light_without_light_model_is_refused(
    ros: RosSession, brightness: Callable[..., NodeProcess]
) -> None:
    brightness(overload="light")

    with pytest.raises(RequestRefusedError, match="light_model must be set with overload: light"):
        LifecycleClient(ros, NODE).configure()


def test_incompatible_qos_is_reported(
    ros: RosSession, brightness: Callable[..., NodeProcess], wait_for: Callable[..., Any]
) -> None:
    from rclpy.qos import qos_profile_sensor_data

    process = brightness()
    node = LifecycleClient(ros, NODE)
    node.start()

    ros.node.create_publisher(Image, "/image", qos_profile_sensor_data)

    wait_for(lambda: "incompatible QoS on /image: the publisher differs in RELIABILITY" in process.log)
    wait_for(lambda: node.diagnosis and "incompatible QoS on /image" in node.diagnosis.message)


def test_compressed_images_are_tracked(
    ros: RosSession,
    brightness: Callable[..., NodeProcess],
    make_camera: Any,
    make_spot: Any,
    wait_for: Callable[..., Any],
) -> None:
    brightness(image_transport="compressed")
    node = LifecycleClient(ros, NODE)
    tracks = ros.listen(TrackArray, f"{NODE}/tracks")
    publisher = ros.node.create_publisher(CompressedImage, "/image/compressed", 10)
    node.start()
    wait_for(publisher.get_subscription_count, description="a subscription of compressed images")
    header = make_camera(NODE, TrackArray).make_message(make_spot(1, 1), "mono8", SECOND).header
    data = cv2.imencode(".png", make_spot(5, 7))[1].tobytes()

    publisher.publish(CompressedImage(header=header, format="mono8; png compressed", data=array("B", data)))
    wait_for(lambda: tracks, description="tracks")
    assert (tracks[0].header, list(tracks[0].boxes)) == (header, [5, 7, 3, 3])

    header.stamp.sec += 1
    publisher.publish(CompressedImage(header=header, format="jpeg", data=array("B", data[:20])))
    wait_for(lambda: "is damaged or cut short" in node.diagnosis.message, description="the refusal")


def test_operator_is_warned_of_no_camera_and_of_two(
    ros: RosSession,
    brightness: Callable[..., NodeProcess],
    make_camera: Any,
    make_spot: Any,
    wait_for: Callable[..., Any],
) -> None:
    process = brightness()
    node = LifecycleClient(ros, NODE)
    node.start()

    def wait_for_warning(text: str) -> None:
        wait_for(lambda: node.diagnosis and node.diagnosis.message.startswith(text), description=text)

    wait_for_warning("no frames on /image: nobody publishes there")
    assert node.diagnosis.level == DiagnosticLevel.WARN
    assert "takes images from /image" in process.log
    assert process.log.count("nobody publishes there") == 1

    north = make_camera(NODE, TrackArray)
    wait_for_warning("no frames on /image: its publisher is silent, or all are lost in transport")

    south = make_camera(NODE, TrackArray)
    wait_for_warning("2 cameras publish on /image: remap it to the topic of one")

    shots = [(north, (8, 8)), (south, (16, 16)), (north, (8, 8))]
    tracks = [
        camera.track(camera.make_message(make_spot(1, 1, size=size), "mono8", number * SECOND))
        for number, (camera, size) in enumerate(shots, start=1)
    ]
    assert [message.epoch for message in tracks] == [0, 1, 2]


def test_looping_recording_with_clock_begins_an_epoch(
    ros: RosSession, start_node: Callable[..., Running], wait_for: Callable[..., Any]
) -> None:
    clock = ros.node.create_publisher(Clock, "/clock", 10)
    running = start_node(use_sim_time=True, max_age=5.0)
    wait_for(clock.get_subscription_count, description="a subscription of the clock")

    def set_clock(second: int) -> None:
        clock.publish(Clock(clock=track_messages.to_time(second * SECOND)))
        wait_for(
            lambda: running.node.diagnosis_stamp_ns == second * SECOND,
            description="the clock in the diagnosis",
        )

    def find_epoch(second: int) -> int:
        return int(running.track(second * SECOND).epoch)

    set_clock(100)
    assert [find_epoch(98), find_epoch(99)] == [0, 0]
    running.camera.send(running.make_frame(90 * SECOND))
    wait_for(
        lambda: "max_age is 5 s" in running.node.diagnosis.values["last_refusal"], description="the refusal"
    )
    set_clock(97)
    assert [find_epoch(96), find_epoch(97)] == [1, 1]
