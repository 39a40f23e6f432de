from __future__ import annotations

import sys
from array import array
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("rclpy", reason="needs ROS 2")

from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.messages.image_encodings import decode_image
from tracking_runtime.ros.conversions import image_messages

TYPES = {"8U": np.uint8, "16U": np.uint16, "32F": np.float32}


@st.composite
def encoded(draw: st.DrawFn) -> tuple[NDArray[Any], str]:
    named = draw(st.sampled_from(["mono8", "mono16", "bgr8", "rgb8", None]))
    if named is None:
        depth, channels = draw(st.sampled_from(list(TYPES))), draw(st.integers(1, 30))
        encoding = f"{depth}C{channels}"
    else:
        depth, channels = ("16U" if named.endswith("16") else "8U"), (1 if named.startswith("mono") else 3)
        encoding = named
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    shape = size if channels == 1 else (*size, channels)
    return draw(hnp.arrays(TYPES[depth], shape)), encoding


@given(encoded())
def test_image_survives_the_wire(image_and_encoding: tuple[NDArray[Any], str]) -> None:
    image, encoding = image_and_encoding
    sent = image_messages.from_array(image, encoding, Header(frame_id="camera"))
    received = deserialize_message(serialize_message(sent), Image)
    np.testing.assert_array_equal(image_messages.to_array(received), image)
    assert received.header.frame_id == "camera"


@given(encoded(), st.integers(1, 9))
def test_padded_rows_are_cut(image_and_encoding: tuple[NDArray[Any], str], padding: int) -> None:
    image, encoding = image_and_encoding
    message = image_messages.from_array(image, encoding, Header())
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    message = Image(
        height=message.height,
        width=message.width,
        encoding=encoding,
        step=padded.shape[1],
        data=padded.tobytes(),
    )
    np.testing.assert_array_equal(image_messages.to_array(message), image)


def test_foreign_byte_order_is_swapped() -> None:
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    message = image_messages.from_array(image.byteswap(), "mono16", Header())
    message.is_bigendian = sys.byteorder == "little"
    np.testing.assert_array_equal(image_messages.to_array(message), image)


def test_nothing_is_copied() -> None:
    message = image_messages.from_array(np.zeros((4, 5, 3), np.uint8), "bgr8", Header())
    view = image_messages.to_array(message)
    message.data[0] = 9
    assert view[0, 0, 0] == 9
    assert not view.flags.writeable


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 0}, "empty: 0 x 4"),
        ({"height": 0}, "empty: 5 x 0"),
        ({"step": 14}, "step is 14 bytes, but a row of 5 pixels bgr8 has 15"),
        ({"step": 16}, "60 bytes of data, but 4 rows of 16 bytes are 64"),
        ({"height": 5}, "60 bytes of data, but 5 rows of 15 bytes are 75"),
        ({"height": 3}, "60 bytes of data, but 3 rows of 15 bytes are 45"),
        ({"data": b""}, "0 bytes of data"),
        ({"encoding": "bayer_rggb8"}, "encoding 'bayer_rggb8' is not known"),
        ({"encoding": ""}, "encoding '' is not known"),
        ({"encoding": "8UC0"}, "encoding '8UC0' is not known"),
        ({"encoding": "64FC1"}, "encoding '64FC1' is not known"),
    ],
)
def test_malformed_image_is_refused(changes: dict[str, Any], reason: str) -> None:
    message = image_messages.from_array(np.zeros((4, 5, 3), np.uint8), "bgr8", Header())
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(FrameRefusedError, match=reason):
        image_messages.to_array(message)


def test_image_that_only_cv_bridge_knows_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    message = image_messages.from_array(np.zeros((4, 5, 4), np.uint8), "8UC4", Header())
    message.encoding = "bgra8"
    with pytest.raises(FrameRefusedError, match=r"'bgra8' is not known; .* apt install ros-jazzy-cv-bridge"):
        decode_image(message)


@pytest.mark.parametrize(
    ("encoding", "pixel"),
    [("bgra8", [10, 20, 30, 255]), ("rgba8", [30, 20, 10, 255]), ("yuv422_yuy2", [90, 128])],
)
def test_cv_bridge_reads_what_it_knows(encoding: str, pixel: list[int]) -> None:
    pytest.importorskip("cv_bridge", reason="no wheel of cv_bridge exists")
    message = image_messages.from_array(np.tile(np.uint8(pixel), (6, 8, 1)), f"8UC{len(pixel)}", Header())
    message.encoding = encoding
    found, given = decode_image(message)
    assert (given, found.shape, found.dtype) == ("bgr8", (6, 8, 3), np.uint8)
    expected = [10, 20, 30] if len(pixel) == 4 else [86, 86, 86]  # a luma of 90, in the range from 16 to 235
    np.testing.assert_allclose(found[3, 4], expected, atol=1)


def test_what_cv_bridge_cannot_read_either_is_refused() -> None:
    pytest.importorskip("cv_bridge", reason="no wheel of cv_bridge exists")
    for encoding, height in (("bayer_rggb8", 3), ("bayer_rggb8", 0), ("no such", 4)):
        message = image_messages.from_array(np.zeros((4, 6), np.uint8), "mono8", Header())
        message.encoding, message.height, message.data = (
            encoding,
            height,
            message.data[: 6 * max(height - 1, 0)],
        )
        with pytest.raises(
            FrameRefusedError, match=f"'{encoding}' is not known; .*; nor can cv_bridge read it"
        ):
            decode_image(message)


def test_array_of_another_type_is_no_such_image() -> None:
    with pytest.raises(FrameRefusedError, match="1 channels of float64 are no image mono8"):
        image_messages.from_array(np.zeros((2, 2)), "mono8", Header())


@pytest.mark.parametrize(
    ("shape", "kind", "encoding"),
    [((6, 8), "uint8", "mono8"), ((6, 8), "uint16", "mono16"), ((6, 8, 3), "uint8", "bgr8")],
)
def test_png_is_read_as_it_was(shape: tuple[int, ...], kind: str, encoding: str) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape).astype(kind)
    data = cv2.imencode(".png", image)[1].tobytes()
    message = CompressedImage(format=f"{encoding}; png compressed", data=array("B", data))
    pixels, found = image_messages.decompress(message)
    assert found == encoding
    np.testing.assert_array_equal(pixels, image)


def test_jpeg_that_is_written_can_be_read() -> None:
    image = np.full((16, 24, 3), (10, 120, 240), np.uint8)
    header = Header(frame_id="camera")
    message = image_messages.compress(image, 95, header)
    assert (message.header, message.format) == (header, "bgr8; jpeg compressed bgr8")
    pixels, encoding = image_messages.decompress(message)
    assert encoding == "bgr8"
    assert np.abs(pixels.astype(int) - image).max() < 4


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(FrameRefusedError, match="'jpeg' are no image"):
        image_messages.decompress(CompressedImage(format="jpeg", data=array("B", data)))
