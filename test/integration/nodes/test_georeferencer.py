"""The georeferencer as a process: tracks of an exact simulated camera become positions on the ground."""

from __future__ import annotations

import json
import math
from array import array
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from remote_sensing_tracking.msg import BoundingBox, GeoTrackArray, TargetTrack, TargetTrackArray, TrackArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from tracking_runtime.geography.local_plane import LocalPlane
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.conversions.track_messages import to_time
from tracking_runtime.ros.node import qos

NODE = "/georeferencer"
MODULE = "tracking_runtime.nodes.georeferencer"
SIZE = (1280, 960)
FOCAL_PX = 900.0
PITCH = math.radians(40)
HEIGHT_M = 150.0
GROUND_Z = 12.0
ORIGIN = LocalPlane(47.26, 11.39)
STEP_NS = 100_000_000
START_NS = 1_700_000_000 * 10**9

# Columns: axes x, y, z of the optical frame in the map frame. The camera looks north and down.
ROTATION = np.array(
    [[1, 0, 0], [0, -math.sin(PITCH), math.cos(PITCH)], [0, -math.cos(PITCH), -math.sin(PITCH)]]
)


def make_quaternion() -> Quaternion:
    """Return the turn about x of ROTATION."""
    half = math.atan2(ROTATION[2, 1], ROTATION[1, 1]) / 2
    return Quaternion(x=math.sin(half), w=math.cos(half))


def get_camera_position(time_s: float) -> np.ndarray:
    """Return the position of the camera, which flies east at 20 m/s."""
    return np.array([20 * time_s, 0, GROUND_Z + HEIGHT_M])


def project(points: np.ndarray, time_s: float) -> np.ndarray:
    """Return pixels, with centers at integers + 0.5, of points in the map frame."""
    in_camera = (points - get_camera_position(time_s)) @ ROTATION
    return in_camera[:, :2] / in_camera[:, 2:] * FOCAL_PX + [SIZE[0] / 2, SIZE[1] / 2]


def get_movers(time_s: float) -> np.ndarray:
    """Return the positions of two movers: 5 m/s east, and 10 m/s north."""
    return np.array([[10 + 5 * time_s, 180, GROUND_Z], [-20, 200 + 10 * time_s, GROUND_Z]])


def make_tracks(stamp_ns: int, pixels: np.ndarray) -> TrackArray:
    boxes = np.concatenate([pixels - [6, 4], np.full((len(pixels), 2), [12, 8])], axis=1)
    count = len(pixels)
    return TrackArray(
        header=Header(stamp=to_time(stamp_ns), frame_id="camera_optical"),
        image_width=SIZE[0],
        image_height=SIZE[1],
        class_names=["car"],
        ids=list(range(1, count + 1)),
        class_ids=[0] * count,
        scores=[0.5] * count,
        boxes=array("d", boxes.ravel().tolist()),
        velocities=[0.0] * (2 * count),
        states=[2] * count,
        ages=[1] * count,
    )


def make_camera_info() -> CameraInfo:
    center = [SIZE[0] / 2 - 0.5, SIZE[1] / 2 - 0.5]
    return CameraInfo(
        width=SIZE[0],
        height=SIZE[1],
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[FOCAL_PX, 0.0, center[0], 0.0, FOCAL_PX, center[1], 0.0, 0.0, 1.0],
    )


@pytest.fixture
def start(ros, node_process, wait_for):
    def begin(**parameters):
        process = node_process(MODULE, "georeferencer", parameters={"autostart": True, **parameters})
        client = LifecycleClient(ros, NODE)
        wait_for(lambda: client.diagnosis, 30, "a diagnosis")
        return process, client

    return begin


def write_reference(path: Path) -> Path:
    """Write control points of the camera at time 0 over the ground."""
    pixels = np.array([(x, y) for x in (100.0, 640.0, 1180.0) for y in (150.0, 500.0, 900.0)])
    rays = np.column_stack([(pixels - np.array(SIZE) / 2) / FOCAL_PX, np.ones(len(pixels))]) @ ROTATION.T
    ground = get_camera_position(0)[:2] + rays[:, :2] * (-HEIGHT_M / rays[:, 2:])
    points = [
        {"pixel": pixel, "latitude": latitude, "longitude": longitude}
        for pixel, (latitude, longitude) in zip(
            pixels.tolist(), ORIGIN.to_geographic(ground).tolist(), strict=True
        )
    ]
    path.write_text(yaml.safe_dump({"points": points}))
    return path


def test_camera_and_pose_locate_movers_from_the_air(ros, start, wait_for) -> None:
    _, client = start(
        pose_source="topic",
        plane_z=GROUND_Z,
        has_origin=True,
        origin_latitude=ORIGIN.latitude,
        origin_longitude=ORIGIN.longitude,
    )
    publish = ros.node.create_publisher
    tracks = publish(TrackArray, "/tracks", qos.make_track_profile())
    infos = publish(CameraInfo, "/camera_info", qos.make_sensor_profile())
    poses = publish(PoseStamped, "/camera_pose", 10)
    wait_for(lambda: client.diagnosis.values["state"] == "active", 30, "the active node")
    assert tracks.get_subscription_count() == infos.get_subscription_count() == 0  # nobody listens

    located = ros.listen(GeoTrackArray, "/georeferencer/tracks", qos.make_track_profile())
    for publisher in (tracks, infos, poses):
        wait_for(publisher.get_subscription_count, 30, "the georeferencer")

    def publish_pose(stamp_ns: int) -> None:
        x, y, z = get_camera_position((stamp_ns - START_NS) / 1e9)
        pose = Pose(position=Point(x=x, y=y, z=z), orientation=make_quaternion())
        poses.publish(PoseStamped(header=Header(stamp=to_time(stamp_ns), frame_id="map"), pose=pose))

    horizon = np.array([[640.0, 20.0]])  # 40 degrees up from the center of the image is above the horizon
    num_frames = 15
    for frame in range(num_frames):
        stamp_ns = START_NS + frame * STEP_NS
        time_s = frame * STEP_NS / 1e9
        infos.publish(make_camera_info())
        pixels = np.concatenate([project(get_movers(time_s), time_s), horizon - [0, 800]])
        tracks.publish(make_tracks(stamp_ns, pixels))
        # Poses come at other times than images, after them: the node interpolates.
        publish_pose(stamp_ns - STEP_NS // 3)
        publish_pose(stamp_ns + STEP_NS // 3)
        if not frame:
            wait_for(lambda: located, 10, "the first positions")

    wait_for(lambda: len(located) == num_frames, 10, "all frames")
    last = located[-1]
    time_s = (num_frames - 1) * STEP_NS / 1e9
    assert (last.header.frame_id, last.image_frame_id) == ("map", "camera_optical")
    assert list(last.ids) == [1, 2]
    assert last.labels == ["car", "car"]
    positions = np.array(last.positions).reshape(-1, 3)
    error_px = project(positions, time_s) - project(get_movers(time_s), time_s)
    assert np.abs(error_px).max() < 0.01
    np.testing.assert_allclose(last.speeds, [5, 10], rtol=1e-3)
    np.testing.assert_allclose([math.cos(math.radians(h)) for h in last.headings], [0, 1], atol=1e-3)
    expected = ORIGIN.to_geographic(get_movers(time_s)[:, :2])
    np.testing.assert_allclose(last.latitudes, expected[:, 0], atol=1e-8)
    np.testing.assert_allclose(last.longitudes, expected[:, 1], atol=1e-8)
    covariances = np.array(last.covariances).reshape(-1, 3)
    # From above by 40 degrees, an error along y is longer on the ground than one along x.
    assert (covariances[:, [0, 2]] > 0).all()
    assert (covariances[:, 2] > covariances[:, 0] * 0.5).all()
    wait_for(lambda: client.diagnosis.values["above_horizon"] == str(num_frames), 10, "the count")
    assert client.diagnosis.message == "locating"


def test_reference_file_locates_targets_and_flags_extrapolation(ros, start, wait_for, tmp_path: Path) -> None:
    start(tracker="hsi", geography=str(write_reference(tmp_path / "geography.yaml")), anchor="bottom")
    tracks = ros.node.create_publisher(TargetTrackArray, "/tracks", qos.make_track_profile())
    located = ros.listen(GeoTrackArray, "/georeferencer/tracks", qos.make_track_profile())
    wait_for(tracks.get_subscription_count, 30, "the georeferencer")
    (inside,) = project(get_movers(0)[:1], 0)
    outside = np.array([1270.0, 940.0])
    targets = [
        TargetTrack(
            id=number,
            box=BoundingBox(x=x - 10, y=y - 30, width=20.0, height=30.0),
            score=0.75,
            state=state,
            label=label,
        )
        for number, (x, y), state, label in (
            (3, inside, TargetTrack.STATE_TRACKING, "boat"),
            (4, outside, TargetTrack.STATE_UNCERTAIN, ""),
            (5, inside, TargetTrack.STATE_LOST, "gone"),
        )
    ]
    header = Header(stamp=to_time(START_NS), frame_id="camera")

    tracks.publish(TargetTrackArray(header=header, image_width=SIZE[0], image_height=SIZE[1], tracks=targets))

    (message,) = wait_for(lambda: located, 10, "positions")
    assert list(message.ids) == [3, 4]
    assert message.labels == ["boat", ""]
    assert list(message.extrapolated) == [False, True]
    expected = ORIGIN.to_geographic(get_movers(0)[:1, :2])[0]
    np.testing.assert_allclose([message.latitudes[0], message.longitudes[0]], expected, atol=1e-7)
    assert np.isnan(message.speeds).all()


def test_image_of_another_size_is_refused_until_it_fits(ros, start, wait_for) -> None:
    _, client = start(pose_source="fixed", fixed_pose=[0.0, 0.0, 100.0, 1.0, 0.0, 0.0, 0.0])
    tracks = ros.node.create_publisher(TrackArray, "/tracks", qos.make_track_profile())
    infos = ros.node.create_publisher(CameraInfo, "/camera_info", qos.make_sensor_profile())
    located = ros.listen(GeoTrackArray, "/georeferencer/tracks", qos.make_track_profile())
    wait_for(lambda: tracks.get_subscription_count() and infos.get_subscription_count(), 30, "the node")
    center = np.array([[SIZE[0] / 2, SIZE[1] / 2]])
    wrong = make_tracks(START_NS, center)
    wrong.image_width = 1000

    def is_refused() -> bool:
        infos.publish(make_camera_info())
        tracks.publish(wrong)
        return "camera_info must be of the tracked images" in client.diagnosis.message

    wait_for(is_refused, 20, "the refusal")
    broken = make_tracks(START_NS, center)
    broken.boxes = array("d", [1.0])
    tracks.publish(broken)
    wait_for(lambda: "TrackArray with 1 ids must have 4 boxes" in client.diagnosis.message, 20, "the refusal")

    tracks.publish(make_tracks(START_NS + STEP_NS, center))

    (message,) = wait_for(lambda: located, 10, "positions")
    np.testing.assert_allclose(message.positions, [0, 0, 0], atol=1e-9)
    assert math.isnan(message.latitudes[0])
    wait_for(lambda: client.diagnosis.message == "locating", 10, "the good diagnosis")


def test_useless_reference_keeps_the_node_unconfigured(start, wait_for, tmp_path: Path) -> None:
    path = tmp_path / "geography.yaml"
    path.write_text("points: []\n")

    _, client = start(geography=str(path))

    wait_for(lambda: "at least 4 control points" in client.diagnosis.message, 20, "the reason")
    assert client.diagnosis.values["state"] == "unconfigured"


@pytest.mark.skipif(find_spec("tf2_msgs") is not None, reason="tf2_msgs is installed")
def test_missing_tf2_msgs_is_reported_with_the_cure(start, wait_for) -> None:
    _, client = start()

    wait_for(lambda: "apt install ros-jazzy-tf2-msgs" in client.diagnosis.message, 20, "the cure")
    assert client.diagnosis.values["state"] == "unconfigured"


def test_tf_gives_the_pose_at_the_stamp(ros, start, wait_for) -> None:
    types = pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs has no wheel")
    from geometry_msgs.msg import Transform, TransformStamped, Vector3

    start(plane_z=GROUND_Z)
    tracks = ros.node.create_publisher(TrackArray, "/tracks", qos.make_track_profile())
    infos = ros.node.create_publisher(CameraInfo, "/camera_info", qos.make_sensor_profile())
    static = ros.node.create_publisher(types.TFMessage, "/tf_static", qos.make_info_profile())
    moving = ros.node.create_publisher(types.TFMessage, "/tf", 100)
    located = ros.listen(GeoTrackArray, "/georeferencer/tracks", qos.make_track_profile())
    for publisher in (tracks, infos, static, moving):
        wait_for(publisher.get_subscription_count, 30, "the georeferencer")

    def make_transform(parent: str, child: str, stamp_ns: int, position, rotation) -> TransformStamped:
        place = Transform(
            translation=Vector3(**dict(zip("xyz", map(float, position), strict=True))), rotation=rotation
        )
        header = Header(stamp=to_time(stamp_ns), frame_id=parent)
        return TransformStamped(header=header, child_frame_id=child, transform=place)

    mount = make_transform("base", "camera_optical", 0, (0, 0, HEIGHT_M), make_quaternion())
    static.publish(types.TFMessage(transforms=[mount]))
    for second in (0, 1):
        stamp_ns = START_NS + second * 10**9
        base = make_transform("map", "base", stamp_ns, (20 * second, 0, GROUND_Z), Quaternion(w=1.0))
        moving.publish(types.TFMessage(transforms=[base]))

    def is_located() -> bool:
        infos.publish(make_camera_info())
        tracks.publish(make_tracks(START_NS + 10**9 // 4, project(get_movers(0.25), 0.25)))
        return bool(located)

    wait_for(is_located, 10, "positions")
    np.testing.assert_allclose(np.array(located[0].positions).reshape(-1, 3), get_movers(0.25), atol=1e-3)


def test_geojson_is_published_for_foxglove(ros, start, wait_for, tmp_path: Path) -> None:
    types = pytest.importorskip("foxglove_msgs.msg", reason="foxglove_msgs has no wheel")
    start(geography=str(write_reference(tmp_path / "geography.yaml")))
    tracks = ros.node.create_publisher(TrackArray, "/tracks", qos.make_track_profile())
    maps = ros.listen(types.GeoJSON, "/georeferencer/geojson", qos.make_track_profile())
    wait_for(tracks.get_subscription_count, 30, "the georeferencer")

    tracks.publish(make_tracks(START_NS, project(get_movers(0), 0)))

    (message,) = wait_for(lambda: maps, 10, "a map")
    content = json.loads(message.geojson)
    coordinates = [feature["geometry"]["coordinates"] for feature in content["features"]]
    expected = ORIGIN.to_geographic(get_movers(0)[:, :2])[:, ::-1]
    np.testing.assert_allclose(coordinates, expected, atol=1e-7)
    assert content["features"][0]["properties"]["name"] == "car 1"
