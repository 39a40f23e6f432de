"""Frames, ground truth and spectral information as serialised ROS messages and back, without ROS.

The readers take any object that has the fields of the message, from rclpy or from a recording.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.messages.definitions import message_type, serialize
from tracking_runtime.messages.image_encodings import decode_image
from tracking_runtime.spectral_info import Calibration, SpectralInfo

IMAGE = "sensor_msgs/msg/Image"
TRACKS = "remote_sensing_tracking/msg/TrackArray"
TARGET_TRACKS = "remote_sensing_tracking/msg/TargetTrackArray"
SPECTRAL_INFO = "remote_sensing_tracking/msg/SpectralInfo"

_STATE_CONFIRMED = 2
_ENCAPSULATION_BYTES = 4  # before the message itself; the second of them is 1 for little-endian
_STAMP = struct.Struct("<iI")


def serialize_image(frame: Frame) -> bytes:
    """A frame's image as sensor_msgs/Image."""
    image = np.ascontiguousarray(frame.image)
    height, width = image.shape[:2]
    message = message_type(IMAGE)(
        header=_header(frame.stamp_ns, frame.frame_id),
        height=height,
        width=width,
        encoding=frame.encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=image.nbytes // height,
        data=image.reshape(-1).view(np.uint8),
    )
    return serialize(message)


def read_image(message: Any) -> Frame:
    """The frame in a sensor_msgs/Image, its pixels still those of the message.

    Raises:
        FrameRefused: the message contradicts itself, is empty, or its encoding is not known.
    """
    pixels, encoding = decode_image(message)
    return Frame(stamp_ns(message), pixels, encoding, message.header.frame_id)


def serialize_truth(
    truth: GroundTruth, stamp_ns: int, frame_id: str, image_size: tuple[int, int], class_names: Sequence[str]
) -> bytes:
    """Ground truth as TrackArray, all of it confirmed; ``image_size`` is width, height."""
    n = len(truth.ids)
    duration = message_type("builtin_interfaces/msg/Duration")
    message = message_type(TRACKS)(
        header=_header(stamp_ns, frame_id),
        image_width=image_size[0],
        image_height=image_size[1],
        epoch=0,
        latency=duration(sec=0, nanosec=0),
        class_names=list(class_names),
        ids=truth.ids.astype(np.uint32),
        class_ids=truth.class_ids.astype(np.uint8),
        scores=np.ones(n, np.float32),
        boxes=truth.boxes.astype(np.float64).reshape(-1),
        velocities=np.zeros(2 * n, np.float32),
        states=np.full(n, _STATE_CONFIRMED, np.uint8),
        ages=np.zeros(n, np.uint32),
    )
    return serialize(message)


def read_truth(message: Any) -> GroundTruth:
    """The ground truth in a TrackArray.

    Raises:
        FrameRefused: its arrays are not of one length.
    """
    count = len(message.ids)
    for name, each in (("class_ids", 1), ("boxes", 4)):
        if (found := len(getattr(message, name))) != count * each:
            raise FrameRefusedError(f"TrackArray with {count} ids has {found} {name}, not {count * each}")
    return GroundTruth(
        ids=np.asarray(message.ids, np.int64),
        class_ids=np.asarray(message.class_ids, np.uint8),
        boxes=as_boxes(np.asarray(message.boxes, np.float64)),
    )


def serialize_spectral_info(info: SpectralInfo, stamp_ns: int, frame_id: str) -> bytes:
    """What the bands are, as SpectralInfo."""
    rows, columns = info.mosaic or (0, 0)
    message = message_type(SPECTRAL_INFO)(
        header=_header(stamp_ns, frame_id),
        wavelengths=np.array(info.wavelengths_nm, np.float32),
        fwhm=np.array(info.fwhm_nm, np.float32),
        mosaic_rows=rows,
        mosaic_columns=columns,
        band_order=np.array(info.band_order, np.uint16),
        bit_depth=info.bit_depth,
        black_level=info.black_level,
        saturation_level=info.saturation_level,
        calibration=int(info.calibration),
    )
    return serialize(message)


def read_spectral_info(message: Any) -> SpectralInfo:
    """What a SpectralInfo message says of the bands.

    Raises:
        ValueError: its fields contradict each other, or it names no wavelengths.
    """
    if not len(message.wavelengths):
        raise ValueError("SpectralInfo without wavelengths")
    mosaic = (int(message.mosaic_rows), int(message.mosaic_columns))
    if any(mosaic) and not all(mosaic):
        raise ValueError(f"SpectralInfo of a mosaic with {mosaic[0]} rows and {mosaic[1]} columns of filters")
    return SpectralInfo(
        wavelengths_nm=tuple(float(value) for value in message.wavelengths),
        fwhm_nm=tuple(float(value) for value in message.fwhm),
        mosaic=mosaic if all(mosaic) else None,
        band_order=tuple(int(value) for value in message.band_order),
        bit_depth=int(message.bit_depth),
        black_level=float(message.black_level),
        saturation_level=float(message.saturation_level),
        calibration=Calibration(int(message.calibration)),
    )


def stamp_of(data: bytes) -> int:
    """The stamp, in nanoseconds, of a serialised message that begins with a header."""
    sec, nanosec = _STAMP.unpack_from(data, _ENCAPSULATION_BYTES)
    return int(sec) * 1_000_000_000 + int(nanosec)


def restamped(data: bytes, time_ns: int) -> bytes:
    """The same serialised message with another stamp in its header."""
    changed = bytearray(data)
    _STAMP.pack_into(changed, _ENCAPSULATION_BYTES, *divmod(time_ns, 1_000_000_000))
    return bytes(changed)


def stamp_ns(message: Any) -> int:
    """The stamp of a message's header in nanoseconds."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def _header(time_ns: int, frame_id: str) -> Any:
    sec, nanosec = divmod(time_ns, 1_000_000_000)
    stamp = message_type("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
    return message_type("std_msgs/msg/Header")(stamp=stamp, frame_id=frame_id)
