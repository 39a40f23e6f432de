"""The trackers' results as messages of this package; cameras' messages are in ``messages.conversion``.

Arrays travel as ``array.array``: the one type that rclpy takes without looking at every element.
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
    """One target in one frame, as ``hsi_tracker_ros.tracker.TargetState``."""

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
    """The objects of one frame, as ``spax_ros.decoding.Detections``."""

    @property
    def boxes(self) -> Boxes: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...
    @property
    def class_ids(self) -> NDArray[np.uint8]: ...


class TracksLike(DetectionsLike, Protocol):
    """Every track after one frame, as ``spax_ros.association.tracks.Tracks``."""

    @property
    def ids(self) -> NDArray[np.int64]: ...
    @property
    def velocities(self) -> NDArray[np.float64]: ...
    @property
    def states(self) -> NDArray[np.uint8]: ...
    @property
    def ages(self) -> NDArray[np.int32]: ...


@dataclass(frozen=True)
class FrameFacts:
    """What every result says of the frame it belongs to.

    Attributes:
        header: the source image's own.
        width: of the source image in pixels, per band.
        height: of the source image in pixels, per band.
        epoch: counts resets.
        latency_ns: from the frame's arrival to now.
    """

    header: Header
    width: int
    height: int
    epoch: int = 0
    latency_ns: int = 0


def stamp_ns(stamp: Time) -> int:
    """A time in nanoseconds."""
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def to_time(nanoseconds: int) -> Time:
    """The message of a time in nanoseconds."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return Time(sec=seconds, nanosec=rest)


def to_duration(nanoseconds: int) -> Duration:
    """The message of a duration in nanoseconds."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return Duration(sec=seconds, nanosec=rest)


def to_box(box: ArrayLike) -> msg.BoundingBox:
    """The message of one box x, y, width, height."""
    x, y, width, height = map(float, as_boxes(box)[0])
    return msg.BoundingBox(x=x, y=y, width=width, height=height)


def from_box(box: msg.BoundingBox) -> NDArray[np.float64]:
    """``(4,)`` x, y, width, height."""
    return np.array([box.x, box.y, box.width, box.height])


def to_target_tracks(facts: FrameFacts, targets: Iterable[TargetLike]) -> msg.TargetTrackArray:
    """The message of all chosen targets in one frame."""
    return msg.TargetTrackArray(
        header=facts.header,
        image_width=facts.width,
        image_height=facts.height,
        epoch=facts.epoch,
        latency=to_duration(facts.latency_ns),
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


def to_tracks(facts: FrameFacts, class_names: Sequence[str], tracks: TracksLike) -> msg.TrackArray:
    """The message of all tracks in one frame."""
    return msg.TrackArray(
        header=facts.header,
        image_width=facts.width,
        image_height=facts.height,
        epoch=facts.epoch,
        latency=to_duration(facts.latency_ns),
        class_names=list(class_names),
        ids=_array("I", tracks.ids),
        class_ids=_array("B", tracks.class_ids),
        scores=_array("f", tracks.scores),
        boxes=_array("d", tracks.boxes),
        velocities=_array("f", tracks.velocities),
        states=_array("B", tracks.states),
        ages=_array("I", tracks.ages),
    )


def to_detections(
    facts: FrameFacts, class_names: Sequence[str], detections: DetectionsLike
) -> msg.DetectionArray:
    """The message of everything detected in one frame."""
    return msg.DetectionArray(
        header=facts.header,
        image_width=facts.width,
        image_height=facts.height,
        class_names=list(class_names),
        class_ids=_array("B", detections.class_ids),
        scores=_array("f", detections.scores),
        boxes=_array("d", detections.boxes),
    )


def _array(typecode: str, values: Any) -> array[Any]:
    return array(typecode, np.asarray(values, dtype=np.dtype(typecode)).tobytes())
