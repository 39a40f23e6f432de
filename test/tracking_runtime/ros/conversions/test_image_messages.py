from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
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

pytestmark = pytest.mark.ros
TYPES = {"8U": np.uint8, "16U": np.uint16, "32F": np.float32}


@dataclass(frozen=True)
class EncodedImage:
    """Image with its encoding."""

    image: NDArray[Any]
    encoding: str


@st.composite
def encoded_images(draw: st.DrawFn) -> EncodedImage:
    name = draw(st.sampled_from(["mono8", "mono16", "bgr8", "rgb8", None]))
    if name is None:
        depth = draw(st.sampled_from(list(TYPES)))
        num_channels = draw(st.integers(1, 30))
    else:
        depth = "16U" if name.endswith("16") else "8U"
        num_channels = 1 if name.startswith("mono") else 3
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    shape = size if num_channels == 1 else (*size, num_channels)
    return EncodedImage(draw(hnp.arrays(TYPES[depth], shape)), name or f"{depth}C{num_channels}")


def make_bgr_message() -> Image:
    return image_messages.make_image_message(np.zeros((4, 5, 3), np.uint8), "bgr8", Header())


@given(encoded_images())
def test_image_round_trip_is_lossless(encoded: EncodedImage) -> None:
    sent = image_messages.make_image_message(encoded.image, encoded.encoding, Header(frame_id="camera"))

    received = deserialize_message(serialize_message(sent), Image)

    np.testing.assert_array_equal(image_messages.view_as_array(received), encoded.image)
    assert received.header.frame_id == "camera"


@given(encoded_images(), st.integers(1, 9))
def test_row_padding_is_removed(encoded: EncodedImage, padding: int) -> None:
    message = image_messages.make_image_message(encoded.image, encoded.encoding, Header())
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    padded_rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)

    padded_message = Image(
        height=message.height,
        width=message.width,
        encoding=encoded.encoding,
        step=padded_rows.shape[1],
        data=padded_rows.tobytes(),
    )

    np.testing.assert_array_equal(image_messages.view_as_array(padded_message), encoded.image)


def test_foreign_byte_order_is_swapped() -> None:
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    message = image_messages.make_image_message(image.byteswap(), "mono16", Header())

    message.is_bigendian = sys.byteorder == "little"

    np.testing.assert_array_equal(image_messages.view_as_array(message), image)


def test_view_shares_memory_and_is_read_only() -> None:
    message = make_bgr_message()

    view = image_messages.view_as_array(message)
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
def test_inconsistent_image_is_refused(changes: dict[str, Any], reason: str) -> None:
    message = make_bgr_message()

    for name, value in changes.items():
        setattr(message, name, value)

    with pytest.raises(FrameRefusedError, match=reason):
        image_messages.view_as_array(message)


def _make_message(samples: NDArray[Any], encoding: str) -> Image:
    """Make the message of samples with an encoding that make_image_message does not know."""
    num_channels = 1 if samples.ndim == 2 else samples.shape[2]
    generic = f"{8 * samples.dtype.itemsize}UC{num_channels}"
    message = image_messages.make_image_message(samples, generic, Header())
    message.encoding = encoding
    return message


def test_unknown_encoding_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    message = _make_message(np.zeros((4, 5, 3), np.uint8), "nv24")

    with pytest.raises(FrameRefusedError, match=r"'nv24' is not known; .*bayer_rggb8, .*camera driver"):
        decode_image(message)


@pytest.mark.parametrize(
    ("encoding", "pixel"),
    [
        ("bgra8", [10, 20, 30, 255]),
        ("rgba8", [30, 20, 10, 255]),
        ("bgra16", [1000, 2000, 3000, 65535]),
        ("rgba16", [3000, 2000, 1000, 65535]),
        ("bgr16", [1000, 2000, 3000]),
        ("rgb16", [3000, 2000, 1000]),
        ("yuv422_yuy2", [90, 128]),
        ("yuyv", [90, 128]),
        ("yuv422", [128, 90]),
        ("uyvy", [128, 90]),
    ],
)
def test_color_encoding_is_converted_to_bgr(encoding: str, pixel: list[int]) -> None:
    dtype = np.uint16 if encoding.endswith("16") else np.uint8
    message = _make_message(np.tile(np.array(pixel, dtype), (6, 8, 1)), encoding)

    image, image_encoding = decode_image(message)

    scale = 100 if dtype == np.uint16 else 1
    expected = [86, 86, 86] if len(pixel) == 2 else [10 * scale, 20 * scale, 30 * scale]
    assert (image_encoding, image.shape, image.dtype) == (
        "16UC3" if dtype == np.uint16 else "bgr8",
        (6, 8, 3),
        dtype,
    )
    np.testing.assert_allclose(image[3, 4], expected, atol=1)


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (16, np.uint16)])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_pattern_is_converted_to_bgr(pattern: str, depth: int, dtype: type) -> None:
    color = {"r": 200, "g": 100, "b": 50}
    tile = np.array([[color[pattern[0]], color[pattern[1]]], [color[pattern[2]], color[pattern[3]]]], dtype)
    message = _make_message(np.tile(tile, (4, 5)), f"bayer_{pattern}{depth}")

    image, image_encoding = decode_image(message)

    assert image_encoding == ("bgr8" if depth == 8 else "16UC3")
    np.testing.assert_array_equal(image, np.broadcast_to([50, 100, 200], (8, 10, 3)))


@pytest.mark.parametrize(
    ("shape", "encoding", "reason"),
    [
        ((1, 1), "bayer_rggb8", "at least 4 pixels on each side: got 1 x 1"),
        ((4, 5, 2), "yuyv", "the width of an image yuyv must be even: got 5"),
    ],
)
def test_image_of_impossible_size_is_refused(shape: tuple[int, ...], encoding: str, reason: str) -> None:
    with pytest.raises(FrameRefusedError, match=reason):
        decode_image(_make_message(np.zeros(shape, np.uint8), encoding))


def test_encoding_unknown_to_cv_bridge_is_refused() -> None:
    pytest.importorskip("cv_bridge", reason="no wheel of cv_bridge exists")

    with pytest.raises(FrameRefusedError, match=r"'no such' is not known; .*; nor can cv_bridge read it"):
        decode_image(_make_message(np.zeros((4, 6), np.uint8), "no such"))


def test_array_of_other_type_is_refused() -> None:
    with pytest.raises(FrameRefusedError, match="must have 1 channels of uint8: got 1 channels of float64"):
        image_messages.make_image_message(np.zeros((2, 2)), "mono8", Header())


@pytest.mark.parametrize(
    ("shape", "kind", "encoding"),
    [((6, 8), "uint8", "mono8"), ((6, 8), "uint16", "mono16"), ((6, 8, 3), "uint8", "bgr8")],
)
def test_png_decompression_is_lossless(shape: tuple[int, ...], kind: str, encoding: str) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape).astype(kind)
    data = cv2.imencode(".png", image)[1].tobytes()
    message = CompressedImage(format=f"{encoding}; png compressed", data=array("B", data))

    pixels, pixel_encoding = image_messages.decompress(message)

    assert pixel_encoding == encoding
    np.testing.assert_array_equal(pixels, image)


def test_jpeg_round_trip_is_close() -> None:
    image = np.full((16, 24, 3), (10, 120, 240), np.uint8)
    header = Header(frame_id="camera")

    message = image_messages.make_jpeg_message(image, 95, header)
    pixels, encoding = image_messages.decompress(message)

    assert (message.header, message.format) == (header, "bgr8; jpeg compressed bgr8")
    assert encoding == "bgr8"
    assert np.abs(pixels.astype(int) - image).max() < 4


@pytest.mark.parametrize(("data", "reason"), [(b"", "an empty file"), (b"no image", "'no image'")])
def test_data_without_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FrameRefusedError, match=f"of format 'jpeg' is not an image .*{reason}"):
        image_messages.decompress(CompressedImage(format="jpeg", data=array("B", data)))


def test_image_beyond_limit_is_refused_by_header() -> None:
    small = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
    data = small[:16] + (32000).to_bytes(4, "big") * 2 + small[24:]

    with pytest.raises(FrameRefusedError, match=r"1024000000 pixels are more than the limit .*RSTRACK_MAX"):
        image_messages.decompress(CompressedImage(format="png", data=array("B", data)))
