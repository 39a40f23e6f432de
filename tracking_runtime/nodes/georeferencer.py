"""Node `georeferencer`: positions of tracks on the ground, by a reference or a calibrated camera."""

from __future__ import annotations

import importlib
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from remote_sensing_tracking.msg import GeoTrackArray, TargetTrackArray, TrackArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.geography.camera import CameraModel, intersect_ground, read_camera_info
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.frame_positions import FramePositions, add_motion, format_frame_geojson
from tracking_runtime.geography.ground_positions import ToGround, locate_boxes
from tracking_runtime.geography.live_motion import VelocityEstimator
from tracking_runtime.geography.local_plane import LocalPlane
from tracking_runtime.geography.reading import read_reference
from tracking_runtime.geography.reference import GeographicReference, check_image_size
from tracking_runtime.geography.tracks import get_anchors
from tracking_runtime.geography.transforms import Pose, PoseUnavailableError, TransformTree, make_pose
from tracking_runtime.messages.conversion import read_stamp_ns
from tracking_runtime.nodes.track_rows import TrackRows, read_target_rows, read_track_rows
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel, Value
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import Change, NodeParameters, parameter
from tracking_runtime.ros.node.run import run_node
from tracking_runtime.ros.optional_packages import format_install_command

_TRACKERS: dict[str, tuple[Any, Callable[[Any], TrackRows]]] = {
    "hsi": (TargetTrackArray, read_target_rows),
    "satellite": (TrackArray, read_track_rows),
}
_CHECK_PERIOD_S = 0.1  # period of the search for subscribers, and of the retry of waiting frames
_MAX_WAITING_FRAMES = 100
_POSE_FRAME = "camera_pose"  # name of the frame of the topic camera_pose in the tree of frames
_POSE_DEPTH = 100  # poses in the queue of a subscription


@dataclass(frozen=True)
class GeoreferencerParameters(NodeParameters):
    """Parameters of the node `georeferencer`."""

    tracker: str = parameter(
        "satellite", "tracker whose tracks are located; selects the message type", choices=tuple(_TRACKERS)
    )
    geography: str = parameter(
        "", "file of a geographic reference (YAML, GeoTIFF, world file); empty: camera_info and a pose"
    )
    pose_source: str = parameter(
        "tf",
        "source of the camera's pose; tf: /tf and /tf_static; topic: camera_pose; fixed: fixed_pose",
        choices=("tf", "topic", "fixed"),
    )
    fixed_pose: tuple[float, ...] = parameter(
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
        "[m] pose of the optical frame in map_frame: x, y, z, and quaternion x, y, z, w",
    )
    camera_frame: str = parameter("", "optical frame of the camera in /tf; empty: the frame_id of the tracks")
    map_frame: str = parameter("map", "frame of the positions: x east, y north, z up")
    plane_z: float = parameter(0.0, "[m] height of the ground in map_frame", change=Change.ALWAYS)
    has_origin: bool = parameter(False, "the origin of map_frame is at origin_latitude, origin_longitude")
    origin_latitude: float = parameter(
        0.0, "[deg] latitude of the origin of map_frame, WGS84", minimum=-90, maximum=90
    )
    origin_longitude: float = parameter(
        0.0, "[deg] longitude of the origin of map_frame, WGS84", minimum=-180, maximum=180
    )
    rectified: bool = parameter(
        False, "the tracked images are rectified: the projection p of camera_info, without distortion"
    )
    anchor: Literal["center", "bottom"] = parameter(
        "center",
        "point of a box that is on the ground; bottom: middle of the lower edge, for oblique views",
        choices=("center", "bottom"),
        change=Change.ALWAYS,
    )
    pixel_error: float = parameter(
        0.5, "[px] standard deviation of a box's position", minimum=0, change=Change.ALWAYS
    )
    size_error: float = parameter(
        0.1,
        "standard deviation of a box's position, as a fraction of its size",
        minimum=0,
        change=Change.ALWAYS,
    )
    speed_window: float = parameter(
        1.0, "[s] time over which a speed is measured; more smooths noise and turns", minimum=0.01
    )
    max_range: float = parameter(
        1e6, "[m] largest distance from the camera; tracks nearer to the horizon are left out", minimum=1
    )
    patience: float = parameter(
        0.5, "[s] longest wait for the pose at the time of an image", minimum=0, change=Change.ALWAYS
    )

    def check(self) -> None:
        """Raise ValueError if the values contradict each other."""
        if len(self.fixed_pose) != 7:
            raise ValueError(f"parameter fixed_pose must have 7 numbers: got {len(self.fixed_pose)}")
        if self.pose_source == "fixed":
            make_pose(self.fixed_pose[:3], self.fixed_pose[3:])


@dataclass(frozen=True)
class _WaitingFrame:
    """Tracks that wait for the pose of the camera."""

    message: Any
    deadline_s: float


class Georeferencer(ManagedNode[GeoreferencerParameters]):
    """Publisher of `~/tracks` and `~/geojson`. The node listens to tracks while one has subscribers."""

    def __init__(self) -> None:
        super().__init__("georeferencer", GeoreferencerParameters)
        self._reference: GeographicReference | None = None
        self._tracks: Publisher | None = None
        self._geojson: Publisher | None = None
        self._reset_state()

    def load(self) -> None:
        """Read the reference and create the publishers.

        Raises:
            GeographyError: the reference cannot be used, needs the numbers of frames, or tf2_msgs is missing.
        """
        self._reset_state()
        parameters = self.parameters
        self._reference = None
        self._fixed_pose = make_pose(parameters.fixed_pose[:3], parameters.fixed_pose[3:])
        self._plane = (
            LocalPlane(parameters.origin_latitude, parameters.origin_longitude)
            if parameters.has_origin
            else None
        )
        if parameters.geography:
            self._reference = read_reference(Path(parameters.geography).expanduser())
            if self._reference.num_frames is not None:
                raise GeographyError(
                    f"{parameters.geography}: homographies of single frames need numbered frames, which a "
                    "stream does not have; use rstrack georeference"
                )
            self.get_logger().info(f"{parameters.geography}: {self._reference.description}")
        elif parameters.pose_source == "tf":
            _load_tf_type()
        self._tracks = self.advertise(GeoTrackArray, "~/tracks", qos.make_track_profile())
        self._geojson = self._advertise_geojson()

    def start(self) -> None:
        """Begin to look for subscribers."""
        self._motion = VelocityEstimator(self.parameters.speed_window)
        self._epoch: int | None = None
        self._waiting.clear()
        self._inputs.clear()
        self.add_timer(_CHECK_PERIOD_S, self._check)

    def diagnose(self) -> Diagnosis:
        """Return the number of located, left out and refused frames and tracks."""
        values: dict[str, Value] = {
            "reference": self._reference.description if self._reference else "camera",
            "frames": self._num_frames,
            "refused": self._num_refused,
            "without_pose": self._num_without_pose,
            "tracks": self._num_tracks,
            "above_horizon": self._num_above_horizon,
            "extrapolated": self._num_extrapolated,
            "last_refusal": self._last_refusal,
        }
        if self._refusal:
            return Diagnosis(DiagnosticLevel.WARN, f"tracks are not located: {self._refusal}", values)
        message = "locating" if self._has_subscribers() else "no subscribers"
        return Diagnosis(DiagnosticLevel.OK, message, values)

    def _reset_state(self) -> None:
        self._tracks = None
        self._geojson = None
        self._transforms = TransformTree()
        self._camera: CameraModel | None = None
        self._waiting: deque[_WaitingFrame] = deque()
        self._inputs: list[Subscription] = []
        self._num_frames = 0
        self._num_refused = 0
        self._num_without_pose = 0
        self._num_tracks = 0
        self._num_above_horizon = 0
        self._num_extrapolated = 0
        self._refusal = ""
        self._last_refusal = ""

    # Inputs

    def _has_subscribers(self) -> bool:
        publishers = (self._tracks, self._geojson)
        return any(publisher is not None and publisher.get_subscription_count() for publisher in publishers)

    def _check(self) -> None:
        """Subscribe while an output has subscribers, else unsubscribe; process the waiting frames."""
        is_needed = self._has_subscribers()
        if is_needed and not self._inputs:
            self._inputs = self._subscribe_inputs()
        elif not is_needed and self._inputs:
            for subscription in self._inputs:
                self.destroy_subscription(subscription)
            self._inputs = []
            self._waiting.clear()
            self._motion.clear()
        self._process_waiting()

    def _subscribe_inputs(self) -> list[Subscription]:
        parameters = self.parameters
        track_type, self._read_rows = _TRACKERS[parameters.tracker]
        inputs = []
        if self._reference is None:
            inputs.append(
                self.subscribe(CameraInfo, "camera_info", self._handle_camera_info, qos.make_sensor_profile())
            )
            if parameters.pose_source == "topic":
                profile = _make_pose_profile()
                inputs.append(self.subscribe(PoseStamped, "camera_pose", self._handle_pose, profile))
            elif parameters.pose_source == "tf":
                inputs += self._subscribe_tf()
        inputs.append(self.subscribe(track_type, "tracks", self._handle_tracks, qos.make_track_profile()))
        return inputs

    def _subscribe_tf(self) -> list[Subscription]:
        tf_type = _load_tf_type()
        return [
            self.subscribe(
                tf_type,
                topic,
                lambda message, s=static: self._handle_tf(message, s),
                _make_tf_profile(static=static),
            )
            for topic, static in (("/tf", False), ("/tf_static", True))
        ]

    def _handle_camera_info(self, message: CameraInfo) -> None:
        try:
            self._camera = read_camera_info(message, is_rectified=self.parameters.rectified)
        except GeographyError as error:
            self._camera = None
            self._record_refusal(str(error))

    def _handle_pose(self, message: PoseStamped) -> None:
        position, rotation = message.pose.position, message.pose.orientation
        self._add_transform(message.header, _POSE_FRAME, position, rotation)
        self._process_waiting()

    def _handle_tf(self, message: Any, is_static: bool) -> None:
        for each in message.transforms:
            place = each.transform
            self._add_transform(
                each.header, each.child_frame_id, place.translation, place.rotation, is_static=is_static
            )
        self._process_waiting()

    def _add_transform(
        self, header: Header, child: str, position: Any, rotation: Any, *, is_static: bool = False
    ) -> None:
        try:
            pose = make_pose(
                [position.x, position.y, position.z], [rotation.x, rotation.y, rotation.z, rotation.w]
            )
            stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec
            self._transforms.add(header.frame_id, child, stamp_ns, pose, is_static=is_static)
        except ValueError as error:
            self._record_refusal(f"pose of {child}: {error}")

    def _handle_tracks(self, message: Any) -> None:
        if self._epoch not in (None, message.epoch):
            self._motion.clear()
        self._epoch = message.epoch
        if len(self._waiting) == _MAX_WAITING_FRAMES:
            self._waiting.popleft()
            self._num_without_pose += 1
        self._waiting.append(_WaitingFrame(message, time.monotonic() + self.parameters.patience))
        self._process_waiting()

    # Outputs

    def _process_waiting(self) -> None:
        """Locate the waiting frames in order, up to the first whose pose may still arrive."""
        while self._waiting:
            frame = self._waiting.popleft()
            try:
                self._process(frame.message)
            except PoseUnavailableError as error:
                if error.is_early and time.monotonic() < frame.deadline_s:
                    self._waiting.appendleft(frame)
                    return
                self._num_without_pose += 1
                self._record_refusal(str(error))
            except (FrameRefusedError, GeographyError) as error:
                self._record_refusal(str(error))

    def _process(self, message: Any) -> None:
        """Locate the tracks of a frame and publish their positions.

        Raises:
            PoseUnavailableError: the pose of the camera is unknown.
            FrameRefusedError: the message is malformed.
            GeographyError: the camera or the reference does not fit the image.
        """
        rows = self._read_rows(message)
        size = int(message.image_width), int(message.image_height)
        if self._reference is not None:
            to_ground = self._make_reference_map(self._reference, size)
        else:
            to_ground = self._make_camera_map(message, size)
        parameters = self.parameters
        located = locate_boxes(
            rows.boxes,
            to_ground,
            anchor=parameters.anchor,
            pixel_error_px=parameters.pixel_error,
            size_error=parameters.size_error,
        )
        is_located = located.is_located
        is_extrapolated = self._find_extrapolated(rows)[is_located]
        rows = rows.select(is_located)
        positions = add_motion(
            located.select(is_located),
            rows.ids,
            read_stamp_ns(message),
            self._motion,
            plane=self._plane,
            plane_z=parameters.plane_z,
        )
        self._num_frames += 1
        self._num_tracks += len(rows.ids)
        self._num_above_horizon += int((~is_located).sum())
        self._num_extrapolated += int(is_extrapolated.sum())
        self._refusal = ""
        self._publish(message, rows, positions, is_extrapolated)

    def _make_camera_map(self, message: Any, size: tuple[int, int]) -> ToGround:
        """Return the map from pixels to the ground by the calibrated camera and its pose.

        Raises:
            PoseUnavailableError: the pose of the camera is unknown, or camera_info has not arrived.
        """
        if self._camera is None:
            topic = self.resolve_topic_name("camera_info")
            raise PoseUnavailableError(f"no usable CameraInfo on {topic}", is_early=True)
        camera, parameters, pose = self._camera, self.parameters, self._look_up_pose(message)

        def to_ground(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
            rays = camera.compute_rays(pixels, size)
            return intersect_ground(
                rays, pose.rotation, pose.position, parameters.plane_z, parameters.max_range
            )

        return to_ground

    def _look_up_pose(self, message: Any) -> Pose:
        parameters = self.parameters
        if parameters.pose_source == "fixed":
            return self._fixed_pose
        camera_frame = parameters.camera_frame or message.header.frame_id
        source = _POSE_FRAME if parameters.pose_source == "topic" else camera_frame
        return self._transforms.look_up(parameters.map_frame, source, read_stamp_ns(message))

    def _make_reference_map(self, reference: GeographicReference, size: tuple[int, int]) -> ToGround:
        """Return the map from pixels to a local plane. Its origin is set, or the first image's center.

        Raises:
            GeographyError: the image has another size, or its center is not on the ground.
        """
        check_image_size(reference, size)
        if self._plane is None:
            ((latitude, longitude),) = reference.locate([[size[0] / 2, size[1] / 2]]).tolist()
            if not np.isfinite([latitude, longitude]).all():
                raise GeographyError(
                    "the center of the image must be on the ground: got a point above the horizon; set "
                    "has_origin, origin_latitude and origin_longitude"
                )
            self._plane = LocalPlane(latitude, longitude)
        plane = self._plane
        return lambda pixels: plane.from_geographic(reference.locate(pixels))

    def _find_extrapolated(self, rows: TrackRows) -> NDArray[np.bool_]:
        if self._reference is None:
            return np.zeros(len(rows.ids), bool)
        return self._reference.find_extrapolated(get_anchors(rows.boxes, self.parameters.anchor))

    def _publish(
        self, message: Any, rows: TrackRows, positions: FramePositions, is_extrapolated: NDArray[np.bool_]
    ) -> None:
        if self._tracks is not None and self._tracks.get_subscription_count():
            self._tracks.publish(
                GeoTrackArray(
                    header=Header(stamp=message.header.stamp, frame_id=self.parameters.map_frame),
                    image_frame_id=message.header.frame_id,
                    epoch=message.epoch,
                    ids=array("I", rows.ids.tolist()),
                    labels=rows.labels,
                    states=array("B", rows.states.tolist()),
                    scores=array("f", rows.scores.tolist()),
                    positions=array("d", positions.points.ravel().tolist()),
                    latitudes=array("d", positions.coordinates[:, 0].tolist()),
                    longitudes=array("d", positions.coordinates[:, 1].tolist()),
                    speeds=array("f", positions.speeds_m_s.tolist()),
                    headings=array("f", positions.headings_deg.tolist()),
                    covariances=array("d", positions.covariances.ravel().tolist()),
                    extrapolated=is_extrapolated.tolist(),
                )
            )
        if self._geojson is not None and self._geojson.get_subscription_count():
            text = format_frame_geojson(positions, rows.ids.tolist(), rows.labels)
            self._geojson.publish(self._geojson_type(geojson=text))

    def _advertise_geojson(self) -> Publisher | None:
        """Advertise `~/geojson` if foxglove_msgs is installed."""
        with suppress(ImportError):
            self._geojson_type = importlib.import_module("foxglove_msgs.msg").GeoJSON
            return self.advertise(self._geojson_type, "~/geojson", qos.make_track_profile())
        return None

    def _record_refusal(self, reason: str) -> None:
        self._num_refused += 1
        self._refusal = reason
        self._last_refusal = reason
        self.get_logger().warning(f"tracks are not located: {reason}", throttle_duration_sec=5.0)


def _load_tf_type() -> Any:
    """Return the message type of /tf.

    Raises:
        GeographyError: tf2_msgs is not installed.
    """
    try:
        return importlib.import_module("tf2_msgs.msg").TFMessage
    except ImportError as error:
        raise GeographyError(
            "pose_source tf needs tf2_msgs, which is not installed: "
            f"{format_install_command('tf2_msgs')}; or set pose_source to topic or fixed"
        ) from error


def _make_pose_profile() -> QoSProfile:
    """Return the profile of camera_pose, which matches reliable and best-effort publishers."""
    return QoSProfile(
        depth=_POSE_DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def _make_tf_profile(*, static: bool) -> QoSProfile:
    """Return the profile of /tf, or of /tf_static, whose late subscribers receive all transforms."""
    return QoSProfile(
        depth=_POSE_DEPTH,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if static else DurabilityPolicy.VOLATILE,
    )


def main() -> int:
    """Run the node until it is shut down."""
    return run_node(Georeferencer)


if __name__ == "__main__":
    sys.exit(main())
