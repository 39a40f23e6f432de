"""Conversions between frames, ground truth, bands and serialized (CDR) ROS messages, without ROS.

The readers accept any object with the fields of the message: from rclpy or from a recording.
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
from tracking_runtime.messages.definitions import MessageError, find_message_type, serialize
from tracking_runtime.messages.image_encodings import decode_image
from tracking_runtime.spectral_info import Calibration, SpectralInfo

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
TRACKS = "remote_sensing_tracking/msg/TrackArray"
TARGET_TRACKS = "remote_sensing_tracking/msg/TargetTrackArray"
SPECTRAL_INFO = "remote_sensing_tracking/msg/SpectralInfo"

_STATE_CONFIRMED = 2
_ENCAPSULATION_BYTES = 4  # header before the message; its second byte is 1 for little-endian
_STAMP = struct.Struct("<iI")  # seconds, nanoseconds


def serialize_image(frame: Frame) -> bytes:
    """Serialize the image of a frame as sensor_msgs/Image."""
    image = np.ascontiguousarray(frame.image)
    height, width = image.shape[:2]
    message = find_message_type(IMAGE)(
        header=_make_header(frame.stamp_ns, frame.frame_id),
        height=height,
        width=width,
        encoding=frame.encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=image.nbytes // height,
        data=image.reshape(-1).view(np.uint8),
    )
    return serialize(message)


def read_image(message: Any) -> Frame:
    """Convert a sensor_msgs/Image to a frame. The pixels stay in the memory of the message.

    Raises:
        FrameRefusedError: the image is empty, inconsistent, or has an unknown encoding.
    """
    pixels, encoding = decode_image(message)
    return Frame(read_stamp_ns(message), pixels, encoding, message.header.frame_id)


def serialize_truth(
    truth: GroundTruth, stamp_ns: int, frame_id: str, image_size: tuple[int, int], class_names: Sequence[str]
) -> bytes:
    """Serialize ground truth as a TrackArray with confirmed tracks.

    Args:
        truth: the objects of one frame.
        stamp_ns: stamp of the frame in nanoseconds.
        frame_id: coordinate frame of the camera.
        image_size: width and height of the image in pixels.
        class_names: names of the classes that `truth.class_ids` index.
    """
    num_objects = len(truth.ids)
    duration = find_message_type("builtin_interfaces/msg/Duration")
    message = find_message_type(TRACKS)(
        header=_make_header(stamp_ns, frame_id),
        image_width=image_size[0],
        image_height=image_size[1],
        epoch=0,
        latency=duration(sec=0, nanosec=0),
        class_names=list(class_names),
        ids=truth.ids.astype(np.uint32),
        class_ids=truth.class_ids.astype(np.uint8),
        scores=np.ones(num_objects, np.float32),
        boxes=truth.boxes.astype(np.float64).reshape(-1),
        velocities=np.zeros(2 * num_objects, np.float32),
        states=np.full(num_objects, _STATE_CONFIRMED, np.uint8),
        ages=np.zeros(num_objects, np.uint32),
    )
    return serialize(message)


def read_truth(message: Any) -> GroundTruth:
    """Convert a TrackArray to ground truth.

    Raises:
        FrameRefusedError: the arrays of the message differ in length.
    """
    num_objects = len(message.ids)
    for name, width in (("class_ids", 1), ("boxes", 4)):
        length = len(getattr(message, name))
        expected = num_objects * width
        if length != expected:
            raise FrameRefusedError(f"TrackArray with {num_objects} ids has {length} {name}, not {expected}")
    return GroundTruth(
        ids=np.asarray(message.ids, np.int64),
        class_ids=np.asarray(message.class_ids, np.uint8),
        boxes=as_boxes(np.asarray(message.boxes, np.float64)),
    )


def serialize_spectral_info(info: SpectralInfo, stamp_ns: int, frame_id: str) -> bytes:
    """Serialize the description of a camera's bands as a SpectralInfo message."""
    rows, columns = info.mosaic or (0, 0)
    message = find_message_type(SPECTRAL_INFO)(
        header=_make_header(stamp_ns, frame_id),
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
    """Convert a SpectralInfo message to the description of a camera's bands.

    Raises:
        ValueError: the message has no wavelengths, or its fields contradict each other.
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


def read_serialized_stamp_ns(data: bytes) -> int:
    """Return the stamp in nanoseconds of a serialized message that begins with a header.

    Raises:
        MessageError: the message is too short.
    """
    if len(data) < _ENCAPSULATION_BYTES + _STAMP.size:
        raise MessageError(f"a message of {len(data)} bytes has no header")
    sec, nanosec = _STAMP.unpack_from(data, _ENCAPSULATION_BYTES)
    return int(sec) * 1_000_000_000 + int(nanosec)


def replace_serialized_stamp(data: bytes, stamp_ns: int) -> bytes:
    """Return a copy of a serialized message with another stamp in its header."""
    copy = bytearray(data)
    _STAMP.pack_into(copy, _ENCAPSULATION_BYTES, *divmod(stamp_ns, 1_000_000_000))
    return bytes(copy)


def read_stamp_ns(message: Any) -> int:
    """Return the stamp of a message's header in nanoseconds."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def duration_to_ms(duration: Any) -> float:
    """Convert a builtin_interfaces/Duration to milliseconds."""
    return float(duration.sec * 1e3 + duration.nanosec / 1e6)


def _make_header(stamp_ns: int, frame_id: str) -> Any:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    stamp = find_message_type("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
    return find_message_type("std_msgs/msg/Header")(stamp=stamp, frame_id=frame_id)
