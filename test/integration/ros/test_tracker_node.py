from __future__ import annotations

import os
import re
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

from tracking_runtime.nodes.playback_clock import SteadyPace
from tracking_runtime.ros.clients import LifecycleClient, RequestRefused, TrackerClient
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.node.diagnostics import Level
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession

SECOND = 10**9


@pytest.fixture
def running(ros: RosSession, brightness: Callable[..., NodeProcess], make_camera: Any) -> tuple[Any, ...]:
    """Process, lifecycle client and camera of an active brightness node."""
    process = brightness()
    node = LifecycleClient(ros, "/brightness")
    camera = make_camera("/brightness", TrackArray)
    node.start()
    camera.wait_for_node()
    return process, node, camera


def test_result_carries_what_its_frame_says(running: tuple[Any, ...], spot: Any) -> None:
    _, _, camera = running
    message = camera.message(spot(5, 7), "mono8", 123 * SECOND + 45, frame_id="nadir")
    tracks = camera.answer(message)
    assert tracks.header == message.header
    assert (tracks.image_width, tracks.image_height, tracks.epoch) == (32, 24, 0)
    np.testing.assert_array_equal(tracks.boxes, [5, 7, 3, 3])
    assert 0 < tracks.latency.nanosec < SECOND


def _bad(good: Image, **changes: Any) -> Image:
    for name, value in changes.items():
        setattr(good, name, value)
    return good


def test_bad_frames_are_refused_and_the_next_good_one_is_tracked(
    running: tuple[Any, ...], spot: Any, wait_for: Callable[..., Any]
) -> None:
    process, node, camera = running
    camera.answer(camera.message(spot(1, 1), "mono8", SECOND))

    def good(number: int) -> Image:
        return camera.message(spot(2, 2), "mono8", SECOND + number)

    nan = np.full((4, 4), np.nan, np.float32)
    bad = [
        (_bad(good(1), data=b""), "0 bytes of data"),
        (_bad(good(1), width=0), "the image is empty"),
        (_bad(good(1), step=31), "step is 31 bytes"),
        (_bad(good(1), encoding="yuv"), "encoding 'yuv' is not known"),
        (camera.message(nan, "32FC1", SECOND + 1), "not finite"),
        (camera.message(spot(2, 2), "mono8", 0), "stamp is zero"),
        (good(16), "stamp of the one before"),
    ]
    for number, (message, reason) in enumerate(bad, start=1):
        camera.send(message)
        refused = re.compile(f"frame on /image refused: .*{reason}")
        wait_for(lambda refused=refused: refused.search(process.log), what=reason)
        tracks = camera.answer(good(10 + number))
        assert (list(tracks.ids), tracks.epoch) == ([number + 1], 0), "the tracker went on where it was"
    node.deactivate()
    values = node.diagnosis.values
    assert "stamp of the one before" in values["last_refusal"]
    assert (values["frames_refused"], values["frames_processed"]) == ("7", "8")


def test_error_in_the_tracker_costs_its_frame_only(
    running: tuple[Any, ...], spot: Any, wait_for: Callable[..., Any]
) -> None:
    process, node, camera = running
    camera.answer(camera.message(spot(1, 1), "mono8", SECOND))
    camera.send(camera.message(spot(1, 1, value=13), "mono8", 2 * SECOND))
    wait_for(lambda: "RuntimeError: poisoned" in process.log)
    tracks = camera.answer(camera.message(spot(1, 1), "mono8", 3 * SECOND))
    assert (tracks.epoch, list(tracks.ids)) == (1, [1])
    node.deactivate()
    assert node.diagnosis.values["frames_failed"] == "1"
    assert node.diagnosis.message == "cannot track: poisoned"


def test_new_stream_begins_an_epoch(running: tuple[Any, ...], spot: Any) -> None:
    _, _, camera = running
    frames = [
        camera.message(spot(1, 1), "mono8", 10 * SECOND),
        camera.message(spot(1, 1), "mono8", 9 * SECOND),
        camera.message(spot(1, 1, size=(10, 10)), "mono8", 11 * SECOND),
        camera.message(spot(1, 1, size=(10, 10)).astype(np.uint16), "mono16", 12 * SECOND),
        camera.message(spot(1, 1, size=(10, 10)).astype(np.uint16), "mono16", 13 * SECOND, frame_id="other"),
        camera.message(spot(1, 1, size=(10, 10)).astype(np.uint16), "mono16", 14 * SECOND, frame_id="other"),
    ]
    answers = [camera.answer(frame) for frame in frames]
    assert [answer.epoch for answer in answers] == [0, 1, 2, 3, 4, 4]
    assert [list(answer.ids) for answer in answers] == [[1], [1], [1], [1], [1], [2]]


def test_a_few_rows_more_or_less_do_not_begin_an_epoch(running: tuple[Any, ...], spot: Any) -> None:
    _, _, camera = running
    sizes = [(20, 30), (22, 28), (18, 31), (20, 30), (17, 30), (20, 30)]
    frames = [
        camera.answer(camera.message(spot(1, 1, size=size), "mono8", number * SECOND))
        for number, size in enumerate(sizes, start=1)
    ]
    assert [frame.epoch for frame in frames] == [0, 0, 0, 0, 1, 2]
    assert [(frame.image_height, frame.image_width) for frame in frames] == sizes


def test_every_published_frame_is_accounted_for(
    running: tuple[Any, ...], spot: Any, wait_for: Callable[..., Any]
) -> None:
    _, node, camera = running
    camera.answer(camera.message(spot(3, 3, size=(256, 256)), "mono8", SECOND))  # both sides know each other
    for number in range(1, 300):
        camera.send(camera.message(spot(3, 3, size=(256, 256)), "mono8", SECOND + number))
    last = camera.message(spot(3, 3, size=(256, 256)), "mono8", 2 * SECOND)
    camera.answer(last)
    node.deactivate()
    counts = {key: int(value) for key, value in node.diagnosis.values.items() if key.startswith("frames_")}
    parts = ("processed", "dropped", "refused", "failed", "lost")
    assert sum(counts[f"frames_{part}"] for part in parts) == camera.published
    wait_for(lambda: len(camera.tracks) == counts["frames_processed"])


def test_reset_begins_an_epoch_and_reload_is_all_or_nothing(
    ros: RosSession, running: tuple[Any, ...], spot: Any
) -> None:
    _, _, camera = running
    client = TrackerClient(ros, "/brightness")
    camera.answer(camera.message(spot(1, 1), "mono8", SECOND))
    client.reset()
    assert camera.answer(camera.message(spot(1, 1), "mono8", 2 * SECOND)).epoch == 1
    with pytest.raises(RequestRefused, match="no model /absent"):
        client.reload_model("/absent")
    assert camera.answer(camera.message(spot(1, 1), "mono8", 3 * SECOND)).epoch == 1
    client.reload_model()
    tracks = camera.answer(camera.message(spot(1, 1), "mono8", 4 * SECOND))
    assert (tracks.epoch, list(tracks.ids)) == (2, [1])


@contextmanager
def _slow_model(tmp_path: Path) -> Iterator[Path]:
    """A model that is read until the end of the block."""
    path = tmp_path / "slow"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        yield path
    finally:
        os.close(writer)


def test_frames_and_requests_are_heeded_while_a_model_loads(
    ros: RosSession, running: tuple[Any, ...], spot: Any, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    _, node, camera = running
    client = ros.node.create_client(ReloadModel, "/brightness/reload_model")
    client.wait_for_service(10)
    with _slow_model(tmp_path) as model:
        reply = client.call_async(ReloadModel.Request(model=str(model)))
        for number in range(1, 4):
            tracks = camera.answer(camera.message(spot(1, 1), "mono8", number * SECOND))
        assert (tracks.epoch, list(tracks.ids)) == (0, [3])
        assert node.state() == "active"
        assert not reply.done()
    wait_for(reply.done, what="the answer")
    assert reply.result().success
    assert camera.answer(camera.message(spot(1, 1), "mono8", 9 * SECOND)).epoch == 1


def test_cleaning_up_while_a_model_loads_leaves_a_sound_node(
    ros: RosSession, running: tuple[Any, ...], tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    process, node, _ = running
    client = ros.node.create_client(ReloadModel, "/brightness/reload_model")
    client.wait_for_service(10)
    node.deactivate()
    with _slow_model(tmp_path) as model:
        client.call_async(ReloadModel.Request(model=str(model)))
        wait_for(lambda: model in process.open_files, what="the loading")
        cleaning = ros.node.create_client(ChangeState, "/brightness/change_state")
        cleaning.wait_for_service(10)
        done = cleaning.call_async(
            ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CLEANUP))
        )
        wait_for(lambda: "unloading" in process.log)
    wait_for(done.done, what="the end of the cleaning")
    assert done.result().success
    wait_for(lambda: "a request stays without answer" in process.log)
    node.start()
    assert node.diagnosis.values["model"] == ""
    assert node.diagnosis.values["last_error"] == ""


def test_stale_frames_are_refused(
    ros: RosSession,
    brightness: Callable[..., NodeProcess],
    make_camera: Any,
    spot: Any,
    wait_for: Callable[..., Any],
) -> None:
    process = brightness(max_age=5.0)
    node = LifecycleClient(ros, "/brightness")
    camera = make_camera("/brightness", TrackArray)
    node.start()
    camera.wait_for_node()
    now = time.time_ns()
    camera.send(camera.message(spot(1, 1), "mono8", now - 60 * SECOND))
    wait_for(lambda: "max_age is 5 s" in process.log)
    camera.answer(camera.message(spot(1, 1), "mono8", now))


class Load:
    """A camera at a steady rate, faster than a node can follow, or slower."""

    def __init__(self, node: LifecycleClient, camera: Any, spot: Any) -> None:
        self._node, self._camera, self._spot = node, camera, spot

    def run(self, rate_hz: float, *, until: Callable[[dict[str, str], str], bool]) -> None:
        """Send frames until the node's diagnosis says what is awaited."""
        pace, deadline = SteadyPace(rate_hz), time.monotonic() + 60
        while not self._met(until):
            assert time.monotonic() < deadline, self._node.diagnosis
            pace.wait_turn()
            self._camera.send(self._camera.message(self._spot(1, 1), "mono8", time.time_ns()))

    def _met(self, until: Callable[[dict[str, str], str], bool]) -> bool:
        diagnosis = self._node.diagnosis
        return bool(diagnosis) and until(diagnosis.values, diagnosis.message)


@pytest.fixture
def loaded(
    ros: RosSession, brightness: Callable[..., NodeProcess], make_camera: Any, spot: Any, tmp_path: Path
) -> Callable[..., tuple[Load, Any]]:
    """Start a node that takes 24 ms for a frame, with some policy."""

    def start(**parameters: Any) -> tuple[Load, Any]:
        (tmp_path / "light").touch()
        brightness(
            work=0.024, **{"qos_overrides./image.subscription.depth": 1, "max_age": 30.0, **parameters}
        )
        node, camera = LifecycleClient(ros, "/brightness"), make_camera("/brightness", TrackArray)
        node.start()
        camera.wait_for_node()
        return Load(node, camera, spot), camera

    return start


def test_overload_is_told_and_frames_are_skipped(loaded: Any) -> None:
    load, _ = loaded()
    load.run(100, until=lambda _, message: "of the frames are skipped" in message)
    load.run(100, until=lambda values, _: float(values["load"]) > 1 and values["eased"] == "0")
    load.run(10, until=lambda values, message: message == "tracking" and float(values["load"]) < 0.8)


def test_overload_shrinks_the_search_until_there_is_room(loaded: Any) -> None:
    load, camera = loaded(overload="shrink")
    load.run(100, until=lambda _, message: "the search is shrunk, level 2" in message)
    load.run(20, until=lambda values, message: values["eased"] == "0" and message == "tracking")
    assert {tracks.epoch for tracks in camera.tracks} == {0}


def test_overload_falls_back_to_a_lighter_model_until_there_is_room(loaded: Any, tmp_path: Path) -> None:
    load, camera = loaded(overload="light", light_model=str(tmp_path / "light"))
    load.run(
        100, until=lambda values, message: "light_model" in message and values["model"].endswith("/light")
    )
    load.run(20, until=lambda values, message: values["eased"] == "0" and message == "tracking")
    numbers = [tracks.ids[0] for tracks in camera.tracks]
    assert numbers == list(range(1, len(numbers) + 1)), "each model went on where the other was"


@pytest.mark.parametrize(("model", "status"), [("", 0), ("/absent", 1)])
def test_node_that_is_only_to_be_built_ends_configured(
    brightness: Callable[..., NodeProcess], model: str, status: int
) -> None:
    process = brightness(build_only=True, autostart=True, model=model)
    assert process.wait(60) == status
    assert ("no model /absent" in process.log) == bool(status)


def test_light_model_has_to_be_named(ros: RosSession, brightness: Callable[..., NodeProcess]) -> None:
    brightness(overload="light")
    with pytest.raises(RequestRefused, match="light_model has to say which model that is"):
        LifecycleClient(ros, "/brightness").configure()


def test_incompatible_quality_of_service_is_reported(
    ros: RosSession, brightness: Callable[..., NodeProcess], wait_for: Callable[..., Any]
) -> None:
    from rclpy.qos import qos_profile_sensor_data

    process = brightness()
    node = LifecycleClient(ros, "/brightness")
    node.start()
    ros.node.create_publisher(Image, "/image", qos_profile_sensor_data)
    wait_for(lambda: "incompatible QoS on /image: the publisher differs in RELIABILITY" in process.log)
    wait_for(lambda: node.diagnosis and "incompatible QoS on /image" in node.diagnosis.message)


def test_compressed_images_are_tracked(
    ros: RosSession,
    brightness: Callable[..., NodeProcess],
    make_camera: Any,
    spot: Any,
    wait_for: Callable[..., Any],
) -> None:
    brightness(image_transport="compressed")
    node = LifecycleClient(ros, "/brightness")
    tracks = ros.listen(TrackArray, "/brightness/tracks")
    camera = ros.node.create_publisher(CompressedImage, "/image/compressed", 10)
    node.start()
    wait_for(camera.get_subscription_count, what="a subscription of compressed images")
    header = make_camera("/brightness", TrackArray).message(spot(1, 1), "mono8", SECOND).header
    data = cv2.imencode(".png", spot(5, 7))[1].tobytes()
    camera.publish(CompressedImage(header=header, format="mono8; png compressed", data=array("B", data)))
    wait_for(lambda: tracks, what="tracks")
    assert (tracks[0].header, list(tracks[0].boxes)) == (header, [5, 7, 3, 3])
    header.stamp.sec += 1
    camera.publish(CompressedImage(header=header, format="jpeg", data=array("B", data[:20])))
    wait_for(lambda: "'jpeg' are no image" in node.diagnosis.message, what="the refusal")


def test_operator_is_told_of_no_camera_and_of_two(
    ros: RosSession, brightness: Callable[..., NodeProcess], make_camera: Any, spot: Any, wait_for: Any
) -> None:
    process = brightness()
    node = LifecycleClient(ros, "/brightness")
    node.start()

    def told(what: str) -> None:
        wait_for(lambda: node.diagnosis and node.diagnosis.message.startswith(what), what=what)

    told("no frames on /image: nobody publishes there")
    assert node.diagnosis.level == Level.WARN
    assert "takes images from /image" in process.log
    assert process.log.count("nobody publishes there") == 1
    north = make_camera("/brightness", TrackArray)
    told("no frames on /image: its publisher is silent, or all are lost in transport")
    south = make_camera("/brightness", TrackArray)
    told("2 cameras publish on /image: remap it to the topic of one")
    frames = [
        camera.answer(camera.message(spot(1, 1, size=size), "mono8", number * SECOND))
        for number, (camera, size) in enumerate(
            [(north, (8, 8)), (south, (16, 16)), (north, (8, 8))], start=1
        )
    ]
    assert [frame.epoch for frame in frames] == [0, 1, 2]


def test_looping_recording_with_its_own_clock(
    ros: RosSession, brightness: Callable[..., NodeProcess], make_camera: Any, spot: Any, wait_for: Any
) -> None:
    brightness(use_sim_time=True, max_age=5.0)
    node = LifecycleClient(ros, "/brightness")
    camera = make_camera("/brightness", TrackArray)
    clock = ros.node.create_publisher(Clock, "/clock", 10)
    node.start()
    camera.wait_for_node()
    wait_for(clock.get_subscription_count, what="who follows the clock")

    def tick(second: int) -> None:
        clock.publish(Clock(clock=track_messages.to_time(second * SECOND)))
        wait_for(lambda: node.diagnosis_stamp_ns == second * SECOND, what="the clock in the diagnosis")

    def epoch(second: int) -> int:
        return int(camera.answer(camera.message(spot(1, 1), "mono8", second * SECOND)).epoch)

    tick(100)
    assert [epoch(98), epoch(99)] == [0, 0]
    camera.send(camera.message(spot(1, 1), "mono8", 90 * SECOND))
    wait_for(lambda: "max_age is 5 s" in node.diagnosis.values["last_refusal"], what="the refusal")
    tick(97)
    assert [epoch(96), epoch(97)] == [1, 1]
