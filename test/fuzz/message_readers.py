"""Readers of messages from peers: the bytes are messages (CDR) that an attacker may have written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tracking_runtime.errors import FrameRefusedError, TrackingError
from tracking_runtime.geography.camera import read_camera_info
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.io.image_file import decode_image
from tracking_runtime.messages.conversion import TARGET_TRACKS, TRACKS, read_truth
from tracking_runtime.messages.definitions import (
    MessageError,
    deserialize,
    find_message_type,
    load_typestore,
    serialize,
)
from tracking_runtime.messages.track_drawings import make_target_drawing, make_track_drawing
from tracking_runtime.nodes.track_rows import read_target_rows, read_track_rows

from .reader import Reader

_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
_SIZE = (64, 48)  # width and height of the camera's images in pixels
_CORNERS = np.array([(0.5, 0.5), (63.5, 0.5), (32.0, 24.0), (63.5, 47.5)])


def _make_header() -> Any:
    stamp = find_message_type("builtin_interfaces/msg/Time")(sec=1, nanosec=2)
    return find_message_type("std_msgs/msg/Header")(stamp=stamp, frame_id="camera")


def _make_common_fields() -> dict[str, Any]:
    duration = find_message_type("builtin_interfaces/msg/Duration")(sec=0, nanosec=1)
    width, height = _SIZE
    return {
        "header": _make_header(),
        "image_width": width,
        "image_height": height,
        "epoch": 1,
        "latency": duration,
    }


def _make_track_seeds() -> list[bytes]:
    message = find_message_type(TRACKS)(
        **_make_common_fields(),
        class_names=["car", "ship"],
        ids=np.array([1, 2], np.uint32),
        class_ids=np.array([0, 1], np.uint8),
        scores=np.array([0.5, 0.9], np.float32),
        boxes=np.array([1, 2, 3, 4, 5, 6, 7, 8], np.float64),
        velocities=np.zeros(4, np.float32),
        states=np.array([1, 2], np.uint8),
        ages=np.array([1, 9], np.uint32),
    )
    return [serialize(message)]


def _make_target_seeds() -> list[bytes]:
    box = find_message_type("remote_sensing_tracking/msg/BoundingBox")(x=1.0, y=2.0, width=3.0, height=4.0)
    stamp = find_message_type("builtin_interfaces/msg/Time")(sec=1, nanosec=2)
    target = find_message_type("remote_sensing_tracking/msg/TargetTrack")(
        id=1, box=box, score=0.5, state=1, label="car", frames_since_seen=0, template_stamp=stamp
    )
    return [serialize(find_message_type(TARGET_TRACKS)(**_make_common_fields(), tracks=[target, target]))]


def _make_camera_seeds() -> list[bytes]:
    region = find_message_type("sensor_msgs/msg/RegionOfInterest")(
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    matrix = np.array([60, 0, 32, 0, 60, 24, 0, 0, 1], np.float64)
    projection = np.array([60, 0, 32, 0, 0, 60, 24, 0, 0, 0, 1, 0], np.float64)
    distortions = {"plumb_bob": [-0.1, 0.01, 0.0, 0.0, 0.0], "equidistant": [0.1, 0.0, 0.0, 0.0], "": []}
    return [
        serialize(
            find_message_type(_CAMERA_INFO)(
                header=_make_header(),
                height=_SIZE[1],
                width=_SIZE[0],
                distortion_model=model,
                d=np.array(coefficients, np.float64),
                k=matrix,
                r=np.eye(3).ravel(),
                p=projection,
                binning_x=0,
                binning_y=0,
                roi=region,
            )
        )
        for model, coefficients in distortions.items()
    ]


def _make_compressed_seeds() -> list[bytes]:
    import cv2

    pixels = np.random.default_rng(0).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    contents = [("png", cv2.imencode(".png", pixels)[1]), ("bgr8; jpeg", cv2.imencode(".jpg", pixels)[1])]
    return [
        serialize(
            find_message_type(_COMPRESSED_IMAGE)(
                header=_make_header(), format=kind, data=np.frombuffer(data.tobytes(), np.uint8)
            )
        )
        for kind, data in contents
    ]


def _read(path: Path, type_name: str, read: Callable[[Any], object]) -> None:
    read(deserialize(load_typestore(), path.read_bytes(), type_name))


def _read_tracks(message: Any) -> None:
    read_track_rows(message)
    read_truth(message)
    make_track_drawing(message)


def _read_targets(message: Any) -> None:
    read_target_rows(message)
    make_target_drawing(message)


def _read_camera(message: Any) -> None:
    for is_rectified in (False, True):
        read_camera_info(message, is_rectified=is_rectified).compute_rays(_CORNERS, _SIZE)


def _read_compressed(message: Any) -> None:
    decode_image(bytes(message.data), f"an image of format {message.format[:80]!r}")


READERS: tuple[Reader, ...] = (
    Reader(
        "track_message",
        "message.cdr",
        _make_track_seeds,
        partial(_read, type_name=TRACKS, read=_read_tracks),
        (MessageError, FrameRefusedError),
    ),
    Reader(
        "target_message",
        "message.cdr",
        _make_target_seeds,
        partial(_read, type_name=TARGET_TRACKS, read=_read_targets),
        (MessageError, FrameRefusedError),
    ),
    Reader(
        "camera_info",
        "message.cdr",
        _make_camera_seeds,
        partial(_read, type_name=_CAMERA_INFO, read=_read_camera),
        (MessageError, GeographyError),
    ),
    Reader(
        "compressed_image",
        "message.cdr",
        _make_compressed_seeds,
        partial(_read, type_name=_COMPRESSED_IMAGE, read=_read_compressed),
        (TrackingError,),
    ),
)
