"""The node spax_tracker with its shipped model, as a process over DDS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from numpy.typing import NDArray
from remote_sensing_tracking.msg import DetectionArray, TrackArray
from sensor_msgs.msg import Image

from spax_ros.simulation import SatelliteScene
from tracking_runtime.cdr import read_truth
from tracking_runtime.geometry import centres
from tracking_runtime.ros import qos
from tracking_runtime.ros.clients import LifecycleClient, TrackerClient
from tracking_runtime.ros.processes import NodeProcess, local_environment
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

NODE = "/spax_tracker"
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
        flight.node.start()
        flight.camera.wait_for_node()
        yield flight
    assert process.stop() == 0


def test_what_moves_is_tracked(flight: Flight) -> None:
    masks = flight.session.listen(Image, f"{NODE}/motion_mask", qos.sensor())
    detections = flight.session.listen(DetectionArray, f"{NODE}/detections", qos.track())
    for _ in range(30):
        message = flight.next()
    tracks = read_truth(message)
    truth = flight.scene.frame(flight.number).truth
    assert truth is not None
    distances = np.linalg.norm(centres(truth.boxes)[:, None] - centres(tracks.boxes)[None], axis=2)
    assert (distances.min(axis=1) < 5).sum() >= 2
    assert (message.image_width, message.image_height, message.epoch) == (256, 256, 0)
    wait_for(lambda: masks and detections, what="motion mask and detections")
    assert (masks[-1].encoding, masks[-1].width) == ("mono8", 256)


def test_bad_frames_are_refused_and_tracking_goes_on(flight: Flight) -> None:
    def changed(**changes: Any) -> Image:
        message = flight.frame(0)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def shot(image: NDArray[Any], encoding: str, stamp_ns: int = 60 * SECOND) -> Image:
        return flight.camera.message(image, encoding, stamp_ns)

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
        (lambda: shot(flight.image(0), "mono8", 0), "stamp is zero"),
    ]
    before = set(flight.next().ids)
    for make, reason in bad:
        refused = re.compile(f"frame on /image refused: .*{reason}")
        flight.camera.send(make())
        wait_for(lambda refused=refused: refused.search(flight.process.log), what=reason)
        after = flight.next()
        assert after.epoch == 0
        assert before & set(after.ids)
        wait_for(lambda reason=reason: reason in flight.node.diagnosis.values["last_refusal"], what=reason)


def test_reset_gives_ids_anew(flight: Flight) -> None:
    TrackerClient(flight.session, NODE).reset()
    assert flight.next().epoch == 1


def test_image_of_another_size_begins_an_epoch(flight: Flight) -> None:
    small = flight.camera.message(flight.image(0)[:128, :128].copy(), "mono8", 90 * SECOND)
    message = flight.camera.answer(small)
    assert (message.epoch, message.image_width, len(message.ids)) == (2, 128, 0)


def test_every_frame_is_accounted_for(flight: Flight) -> None:
    flight.node.deactivate()
    values = flight.node.diagnosis.values
    parts = ("processed", "dropped", "refused", "failed", "lost")
    assert sum(int(values[f"frames_{part}"]) for part in parts) == flight.camera.published
    assert {"engine", "active_share", "stage.mask.p50_ms", "stage.engine.p50_ms"} <= set(values)
    flight.node.cleanup()
