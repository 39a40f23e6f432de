"""Node spax_tracker with its shipped model, as a process over DDS."""

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
from tracking_runtime.boxes import compute_centers
from tracking_runtime.messages.conversion import read_truth
from tracking_runtime.ros.clients import LifecycleClient, RequestRefusedError, TrackerClient, set_parameters
from tracking_runtime.ros.conversions.track_messages import to_nanoseconds
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.processes import NodeProcess, make_local_environment
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

NODE = "/spax_tracker"
MODEL = "spax_small"
SECOND = 10**9


class Setup:
    """Process of the tracker, and a camera above simulated traffic.

    Attributes:
        process: process of the node.
        session: node of the test.
        camera: publisher of the frames.
        node: client of the node's lifecycle.
        scene: simulated scene.
        number: number of the last frame.
    """

    def __init__(self, process: NodeProcess, session: RosSession, camera: Any) -> None:
        self.process = process
        self.session = session
        self.camera = camera
        self.node = LifecycleClient(session, NODE, timeout_s=240)
        self.scene = SatelliteScene(1_000_009, frames=60, size=(256, 256), color=False)
        self.number = 0

    def render_image(self, number: int) -> NDArray[np.uint8]:
        return self.scene.make_frame(number).image

    def make_frame(self, number: int) -> Image:
        return self.camera.make_message(self.render_image(number), "mono8", SECOND + number * SECOND // 10)

    def track_next(self) -> TrackArray:
        """Send the next valid frame and return its tracks."""
        self.number += 1
        return self.camera.track(self.make_frame(self.number))


@pytest.fixture(scope="module")
def setup(ros_domain: int, tmp_path_factory: pytest.TempPathFactory, camera_class: Any) -> Iterator[Setup]:
    """Yield an unconfigured node."""
    folder = tmp_path_factory.mktemp("spax_tracker")
    parameters = {
        "qos_overrides./image.subscription.reliability": "reliable",
        "qos_overrides./image.subscription.depth": 100,
    }
    process = NodeProcess(
        "spax_ros.node", "spax_tracker", folder, parameters, environment=make_local_environment(ros_domain)
    )
    with RosSession("test_spax_tracker", ros_domain) as session, process:
        setup = Setup(process, session, camera_class(session, NODE, TrackArray))
        setup.node.state()
        yield setup
    assert process.stop() == 0


def test_model_that_cannot_be_loaded_is_named(
    setup: Setup, damaged_model: Callable[[str], Path], tmp_path: Path
) -> None:
    set_parameters(setup.session, NODE, model=str(tmp_path / "absent.yaml"))
    with pytest.raises(RequestRefusedError, match=r"no model manifest at .*absent\.yaml"):
        setup.node.configure()
    set_parameters(setup.session, NODE, model=str(damaged_model(MODEL)))
    with pytest.raises(RequestRefusedError, match=rf"{MODEL}\.safetensors does not belong to its manifest"):
        setup.node.configure()
    assert setup.node.state() == "unconfigured"


@pytest.fixture(scope="module")
def active(setup: Setup) -> Setup:
    """Return the active node."""
    set_parameters(setup.session, NODE, model=MODEL)
    setup.node.start()
    setup.camera.wait_for_node()
    return setup


def test_failed_reload_keeps_the_old_model(active: Setup, damaged_model: Callable[[str], Path]) -> None:
    services = TrackerClient(active.session, NODE, timeout_s=240)

    with pytest.raises(RequestRefusedError, match="no model named absent"):
        services.reload_model("absent")
    with pytest.raises(RequestRefusedError, match="does not belong to its manifest"):
        services.reload_model(str(damaged_model(MODEL)))
    with pytest.raises(RequestRefusedError, match="hanet"):
        services.reload_model("hanet_edge_vis16")

    assert active.track_next().epoch == 0


def test_moving_objects_are_tracked_and_published(active: Setup) -> None:
    masks = active.session.listen(Image, f"{NODE}/motion_mask", qos.make_sensor_profile())
    detections = active.session.listen(DetectionArray, f"{NODE}/detections", qos.make_track_profile())

    for _ in range(30):
        message = active.track_next()

    tracks = read_truth(message)
    truth = active.scene.make_frame(active.number).truth
    assert truth is not None
    distances = np.linalg.norm(
        compute_centers(truth.boxes)[:, None] - compute_centers(tracks.boxes)[None], axis=2
    )
    assert (distances.min(axis=1) < 5).sum() >= 2
    assert (message.image_width, message.image_height, message.epoch) == (256, 256, 0)
    set_parameters(active.session, NODE, ground_sample_distance=0.5)
    is_confirmed = np.asarray(message.states) == TrackArray.STATE_CONFIRMED
    velocities = np.reshape(message.velocities, (-1, 2))[is_confirmed]
    median_m_s = 0.5 * float(np.median(np.linalg.norm(velocities, axis=1)))

    def has_median_speed() -> bool:
        values = active.node.diagnosis.values if active.node.diagnosis else {}
        return float(values.get("median_speed_m_s", "nan")) == pytest.approx(median_m_s, abs=0.01)

    wait_for(has_median_speed, description="the median speed in m/s")
    wait_for(lambda: masks and detections, description="motion mask and detections")
    assert (masks[-1].encoding, masks[-1].width) == ("mono8", 256)


def test_tracks_are_published_as_vision_msgs(active: Setup) -> None:
    types = pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    received = active.session.listen(
        types.Detection2DArray, f"{NODE}/detections_2d", qos.make_track_profile()
    )

    def track_until_received() -> TrackArray | None:
        message = active.track_next()
        return message if message.ids and received and received[-1].header == message.header else None

    message = wait_for(track_until_received, 30, "the same frame, with tracks, on both topics")

    detections = received[-1].detections
    boxes = np.array(
        [
            [d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x, d.bbox.size_y]
            for d in detections
        ]
    )
    tracks = read_truth(message)
    assert [d.id for d in detections] == [str(track_id) for track_id in tracks.ids]
    np.testing.assert_allclose(boxes[:, :2], compute_centers(tracks.boxes))
    np.testing.assert_allclose(boxes[:, 2:], tracks.boxes[:, 2:])
    assert {d.results[0].hypothesis.class_id for d in detections} <= set(message.class_names)


def test_frames_that_wait_for_the_tracker_are_tracked_in_order(active: Setup) -> None:
    received = active.session.listen(TrackArray, f"{NODE}/tracks", qos.make_track_profile())
    active.track_next()

    for _ in range(2):
        for _ in range(3):
            active.number += 1
            active.camera.send(active.make_frame(active.number))
        newest = active.make_frame(active.number).header
        wait_for(lambda newest=newest: received and received[-1].header == newest, description="the tracks")

    stamps = [to_nanoseconds(message.header.stamp) for message in received]
    assert stamps == sorted(set(stamps))
    assert {message.epoch for message in received} == {0}
    assert active.node.diagnosis.values["frames_failed"] == "0"


def test_invalid_frames_are_refused_and_keep_the_tracks(active: Setup) -> None:
    def change_frame(**changes: Any) -> Image:
        message = active.make_frame(0)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def make_message(image: NDArray[Any], encoding: str, stamp_ns: int = 60 * SECOND) -> Image:
        return active.camera.make_message(image, encoding, stamp_ns)

    invalid_frames: list[tuple[Callable[[], Image], str]] = [
        (lambda: change_frame(data=b""), "0 bytes of data"),
        (lambda: change_frame(width=0), "the image is empty"),
        (lambda: change_frame(step=7), "step is 7 bytes"),
        (lambda: change_frame(encoding="jpeg"), "encoding 'jpeg' is not known"),
        (lambda: make_message(np.full((256, 256), np.nan, np.float32), "32FC1"), "not finite"),
        (
            lambda: make_message(np.zeros((256, 256, 2), np.float32), "32FC2"),
            "1, 3, 4 or at least 5 channels",
        ),
        (
            lambda: make_message(np.zeros((256, 256, 2), np.uint16), "16UC2"),
            "1, 3, 4 or at least 5 channels",
        ),
        (lambda: make_message(active.render_image(0), "mono8", 0), "stamp is zero"),
        (lambda: make_message(np.zeros((1, 1), np.uint8), "mono8"), "at least 32 pixels: got 1 x 1"),
    ]
    before = set(active.track_next().ids)

    for make_invalid, reason in invalid_frames:
        refused = re.compile(f"frame on /image refused: .*{reason}")
        active.camera.send(make_invalid())
        wait_for(lambda refused=refused: refused.search(active.process.log), description=reason)
        after = active.track_next()
        assert after.epoch == 0
        assert before & set(after.ids)
        wait_for(
            lambda reason=reason: reason in active.node.diagnosis.values["last_refusal"], description=reason
        )


def test_frame_with_one_row_less_continues_the_epoch(active: Setup) -> None:
    before = active.track_next()

    active.number += 1
    image = active.render_image(active.number)[:-1]
    stamp_ns = SECOND + active.number * SECOND // 10
    after = active.camera.track(active.camera.make_message(image, "mono8", stamp_ns))

    assert (after.epoch, after.image_height) == (before.epoch, 255)
    assert set(before.ids) & set(after.ids)


def test_reset_begins_an_epoch(active: Setup) -> None:
    TrackerClient(active.session, NODE).reset()

    assert active.track_next().epoch == 1


def test_image_of_other_size_begins_an_epoch(active: Setup) -> None:
    image = active.render_image(0)[:128, :128].copy()

    message = active.camera.track(active.camera.make_message(image, "mono8", 90 * SECOND))

    assert (message.epoch, message.image_width, len(message.ids)) == (2, 128, 0)


def test_counters_account_for_every_frame(active: Setup) -> None:
    active.node.deactivate()

    values = active.node.diagnosis.values
    outcomes = ("processed", "dropped", "refused", "failed", "lost")
    assert sum(int(values[f"frames_{outcome}"]) for outcome in outcomes) == active.camera.num_published
    assert {"engine", "active_share", "stage.mask.p50_ms", "stage.engine.p50_ms"} <= set(values)
    active.node.cleanup()
