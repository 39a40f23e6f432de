"""Recordings as sources of frames."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracking_runtime.bags import BagWriter, Topic
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.notes import collect_notes
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.conversion import (
    COMPRESSED_IMAGE,
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    serialize_image,
    serialize_spectral_info,
    serialize_truth,
)
from tracking_runtime.messages.definitions import Interface, find_message_type, serialize
from tracking_runtime.spectral_info import SpectralInfo

_PNG_HEADER = b"IHDR" + struct.pack(">IIBBBBB", 32000, 32000, 8, 0, 0, 0, 0)
PNG_BOMB = (
    b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + _PNG_HEADER + struct.pack(">I", zlib.crc32(_PNG_HEADER))
)

GROUND_TRUTHS = st.none() | st.integers(0, 4).flatmap(
    lambda num_objects: st.builds(
        GroundTruth,
        ids=st.just(np.arange(1, num_objects + 1)),
        class_ids=st.just(np.arange(num_objects, dtype=np.uint8) % 2),
        boxes=hnp.arrays(np.float32, (num_objects, 4), elements=st.floats(0, 1000, width=32)),
    )
)


def write_bag(
    folder: Path,
    frames: Sequence[Frame],
    *,
    truth_after_image: bool = False,
    cameras: tuple[str, ...] = ("/cam",),
) -> None:
    """Write the frames once per camera."""
    with BagWriter(folder) as writer:
        for camera in cameras:
            writer.add_installed_topic(f"{camera}/image", IMAGE)
            writer.add_installed_topic(f"{camera}/ground_truth", TRACKS)
            writer.add_installed_topic(f"{camera}/spectral_info", SPECTRAL_INFO)
            info = serialize_spectral_info(SpectralInfo((500.0,)), 1, "camera")
            writer.write(f"{camera}/spectral_info", info, 0)
            for frame in frames:
                messages = [("image", serialize_image(frame))]
                if frame.truth is not None:
                    size = frame.image.shape[1], frame.image.shape[0]
                    data = serialize_truth(frame.truth, frame.stamp_ns, frame.frame_id, size, ["car", "ship"])
                    messages.append(("ground_truth", data))
                for name, data in messages if truth_after_image else reversed(messages):
                    writer.write(f"{camera}/{name}", data, frame.stamp_ns)


def make_frame(stamp_ns: int, truth: GroundTruth | None = None) -> Frame:
    return Frame(stamp_ns, np.zeros((2, 2), np.uint8), "mono8", truth=truth)


@given(st.lists(GROUND_TRUTHS, min_size=1, max_size=25), st.booleans())
@settings(deadline=None, max_examples=30)
def test_frames_have_the_truth_of_their_stamp(truths, truth_after_image):
    recorded = [
        Frame((i + 1) * 100, np.full((3, 4), i, np.uint8), "mono8", truth=truth)
        for i, truth in enumerate(truths)
    ]

    with TemporaryDirectory() as folder:
        write_bag(Path(folder) / "bag", recorded, truth_after_image=truth_after_image)
        source = BagSource(Path(folder) / "bag")
        spectral_info = source.spectral_info
        frames = list(source)

    assert len(source) == len(recorded)
    assert spectral_info == SpectralInfo((500.0,))
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in recorded]
    for expected, frame in zip(recorded, frames, strict=True):
        np.testing.assert_array_equal(expected.image, frame.image)
        assert (expected.truth is None) == (frame.truth is None)
        if expected.truth is not None and frame.truth is not None:
            np.testing.assert_array_equal(expected.truth.boxes, frame.truth.boxes)
            np.testing.assert_array_equal(expected.truth.ids, frame.truth.ids)
            np.testing.assert_array_equal(expected.truth.class_ids, frame.truth.class_ids)


def test_rate_and_class_names_come_from_the_bag(tmp_path):
    write_bag(tmp_path / "bag", [make_frame(i * 40_000_000, GroundTruth()) for i in range(1, 5)])

    source = open_source(f"bag:{tmp_path / 'bag'}")

    assert math.isclose(source.rate_hz, 25.0)
    assert source.class_names == ("car", "ship")
    assert source.name == "bag"


def test_topic_option_selects_one_of_several_cameras(tmp_path):
    write_bag(tmp_path / "bag", [make_frame(1)], cameras=("/left", "/right"))

    with pytest.raises(SourceError, match=r"topic=…; available: /left/image, /right/image"):
        open_source(f"bag:{tmp_path / 'bag'}")
    assert len(open_source(f"bag:{tmp_path / 'bag'}?topic=/left/image")) == 1
    with pytest.raises(SourceError, match="available: /left/image"):
        open_source(f"bag:{tmp_path / 'bag'}?topic=/up/image")


def test_bag_without_images_is_refused(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_installed_topic("/tracks", TRACKS)

    with pytest.raises(SourceError, match="none, only /tracks"):
        BagSource(tmp_path / "bag")


def write_compressed_bag(path: Path, frames: Sequence[Frame], suffix: str, **extra: bytes) -> Path:
    """Write frames as CompressedImage of PNG or JPEG on /cam/image/compressed, with ground truth."""
    message_type = find_message_type(COMPRESSED_IMAGE)
    header_type, stamp_type = (
        find_message_type("std_msgs/msg/Header"),
        find_message_type("builtin_interfaces/msg/Time"),
    )
    with BagWriter(path) as writer:
        writer.add_installed_topic("/cam/image/compressed", COMPRESSED_IMAGE)
        writer.add_installed_topic("/cam/ground_truth", TRACKS)
        for frame in frames:
            _, data = cv2.imencode(suffix, frame.image)
            header = header_type(stamp=stamp_type(*divmod(frame.stamp_ns, 10**9)), frame_id="cam")
            message = message_type(
                header, suffix[1:], np.frombuffer(extra.get("data", data.tobytes()), np.uint8)
            )
            writer.write("/cam/image/compressed", serialize(message), frame.stamp_ns)
            truth = serialize_truth(frame.truth or GroundTruth(), frame.stamp_ns, "cam", (8, 6), ["car"])
            writer.write("/cam/ground_truth", truth, frame.stamp_ns)
    return path


@pytest.mark.parametrize(
    ("channels", "dtype", "encoding"),
    [(1, np.uint8, "mono8"), (3, np.uint8, "bgr8"), (1, np.uint16, "mono16")],
)
def test_compressed_images_are_read_with_their_truth(tmp_path, channels, dtype, encoding):
    random = np.random.default_rng(1)
    shape = (6, 8) if channels == 1 else (6, 8, 3)
    truth = GroundTruth(np.array([4]), np.zeros(1, np.uint8), np.array([[1.0, 2, 3, 4]]))
    frames = [
        Frame(i * 10**8, random.integers(0, 250, shape).astype(dtype), encoding, truth=truth)
        for i in range(1, 6)
    ]

    source = open_source(f"bag:{write_compressed_bag(tmp_path / 'bag', frames, '.png')}")

    assert (len(source), source.rate_hz, source.class_names) == (5, pytest.approx(10), ("car",))
    for frame, expected in zip(source, frames, strict=True):
        np.testing.assert_array_equal(frame.image, expected.image)
        assert (frame.encoding, frame.stamp_ns, frame.frame_id) == (encoding, expected.stamp_ns, "cam")
        assert frame.truth.boxes.tolist() == [[1, 2, 3, 4]]


def test_raw_images_come_before_compressed_ones(tmp_path):
    frames = [make_frame(1)]
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_installed_topic("/cam/image/compressed", COMPRESSED_IMAGE)
        writer.add_installed_topic("/cam/image", IMAGE)
        writer.write("/cam/image", serialize_image(frames[0]), 1)

    assert BagSource(tmp_path / "bag").image_topic == "/cam/image"
    assert BagSource(tmp_path / "bag", topic="/cam/image/compressed").image_topic == "/cam/image/compressed"


@pytest.mark.parametrize("data", [b"", b"no image", PNG_BOMB])
def test_hostile_compressed_image_names_bag_and_topic(tmp_path, data):
    path = write_compressed_bag(tmp_path / "bag", [make_frame(1)], ".png", data=data)

    with pytest.raises(SourceError, match=rf"{path}, topic /cam/image/compressed: image of format 'png'"):
        list(BagSource(path))


@pytest.mark.parametrize("stamp_ns", [-(10**9), -(2**31) * 10**9])
def test_negative_stamp_is_refused(tmp_path, stamp_ns):
    data = bytearray(serialize_image(make_frame(10**9)))
    struct.pack_into("<i", data, 4, stamp_ns // 10**9)
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_installed_topic("/image", IMAGE)
        writer.write("/image", bytes(data), 1)

    with pytest.raises(SourceError, match=r"topic /image: stamp must be between 1970 and 2038: got -"):
        list(BagSource(tmp_path / "bag"))


def test_image_type_with_other_fields_is_refused(tmp_path):
    string = serialize(find_message_type("std_msgs/msg/String")("x"))
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic(Topic("/image", Interface(IMAGE, "string data", "")))
        writer.write("/image", string, 1)

    with pytest.raises(SourceError, match=r"topic /image: a message lacks the fields of its type"):
        list(BagSource(tmp_path / "bag"))


def test_source_yields_the_frames_around_a_damaged_chunk(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_installed_topic("/image", IMAGE)
        for number in range(1, 31):
            writer.write("/image", serialize_image(make_frame(number * 10**8)), number * 10**8)
            if number % 10 == 0:
                writer.flush()
    path = tmp_path / "bag" / "bag_0.mcap"
    content = bytearray(path.read_bytes())
    content[content.index(serialize_image(make_frame(15 * 10**8))) + 50] ^= 1
    path.write_bytes(content)

    with collect_notes() as notes:
        numbers = [frame.stamp_ns // 10**8 for frame in BagSource(tmp_path / "bag")]

    (note,) = notes
    assert "is damaged at byte" in note
    assert numbers == [*range(1, 11), *range(21, 31)]


def test_truth_type_with_other_fields_is_refused(tmp_path):
    string = serialize(find_message_type("std_msgs/msg/String")("x"))
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_installed_topic("/image", IMAGE)
        writer.write("/image", serialize_image(make_frame(1)), 1)
        writer.add_topic(Topic("/ground_truth", Interface(TRACKS, "string data", "")))
        writer.write("/ground_truth", string, 1)

    with pytest.raises(SourceError, match=r"topic /ground_truth: a message lacks the fields of its type"):
        list(BagSource(tmp_path / "bag").read_truths())
