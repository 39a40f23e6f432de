"""Tests of the node hsi_tracker with its shipped model, as a process over DDS."""

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
from remote_sensing_tracking.srv import SetTarget
from sensor_msgs.msg import Image

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from tracking_runtime.messages.conversion import serialize_spectral_info
from tracking_runtime.models.manifest import find_model
from tracking_runtime.ros.clients import (
    HsiTrackerClient,
    LifecycleClient,
    RequestRefusedError,
    set_parameters,
)
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.processes import NodeProcess, make_local_environment
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

NODE = "/hsi_tracker"
SECOND = 10**9
MODEL, ANY_CAMERA = "hanet_edge_vis16", "hanet_edge_any"


class Setup:
    """Process of the tracker, and a camera that pans over an object with a distinct spectrum.

    Attributes:
        process: process of the node.
        session: node of the test.
        camera: publisher of the frames.
        node: client of the node's lifecycle.
        services: client of the node's services.
        number: number of the last frame.
    """

    def __init__(self, process: NodeProcess, session: RosSession, camera: Any) -> None:
        self.process = process
        self.session = session
        self.camera = camera
        self.node = LifecycleClient(session, NODE, timeout_s=240)
        self.services = HsiTrackerClient(session, NODE, timeout_s=240)
        self.number = 0
        noise = np.random.default_rng(0).integers(0, 1000, (128, 256, 16), dtype=np.uint16)
        bands = [cv2.GaussianBlur(noise[..., band], (9, 9), 0) for band in range(16)]
        self._ground = np.stack(bands, axis=-1)

    def get_true_box(self, number: int) -> NDArray[np.float64]:
        return np.array([60.0 + 2 * number, 50, 30, 20])

    def get_stamp_ns(self, number: int) -> int:
        return SECOND + number * SECOND // 10

    def make_cube(self, number: int) -> NDArray[np.uint16]:
        x, y, width, height = self.get_true_box(number).astype(int)
        cube = self._ground.copy()
        cube[y : y + height, x : x + width, :8] = 800
        return cube

    def make_frame(self, number: int) -> Image:
        return self.camera.make_message(self.make_cube(number), "16UC16", self.get_stamp_ns(number))

    def track_next(self) -> TargetTrackArray:
        """Send the next valid frame and return its tracks."""
        self.number += 1
        return self.camera.track(self.make_frame(self.number))

    def set_target(self, label: str = "") -> int:
        """Set the target in the last frame and return its id."""
        return self.services.set_target(self.get_true_box(self.number), label=label)

    def wait_for_value(self, key: str, value: str, timeout_s: float = 120) -> None:
        """Wait until the diagnostics of the node have a value."""
        wait_for(lambda: self.node.diagnosis.values.get(key) == value, timeout_s, f"{key}: {value}")


@pytest.fixture(scope="module")
def setup(ros_domain: int, tmp_path_factory: pytest.TempPathFactory, camera_class: Any) -> Iterator[Setup]:
    """Yield an unconfigured node."""
    folder = tmp_path_factory.mktemp("hsi_tracker")
    parameters = {
        "engine": "pytorch",
        "qos_overrides./image.subscription.reliability": "reliable",
        "qos_overrides./image.subscription.depth": 100,
    }
    environment = make_local_environment(ros_domain)
    process = NodeProcess("hsi_tracker_ros.node", "hsi_tracker", folder, parameters, environment=environment)
    with RosSession("test_hsi_tracker", ros_domain) as session, process:
        setup = Setup(process, session, camera_class(session, NODE, TargetTrackArray))
        setup.node.state()
        yield setup
    assert process.stop() == 0


@pytest.fixture(scope="module")
def active(setup: Setup) -> Setup:
    """Return the active node."""
    light = {"overload": "light", "light_model": MODEL}
    set_parameters(setup.session, NODE, model=MODEL, dark_field="", flat_field="", **light)
    setup.node.start()
    setup.camera.wait_for_node()
    return setup


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


def test_field_that_cannot_be_used_is_named(setup: Setup, tmp_path: Path) -> None:
    dark, flat = tmp_path / "dark.tif", tmp_path / "flat.png"

    with pytest.raises(RequestRefusedError, match="flat_field needs dark_field"):
        set_parameters(setup.session, NODE, flat_field=str(flat))

    set_parameters(setup.session, NODE, model=MODEL, dark_field=str(dark))
    with pytest.raises(RequestRefusedError, match=r"dark\.tif"):
        setup.node.configure()

    tifffile.imwrite(dark, np.zeros((128, 256, 16), np.uint16), photometric="minisblack")
    cv2.imwrite(str(flat), np.zeros((128, 256), np.uint16))
    set_parameters(setup.session, NODE, flat_field=str(flat))
    with pytest.raises(
        RequestRefusedError, match=r"dark field and flat field .* \(128, 256, 16\) and \(128, 256\)"
    ):
        setup.node.configure()


def test_target_before_any_frame_is_refused(active: Setup) -> None:
    with pytest.raises(RequestRefusedError, match="no frame on /image yet"):
        active.services.set_target([1, 1, 5, 5])


def test_target_set_in_earlier_frame_catches_up(active: Setup) -> None:
    assert len(active.track_next().tracks) == 0
    earlier = active.number
    for _ in range(4):
        active.track_next()

    target_id = active.services.set_target(
        active.get_true_box(earlier), stamp_ns=active.get_stamp_ns(earlier), label="tank"
    )

    (track,) = active.track_next().tracks
    assert (track.id, track.label, track.state) == (target_id, "tank", track.STATE_TRACKING)
    error = np.abs(track_messages.from_box(track.box) - active.get_true_box(active.number))
    assert error[:2].max() < 6


def test_frame_with_few_rows_less_keeps_the_target(active: Setup) -> None:
    before = active.track_next()
    active.number += 1
    cube = active.make_cube(active.number)[:-1, :-2].copy()

    after = active.camera.track(
        active.camera.make_message(cube, "16UC16", active.get_stamp_ns(active.number))
    )

    assert (after.epoch, after.image_width, after.image_height) == (before.epoch, 254, 127)
    assert [(track.id, track.state) for track in after.tracks] == [(t.id, t.state) for t in before.tracks]


def _change(message: Image, **changes: Any) -> Image:
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_invalid_frames_are_refused_and_keep_the_target(active: Setup) -> None:
    make_frame, make_message, stamp_ns = active.make_frame, active.camera.make_message, 60 * SECOND
    cube = active.make_cube(1)
    not_finite = np.full((128, 256, 16), np.nan, np.float32)
    invalid_frames: list[tuple[Callable[[], Image], str]] = [
        (lambda: _change(make_frame(0), data=b""), "0 bytes of data"),
        (lambda: _change(make_frame(0), height=0), "the image is empty"),
        (lambda: _change(make_frame(0), step=100), "step is 100 bytes"),
        (lambda: _change(make_frame(0), encoding="bayer"), "encoding 'bayer' is not known"),
        (lambda: make_message(cube[..., :15].copy(), "16UC15", stamp_ns), "must have 16 bands: got 15"),
        (lambda: make_message(not_finite, "32FC16", stamp_ns), "not finite"),
        (lambda: make_message(cube, "16UC16", 0), "stamp is zero"),
        (lambda: make_message(cube[:1, :1].copy(), "16UC16", stamp_ns), "at least 8 pixels: got 1 x 1"),
        (lambda: make_message(cube[..., 0].copy(), "mono16", stamp_ns), "mosaic"),
    ]
    before = active.track_next()

    for make, reason in invalid_frames:
        refusal = re.compile(f"frame on /image refused: .*{reason}")
        active.camera.send(make())
        wait_for(lambda refusal=refusal: refusal.search(active.process.log), description=reason)
        after = active.track_next()

        assert after.epoch == before.epoch
        assert [track.id for track in after.tracks] == [track.id for track in before.tracks]
        assert after.tracks[0].state == after.tracks[0].STATE_TRACKING
        wait_for(
            lambda reason=reason: reason in active.node.diagnosis.values["last_refusal"], description=reason
        )


def test_refused_requests_name_the_reason(active: Setup) -> None:
    for box, reason in [([0, 0, 0, 5], "positive size: got 0 x 5"), ([900, 900, 5, 5], "outside the image")]:
        with pytest.raises(RequestRefusedError, match=reason):
            active.services.set_target(box)
    with pytest.raises(RequestRefusedError, match=r"no frame with stamp 0\.000000 s is cached"):
        active.services.set_target([1, 1, 5, 5], stamp_ns=5)
    with pytest.raises(RequestRefusedError, match="no target 99"):
        active.services.clear_target(99)
    with pytest.raises(RequestRefusedError, match="no model named absent"):
        active.services.reload_model("absent")

    assert len(active.track_next().tracks) == 1


def test_images_are_published_for_subscribers(active: Setup) -> None:
    colors = active.session.listen(Image, f"{NODE}/false_color", qos.make_sensor_profile())
    responses = active.session.listen(Image, f"{NODE}/response", qos.make_sensor_profile())

    def has_images() -> bool:
        active.track_next()
        return bool(colors and responses)

    wait_for(has_images, description="false color and response")

    assert (colors[0].encoding, colors[0].width, colors[0].height) == ("bgr8", 256, 128)
    assert (responses[0].encoding, responses[0].width) == ("32FC1", 25)


def test_second_target_is_tracked_before_its_engine_is_built(active: Setup) -> None:
    second_id = active.set_target("twin")

    assert [track.label for track in active.track_next().tracks] == ["tank", "twin"]

    active.wait_for_value("batch", "2", 60)
    tracks = active.track_next().tracks
    assert [track.state for track in tracks] == [track.STATE_TRACKING for track in tracks]
    active.services.clear_target(second_id)


def test_targets_are_cleared_and_reset(active: Setup) -> None:
    active.services.clear_target()
    cleared = active.track_next()

    active.set_target()
    active.services.reset()
    after_reset = active.track_next()

    assert len(cleared.tracks) == 0
    assert (after_reset.epoch, len(after_reset.tracks)) == (cleared.epoch + 1, 0)


def test_label_and_number_of_targets_are_limited(active: Setup) -> None:
    active.track_next()
    with pytest.raises(RequestRefusedError, match="label must have at most 128 characters: got 10000000"):
        active.set_target(label="x" * 10_000_000)

    set_parameters(active.session, NODE, max_targets=1)
    target_id = active.set_target()
    with pytest.raises(RequestRefusedError, match="parameter max_targets is 1: clear a target first"):
        active.set_target()
    box = active.get_true_box(active.number)
    assert active.services.set_target(box, target_id=target_id) == target_id, "a target may be replaced"

    active.services.clear_target()
    set_parameters(active.session, NODE, max_targets=32)


def test_box_without_object_is_told(active: Setup) -> None:
    active.track_next()
    service = "/hsi_tracker/set_target"
    answers = [
        active.session.call(SetTarget, service, SetTarget.Request(box=track_messages.to_box(box)))
        for box in (active.get_true_box(active.number), np.array([200.0, 90, 30, 20]))
    ]
    active.services.clear_target()

    assert [answer.success for answer in answers] == [True, True]
    assert ["nothing distinct" in answer.message for answer in answers] == [False, True]


def test_camera_that_describes_itself_is_used(active: Setup) -> None:
    publisher = active.session.node.create_publisher(SpectralInfo, "/spectral_info", qos.make_info_profile())
    publisher.publish(serialize_spectral_info(find_camera_preset("vis16"), SECOND, "camera"))
    active.wait_for_value("camera", "spectral_info")
    active.number += 1
    mosaic = cv2.resize(active.make_cube(active.number)[..., 0], None, fx=4, fy=4)

    tracks = active.camera.track(
        active.camera.make_message(mosaic, "mono16", active.get_stamp_ns(active.number))
    )

    assert (tracks.image_width, tracks.image_height) == (256, 128), "the size of a band, not of the mosaic"
    active.session.run(lambda: active.session.node.destroy_publisher(publisher))


def test_bad_camera_description_is_forgotten_after_a_good_one(active: Setup) -> None:
    camera = find_camera_preset("vis16")
    good = SpectralInfo(wavelengths=camera.wavelengths_nm, mosaic_rows=4, mosaic_columns=4)
    publisher = active.session.node.create_publisher(SpectralInfo, "/spectral_info", qos.make_info_profile())

    publisher.publish(SpectralInfo())
    wait_for(lambda: "spectral_info is ignored" in active.node.diagnosis.message, 30, "the error")
    publisher.publish(good)
    wait_for(lambda: active.node.diagnosis.values["last_error"] == "", 60, "the end of the error")

    assert "Traceback" not in active.process.log
    active.session.run(lambda: active.session.node.destroy_publisher(publisher))


def test_settings_in_a_models_manifest_are_used(active: Setup, tmp_path: Path) -> None:
    manifest = find_model(MODEL)
    weights = manifest.with_suffix(".safetensors")
    (tmp_path / weights.name).write_bytes(weights.read_bytes())
    uncertain_model = tmp_path / manifest.name
    text = manifest.read_text()
    uncertain_model.write_text(text.replace("  tracking:\n", "  tracking:\n    certain_score: 2.0\n"))

    states = []
    for model in (str(uncertain_model), MODEL):
        active.services.reload_model(model)
        active.track_next()
        active.set_target()
        (track,) = active.track_next().tracks
        states.append(track.state)

    assert states == [TargetTrack.STATE_UNCERTAIN, TargetTrack.STATE_TRACKING]


def test_counters_account_for_every_frame(active: Setup) -> None:
    active.node.deactivate()

    values = active.node.diagnosis.values
    counters = ("processed", "dropped", "refused", "failed", "lost")
    assert sum(int(values[f"frames_{counter}"]) for counter in counters) == active.camera.num_published
    assert {"engine", "model", "stage.engine.p50_ms", "stage.total.p95_ms", "input_rate_hz"} <= set(values)
    active.node.cleanup()


def test_model_for_any_camera_waits_for_spectral_info(active: Setup) -> None:
    set_parameters(active.session, NODE, model=ANY_CAMERA, light_model=ANY_CAMERA)
    active.node.start()
    active.camera.wait_for_node()

    active.camera.send(active.make_frame(1))
    reason = f"{ANY_CAMERA} is made for any camera, and the camera is unknown: publish /spectral_info"
    wait_for(lambda: reason in active.node.diagnosis.values["last_refusal"], description="refusal")
    with pytest.raises(RequestRefusedError, match="no frame on /image yet"):
        active.services.set_target(active.get_true_box(1))

    publisher = active.session.node.create_publisher(SpectralInfo, "/spectral_info", qos.make_info_profile())
    publisher.publish(SpectralInfo(wavelengths=range(470, 630, 10)))
    active.wait_for_value("camera", "spectral_info")
    active.track_next()
    active.set_target()
    (track,) = active.track_next().tracks
    assert track.state == track.STATE_TRACKING

    active.session.run(lambda: active.session.node.destroy_publisher(publisher))
    active.node.deactivate()
    active.node.cleanup()
    set_parameters(active.session, NODE, model=MODEL, light_model=MODEL)


def test_dark_and_flat_field_correct_images_of_their_shape(active: Setup, tmp_path: Path) -> None:
    dark, flat = tmp_path / "dark.tif", tmp_path / "flat.tif"
    for path, value in [(dark, 10), (flat, 1000)]:
        tifffile.imwrite(path, np.full((128, 256, 16), value, np.uint16), photometric="minisblack")
    set_parameters(active.session, NODE, dark_field=str(dark), flat_field=str(flat))
    active.node.start()
    active.camera.wait_for_node()

    active.track_next()
    active.set_target()
    (track,) = active.track_next().tracks
    assert track.state == track.STATE_TRACKING

    active.camera.send(active.camera.make_message(active.make_cube(1)[:100].copy(), "16UC16", 60 * SECOND))
    reason = "the image has shape (100, 256, 16), its dark field (128, 256, 16): they must be equal"
    active.wait_for_value("last_refusal", reason, 5)

    corrected = SpectralInfo(wavelengths=range(470, 630, 10), calibration=SpectralInfo.CALIBRATION_DARK)
    publisher = active.session.node.create_publisher(SpectralInfo, "/spectral_info", qos.make_info_profile())
    publisher.publish(corrected)
    wait_for(
        lambda: "leave dark_field and flat_field empty" in active.node.diagnosis.message,
        description="refusal",
    )
