"""Results of the trackers to messages of this package.

`messages.conversion` converts the messages of cameras. Arrays are passed as `array.array`, the one type that
rclpy takes without a check of every element.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Duration, Time
from numpy.typing import ArrayLike, NDArray
from remote_sensing_tracking import msg
from std_msgs.msg import Header

from tracking_runtime.boxes import Boxes, as_boxes


class TargetLike(Protocol):
    """Target in one frame, for example `hsi_tracker_ros.tracker.TargetState`."""

    @property
    def id(self) -> int: ...
    @property
    def box(self) -> NDArray[np.float64]: ...
    @property
    def score(self) -> float: ...
    @property
    def state(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def frames_since_seen(self) -> int: ...
    @property
    def template_stamp_ns(self) -> int: ...


class DetectionsLike(Protocol):
    """Detections of one frame, for example `spax_ros.decoding.Detections`."""

    @property
    def boxes(self) -> Boxes: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...
    @property
    def class_ids(self) -> NDArray[np.uint8]: ...


class TracksLike(DetectionsLike, Protocol):
    """Tracks after one frame, for example `spax_ros.association.tracks.Tracks`."""

    @property
    def ids(self) -> NDArray[np.int64]: ...
    @property
    def velocities(self) -> NDArray[np.float64]: ...
    @property
    def states(self) -> NDArray[np.uint8]: ...
    @property
    def ages(self) -> NDArray[np.int32]: ...


@dataclass(frozen=True)
class FrameMetadata:
    """Metadata of a frame that every result carries.

    Attributes:
        header: header of the source image.
        width: width of the source image in pixels, per band.
        height: height of the source image in pixels, per band.
        epoch: number of resets.
        latency_ns: time since the arrival of the frame in nanoseconds.
    """

    header: Header
    width: int
    height: int
    epoch: int = 0
    latency_ns: int = 0


def to_nanoseconds(message: Time | Duration) -> int:
    """Convert the message of a time or a duration to nanoseconds."""
    return int(message.sec) * 10**9 + int(message.nanosec)


def to_time(nanoseconds: int) -> Time:
    """Convert a time in nanoseconds to a message."""
    seconds, remainder = divmod(nanoseconds, 10**9)
    return Time(sec=seconds, nanosec=remainder)


def to_duration(nanoseconds: int) -> Duration:
    """Convert a duration in nanoseconds to a message."""
    seconds, remainder = divmod(nanoseconds, 10**9)
    return Duration(sec=seconds, nanosec=remainder)


def to_box(box: ArrayLike) -> msg.BoundingBox:
    """Convert a box x, y, width, height to a message."""
    x, y, width, height = map(float, as_boxes(box)[0])
    return msg.BoundingBox(x=x, y=y, width=width, height=height)


def from_box(box: msg.BoundingBox) -> NDArray[np.float64]:
    """Convert the message of a box to an array, (4,): x, y, width, height."""
    return np.array([box.x, box.y, box.width, box.height])


def to_target_tracks(metadata: FrameMetadata, targets: Iterable[TargetLike]) -> msg.TargetTrackArray:
    """Convert the targets of one frame to a message, in ascending order of their ids."""
    return msg.TargetTrackArray(
        header=metadata.header,
        image_width=metadata.width,
        image_height=metadata.height,
        epoch=metadata.epoch,
        latency=to_duration(metadata.latency_ns),
        tracks=[
            msg.TargetTrack(
                id=target.id,
                box=to_box(target.box),
                score=float(target.score),
                state=int(target.state),
                label=target.label,
                frames_since_seen=target.frames_since_seen,
                template_stamp=to_time(target.template_stamp_ns),
            )
            for target in sorted(targets, key=lambda target: target.id)
        ],
    )


def to_tracks(metadata: FrameMetadata, class_names: Sequence[str], tracks: TracksLike) -> msg.TrackArray:
    """Convert the tracks of one frame to a message."""
    return msg.TrackArray(
        header=metadata.header,
        image_width=metadata.width,
        image_height=metadata.height,
        epoch=metadata.epoch,
        latency=to_duration(metadata.latency_ns),
        class_names=list(class_names),
        ids=_to_array("I", tracks.ids),
        class_ids=_to_array("B", tracks.class_ids),
        scores=_to_array("f", tracks.scores),
        boxes=_to_array("d", tracks.boxes),
        velocities=_to_array("f", tracks.velocities),
        states=_to_array("B", tracks.states),
        ages=_to_array("I", tracks.ages),
    )


def to_detections(
    metadata: FrameMetadata, class_names: Sequence[str], detections: DetectionsLike
) -> msg.DetectionArray:
    """Convert the detections of one frame to a message of parallel arrays.

    Args:
        metadata: header and size of the image.
        class_names: name of each class id.
        detections: detections with boxes x, y, width, height in pixels.
    """
    return msg.DetectionArray(
        header=metadata.header,
        image_width=metadata.width,
        image_height=metadata.height,
        class_names=list(class_names),
        class_ids=_to_array("B", detections.class_ids),
        scores=_to_array("f", detections.scores),
        boxes=_to_array("d", detections.boxes),
    )


def _to_array(typecode: str, values: Any) -> array[Any]:
    return array(typecode, np.asarray(values, dtype=np.dtype(typecode)).tobytes())
