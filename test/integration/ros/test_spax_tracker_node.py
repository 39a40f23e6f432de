"""The node spax_tracker with its shipped model, as a process over DDS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from numpy.typing import NDArray
from remote_sensing_tracking.msg import DetectionArray, TrackArray
from sensor_msgs.msg import Image

from spax_ros.simulation import SatelliteScene
from tracking_runtime.boxes import centres
from tracking_runtime.messages.conversion import read_truth
from tracking_runtime.ros.clients import LifecycleClient, RequestRefused, TrackerClient, set_parameters
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.processes import NodeProcess, local_environment
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

NODE = "/spax_tracker"
MODEL = "spax_small"
SECOND = 10**9


class Flight:
    """A tracker's process, and a camera above simulated traffic."""

    def __init__(self, process: NodeProcess, session: RosSession, camera: Any) -> None:
        self.process, self.session, self.camera = process, session, camera
        self.node = LifecycleClient(session, NODE, timeout_s=240)
        self.scene = SatelliteScene(1_000_009, frames=60, size=(256, 256), color=False)
        self.number = 0

    def image(self, number: int) -> NDArray[np.uint8]:
        return self.scene.frame(number).image

    def frame(self, number: int) -> Image:
        return self.camera.message(self.image(number), "mono8", SECOND + number * SECOND // 10)

    def next(self) -> TrackArray:
        """The tracks of the next good frame."""
        self.number += 1
        return self.camera.answer(self.frame(self.number))


@pytest.fixture(scope="module")
def flight(ros_domain: int, tmp_path_factory: pytest.TempPathFactory, camera_class: Any) -> Iterator[Flight]:
    folder = tmp_path_factory.mktemp("spax_tracker")
    parameters = {
        "qos_overrides./image.subscription.reliability": "reliable",
        "qos_overrides./image.subscription.depth": 100,
    }
    process = NodeProcess(
        "spax_ros.node", "spax_tracker", folder, parameters, environment=local_environment(ros_domain)
    )
    with RosSession("test_spax_tracker", ros_domain) as session, process:
        flight = Flight(process, session, camera_class(session, NODE, TrackArray))
        flight.node.state()
        yield flight
    assert process.stop() == 0


def test_model_that_cannot_be_loaded_is_named(
    flight: Flight, damaged_model: Callable[[str], Path], tmp_path: Path
) -> None:
    set_parameters(flight.session, NODE, model=str(tmp_path / "absent.yaml"))
    with pytest.raises(RequestRefused, match=r"no model manifest at .*absent\.yaml"):
        flight.node.configure()
    set_parameters(flight.session, NODE, model=str(damaged_model(MODEL)))
    with pytest.raises(RequestRefused, match=rf"{MODEL}\.safetensors does not belong to its manifest"):
        flight.node.configure()
    assert flight.node.state() == "unconfigured"


@pytest.fixture(scope="module")
def active(flight: Flight) -> Flight:
    set_parameters(flight.session, NODE, model=MODEL)
    flight.node.start()
    flight.camera.wait_for_node()
    return flight


def test_model_that_cannot_be_reloaded_leaves_the_old_one(
    active: Flight, damaged_model: Callable[[str], Path]
) -> None:
    services = TrackerClient(active.session, NODE, timeout_s=240)
    with pytest.raises(RequestRefused, match="no model named absent"):
        services.reload_model("absent")
    with pytest.raises(RequestRefused, match="does not belong to its manifest"):
        services.reload_model(str(damaged_model(MODEL)))
    with pytest.raises(RequestRefused, match="hanet"):
        services.reload_model("hanet_edge_vis16")
    assert active.next().epoch == 0


def test_what_moves_is_tracked(active: Flight) -> None:
    masks = active.session.listen(Image, f"{NODE}/motion_mask", qos.sensor())
    detections = active.session.listen(DetectionArray, f"{NODE}/detections", qos.track())
    for _ in range(30):
        message = active.next()
    tracks = read_truth(message)
    truth = active.scene.frame(active.number).truth
    assert truth is not None
    distances = np.linalg.norm(centres(truth.boxes)[:, None] - centres(tracks.boxes)[None], axis=2)
    assert (distances.min(axis=1) < 5).sum() >= 2
    assert (message.image_width, message.image_height, message.epoch) == (256, 256, 0)
    wait_for(lambda: masks and detections, what="motion mask and detections")
    assert (masks[-1].encoding, masks[-1].width) == ("mono8", 256)


def test_tracks_are_there_for_programs_that_know_vision_msgs(active: Flight) -> None:
    types = pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    received = active.session.listen(types.Detection2DArray, f"{NODE}/detections_2d", qos.track())

    def answered() -> TrackArray | None:
        message = active.next()
        return message if message.ids and received and received[-1].header == message.header else None

    message = wait_for(answered, 30, "the same frame, with tracks, in both")
    boxes = [
        [d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x, d.bbox.size_y]
        for d in received[-1].detections
    ]
    truth = read_truth(message)
    assert [d.id for d in received[-1].detections] == [str(number) for number in truth.ids]
    np.testing.assert_allclose(np.array(boxes)[:, :2], centres(truth.boxes))
    np.testing.assert_allclose(np.array(boxes)[:, 2:], truth.boxes[:, 2:])
    assert {d.results[0].hypothesis.class_id for d in received[-1].detections} <= set(message.class_names)


def test_bad_frames_are_refused_and_tracking_goes_on(active: Flight) -> None:
    def changed(**changes: Any) -> Image:
        message = active.frame(0)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def shot(image: NDArray[Any], encoding: str, stamp_ns: int = 60 * SECOND) -> Image:
        return active.camera.message(image, encoding, stamp_ns)

    bad: list[tuple[Callable[[], Image], str]] = [
        (lambda: changed(data=b""), "0 bytes of data"),
        (lambda: changed(width=0), "the image is empty"),
        (lambda: changed(step=7), "step is 7 bytes"),
        (lambda: changed(encoding="jpeg"), "encoding 'jpeg' is not known"),
        (lambda: shot(np.full((256, 256), np.nan, np.float32), "32FC1"), "not finite"),
        (lambda: shot(np.zeros((256, 256), np.float32), "32FC1"), "one or three channels of 8 or 16 bits"),
        (
            lambda: shot(np.zeros((256, 256, 16), np.uint16), "16UC16"),
            "one or three channels of 8 or 16 bits",
        ),
        (lambda: shot(active.image(0), "mono8", 0), "stamp is zero"),
    ]
    before = set(active.next().ids)
    for make, reason in bad:
        refused = re.compile(f"frame on /image refused: .*{reason}")
        active.camera.send(make())
        wait_for(lambda refused=refused: refused.search(active.process.log), what=reason)
        after = active.next()
        assert after.epoch == 0
        assert before & set(after.ids)
        wait_for(lambda reason=reason: reason in active.node.diagnosis.values["last_refusal"], what=reason)


def test_a_row_less_does_not_begin_an_epoch(active: Flight) -> None:
    before = active.next()
    active.number += 1
    stamp = SECOND + active.number * SECOND // 10
    after = active.camera.answer(active.camera.message(active.image(active.number)[:-1], "mono8", stamp))
    assert (after.epoch, after.image_height) == (before.epoch, 255)
    assert set(before.ids) & set(after.ids)


def test_reset_gives_ids_anew(active: Flight) -> None:
    TrackerClient(active.session, NODE).reset()
    assert active.next().epoch == 1


def test_image_of_another_size_begins_an_epoch(active: Flight) -> None:
    small = active.camera.message(active.image(0)[:128, :128].copy(), "mono8", 90 * SECOND)
    message = active.camera.answer(small)
    assert (message.epoch, message.image_width, len(message.ids)) == (2, 128, 0)


def test_every_frame_is_accounted_for(active: Flight) -> None:
    active.node.deactivate()
    values = active.node.diagnosis.values
    parts = ("processed", "dropped", "refused", "failed", "lost")
    assert sum(int(values[f"frames_{part}"]) for part in parts) == active.camera.published
    assert {"engine", "active_share", "stage.mask.p50_ms", "stage.engine.p50_ms"} <= set(values)
    active.node.cleanup()
