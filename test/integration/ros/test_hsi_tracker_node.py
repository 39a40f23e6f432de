"""The node hsi_tracker with its shipped model, as a process over DDS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

pytest.importorskip("rclpy", reason="needs ROS 2")

from numpy.typing import NDArray
from remote_sensing_tracking.msg import SpectralInfo, TargetTrack, TargetTrackArray
from sensor_msgs.msg import Image

from hsi_tracker_ros.cubes.camera_presets import preset
from tracking_runtime.messages.conversion import serialize_spectral_info
from tracking_runtime.models.manifest import find_model
from tracking_runtime.ros.clients import (
    HsiTrackerClient,
    LifecycleClient,
    RequestRefused,
    set_parameters,
)
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.processes import NodeProcess, local_environment
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

NODE = "/hsi_tracker"
SECOND = 10**9
MODEL, ANY_CAMERA = "hanet_edge_vis16", "hanet_edge_any"


class Flight:
    """A tracker's process, and a camera that pans over an object distinct by its spectrum."""

    def __init__(self, process: NodeProcess, session: RosSession, camera: Any) -> None:
        self.process, self.session, self.camera = process, session, camera
        self.node = LifecycleClient(session, NODE, timeout_s=240)
        self.services = HsiTrackerClient(session, NODE, timeout_s=240)
        noise = np.random.default_rng(0).integers(0, 1000, (128, 256, 16), dtype=np.uint16)
        self._ground = np.stack(
            [cv2.GaussianBlur(noise[..., band], (9, 9), 0) for band in range(16)], axis=-1
        )
        self.number = 0

    def box(self, number: int) -> NDArray[np.float64]:
        return np.array([60.0 + 2 * number, 50, 30, 20])

    def cube(self, number: int) -> NDArray[np.uint16]:
        x, y, width, height = self.box(number).astype(int)
        cube = self._ground.copy()
        cube[y : y + height, x : x + width, :8] = 800
        return cube

    def frame(self, number: int) -> Image:
        return self.camera.message(self.cube(number), "16UC16", SECOND + number * SECOND // 10)

    def next(self) -> TargetTrackArray:
        """The tracks of the next good frame."""
        self.number += 1
        return self.camera.answer(self.frame(self.number))


@pytest.fixture(scope="module")
def flight(ros_domain: int, tmp_path_factory: pytest.TempPathFactory, camera_class: Any) -> Iterator[Flight]:
    folder = tmp_path_factory.mktemp("hsi_tracker")
    parameters = {
        "engine": "pytorch",
        "qos_overrides./image.subscription.reliability": "reliable",
        "qos_overrides./image.subscription.depth": 100,
    }
    process = NodeProcess(
        "hsi_tracker_ros.node", "hsi_tracker", folder, parameters, environment=local_environment(ros_domain)
    )
    with RosSession("test_hsi_tracker", ros_domain) as session, process:
        flight = Flight(process, session, camera_class(session, NODE, TargetTrackArray))
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


def test_field_that_cannot_be_used_is_named(flight: Flight, tmp_path: Path) -> None:
    dark, flat = tmp_path / "dark.tif", tmp_path / "flat.png"
    with pytest.raises(RequestRefused, match="flat_field needs dark_field"):
        set_parameters(flight.session, NODE, flat_field=str(flat))
    set_parameters(flight.session, NODE, model=MODEL, dark_field=str(dark))
    with pytest.raises(RequestRefused, match=r"dark\.tif"):
        flight.node.configure()
    tifffile.imwrite(dark, np.zeros((128, 256, 16), np.uint16), photometric="minisblack")
    cv2.imwrite(str(flat), np.zeros((128, 256), np.uint16))
    set_parameters(flight.session, NODE, flat_field=str(flat))
    with pytest.raises(
        RequestRefused, match=r"the dark field is \(128, 256, 16\), the flat field \(128, 256\)"
    ):
        flight.node.configure()


@pytest.fixture(scope="module")
def active(flight: Flight) -> Flight:
    light = {"overload": "light", "light_model": MODEL}
    set_parameters(flight.session, NODE, model=MODEL, dark_field="", flat_field="", **light)
    flight.node.start()
    flight.camera.wait_for_node()
    return flight


def test_target_is_refused_before_any_frame(active: Flight) -> None:
    with pytest.raises(RequestRefused, match="no frame on /image yet"):
        active.services.set_target([1, 1, 5, 5])


def test_target_set_on_an_earlier_frame_catches_up(active: Flight) -> None:
    assert len(active.next().tracks) == 0
    drawn_on = active.number
    for _ in range(4):
        active.next()
    number = active.services.set_target(
        active.box(drawn_on), stamp_ns=SECOND + drawn_on * SECOND // 10, label="tank"
    )
    (track,) = active.next().tracks
    assert (track.id, track.label, track.state) == (number, "tank", track.STATE_TRACKING)
    assert np.abs(track_messages.from_box(track.box) - active.box(active.number))[:2].max() < 6


def test_a_few_rows_less_keep_the_target(active: Flight) -> None:
    before = active.next()
    active.number += 1
    stamp = SECOND + active.number * SECOND // 10
    after = active.camera.answer(
        active.camera.message(active.cube(active.number)[:-1, :-2].copy(), "16UC16", stamp)
    )
    assert (after.epoch, after.image_width, after.image_height) == (before.epoch, 254, 127)
    assert [(track.id, track.state) for track in after.tracks] == [(t.id, t.state) for t in before.tracks]


def _changed(message: Image, **changes: Any) -> Image:
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_bad_frames_are_refused_and_the_target_is_kept(active: Flight) -> None:
    good, camera, stamp = active.frame, active.camera, 60 * SECOND
    cube = active.cube(1)
    bad: list[tuple[Callable[[], Image], str]] = [
        (lambda: _changed(good(0), data=b""), "0 bytes of data"),
        (lambda: _changed(good(0), height=0), "the image is empty"),
        (lambda: _changed(good(0), step=100), "step is 100 bytes"),
        (lambda: _changed(good(0), encoding="bayer"), "encoding 'bayer' is not known"),
        (lambda: camera.message(cube[..., :15].copy(), "16UC15", stamp), "15 bands where 16 are expected"),
        (lambda: camera.message(np.full((128, 256, 16), np.nan, np.float32), "32FC16", stamp), "not finite"),
        (lambda: camera.message(cube, "16UC16", 0), "stamp is zero"),
        (lambda: camera.message(cube[..., 0].copy(), "mono16", stamp), "mosaic"),
    ]
    before = active.next()
    for make, reason in bad:
        refused = re.compile(f"frame on /image refused: .*{reason}")
        camera.send(make())
        wait_for(lambda refused=refused: refused.search(active.process.log), what=reason)
        after = active.next()
        assert after.epoch == before.epoch
        assert [track.id for track in after.tracks] == [track.id for track in before.tracks]
        assert after.tracks[0].state == after.tracks[0].STATE_TRACKING
        wait_for(lambda reason=reason: reason in active.node.diagnosis.values["last_refusal"], what=reason)


def test_services_say_why_not(active: Flight) -> None:
    for box, reason in [([0, 0, 0, 5], "holds nothing"), ([900, 900, 5, 5], "outside the image")]:
        with pytest.raises(RequestRefused, match=reason):
            active.services.set_target(box)
    with pytest.raises(RequestRefused, match=r"no frame with stamp 0\.000000 s is kept"):
        active.services.set_target([1, 1, 5, 5], stamp_ns=5)
    with pytest.raises(RequestRefused, match="no target 99"):
        active.services.clear_target(99)
    with pytest.raises(RequestRefused, match="no model named absent"):
        active.services.reload_model("absent")
    assert len(active.next().tracks) == 1


def test_pictures_are_made_for_who_looks(active: Flight) -> None:
    colours = active.session.listen(Image, f"{NODE}/false_color", qos.sensor())
    responses = active.session.listen(Image, f"{NODE}/response", qos.sensor())

    def pictured() -> bool:
        active.next()
        return bool(colours and responses)

    wait_for(pictured, what="false colour and response")
    assert (colours[0].encoding, colours[0].width, colours[0].height) == ("bgr8", 256, 128)
    assert (responses[0].encoding, responses[0].width) == ("32FC1", 25)


def test_several_targets_are_followed_while_the_search_for_all_at_once_is_made(active: Flight) -> None:
    second = active.services.set_target(active.box(active.number), label="twin")
    assert [track.label for track in active.next().tracks] == ["tank", "twin"]
    wait_for(lambda: active.node.diagnosis.values["batch"] == "2", 60, "the search for two")
    tracks = active.next().tracks
    assert [track.state for track in tracks] == [track.STATE_TRACKING for track in tracks]
    active.services.clear_target(second)


def test_targets_are_cleared_and_reset(active: Flight) -> None:
    active.services.clear_target()
    message = active.next()
    assert len(message.tracks) == 0
    active.services.set_target(active.box(active.number))
    active.services.reset()
    after = active.next()
    assert (after.epoch, len(after.tracks)) == (message.epoch + 1, 0)


def test_camera_that_describes_itself_is_heeded(active: Flight) -> None:
    publisher = active.session.node.create_publisher(SpectralInfo, "/spectral_info", qos.info())
    publisher.publish(serialize_spectral_info(preset("vis16"), SECOND, "camera"))
    wait_for(
        lambda: active.node.diagnosis.values.get("camera") == "spectral_info",
        120,
        "the camera in the diagnosis",
    )
    active.number += 1
    mosaic = cv2.resize(active.cube(active.number)[..., 0], None, fx=4, fy=4)
    tracks = active.camera.answer(
        active.camera.message(mosaic, "mono16", SECOND + active.number * SECOND // 10)
    )
    assert (tracks.image_width, tracks.image_height) == (256, 128), "a band's size, not the mosaic's"
    active.session.run(lambda: active.session.node.destroy_publisher(publisher))


def test_a_models_own_settings_are_heeded(active: Flight, tmp_path: Path) -> None:
    manifest = find_model(MODEL)
    weights = manifest.with_suffix(".safetensors")
    (tmp_path / weights.name).write_bytes(weights.read_bytes())
    doubtful = tmp_path / manifest.name
    doubtful.write_text(manifest.read_text().replace("tracking: {}", "tracking: {certain_score: 2.0}"))
    for model, state in [(str(doubtful), TargetTrack.STATE_UNCERTAIN), (MODEL, TargetTrack.STATE_TRACKING)]:
        active.services.reload_model(model)
        active.next()
        active.services.set_target(active.box(active.number))
        (track,) = active.next().tracks
        assert track.state == state


def test_every_frame_is_accounted_for(active: Flight) -> None:
    active.node.deactivate()
    values = active.node.diagnosis.values
    parts = ("processed", "dropped", "refused", "failed", "lost")
    assert sum(int(values[f"frames_{part}"]) for part in parts) == active.camera.published
    assert {"engine", "model", "stage.engine.p50_ms", "stage.total.p95_ms", "input_rate_hz"} <= set(values)
    active.node.cleanup()


def test_a_model_for_any_camera_waits_until_its_camera_has_described_itself(active: Flight) -> None:
    set_parameters(active.session, NODE, model=ANY_CAMERA, light_model=ANY_CAMERA)
    active.node.start()
    active.camera.wait_for_node()
    active.camera.send(active.frame(1))
    reason = f"{ANY_CAMERA} fits any camera, and nothing tells which it has: publish /spectral_info"
    wait_for(lambda: reason in active.node.diagnosis.values["last_refusal"], what="refusal")
    with pytest.raises(RequestRefused, match="no frame on /image yet"):
        active.services.set_target(active.box(1))
    publisher = active.session.node.create_publisher(SpectralInfo, "/spectral_info", qos.info())
    publisher.publish(SpectralInfo(wavelengths=range(470, 630, 10)))
    wait_for(
        lambda: active.node.diagnosis.values.get("camera") == "spectral_info", 120, "the camera's description"
    )
    active.next()
    active.services.set_target(active.box(active.number))
    (track,) = active.next().tracks
    assert track.state == track.STATE_TRACKING
    active.session.run(lambda: active.session.node.destroy_publisher(publisher))
    active.node.deactivate()
    active.node.cleanup()
    set_parameters(active.session, NODE, model=MODEL, light_model=MODEL)


def test_dark_and_flat_field_correct_what_is_of_their_shape(active: Flight, tmp_path: Path) -> None:
    dark, flat = tmp_path / "dark.tif", tmp_path / "flat.tif"
    for path, value in [(dark, 10), (flat, 1000)]:
        tifffile.imwrite(path, np.full((128, 256, 16), value, np.uint16), photometric="minisblack")
    set_parameters(active.session, NODE, dark_field=str(dark), flat_field=str(flat))
    active.node.start()
    active.camera.wait_for_node()
    active.next()
    active.services.set_target(active.box(active.number))
    (track,) = active.next().tracks
    assert track.state == track.STATE_TRACKING
    active.camera.send(active.camera.message(active.cube(1)[:100].copy(), "16UC16", 60 * SECOND))
    reason = "an image of shape (100, 256, 16), but its dark field is (128, 256, 16)"
    wait_for(lambda: active.node.diagnosis.values["last_refusal"] == reason, what=reason)
    described = SpectralInfo(wavelengths=range(470, 630, 10), calibration=SpectralInfo.CALIBRATION_DARK)
    active.session.node.create_publisher(SpectralInfo, "/spectral_info", qos.info()).publish(described)
    wait_for(lambda: "leave dark_field and flat_field empty" in active.node.diagnosis.message, what="refusal")
