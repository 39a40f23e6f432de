"""Frames and SpectralInfo survive the conversion to messages; invalid messages are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.frames import Frame
from tracking_runtime.messages.conversion import (
    IMAGE,
    SPECTRAL_INFO,
    read_image,
    read_spectral_info,
    serialize_image,
    serialize_spectral_info,
)
from tracking_runtime.messages.definitions import load_typestore
from tracking_runtime.spectral_info import Calibration, SpectralInfo

NAMED_ENCODINGS = {
    "mono8": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "bgr8": (np.uint8, 3),
    "rgb8": (np.uint8, 3),
}
SAMPLE_TYPES = {"8UC": np.uint8, "16UC": np.uint16, "32FC": np.float32}


def make_image_message(image: NDArray[Any], encoding: str) -> Any:
    return load_typestore().deserialize_cdr(serialize_image(Frame(1, image, encoding)), IMAGE)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    if draw(st.booleans()):
        encoding = draw(st.sampled_from(sorted(NAMED_ENCODINGS)))
        sample_type, channels = NAMED_ENCODINGS[encoding]
    else:
        prefix = draw(st.sampled_from(sorted(SAMPLE_TYPES)))
        sample_type, channels = SAMPLE_TYPES[prefix], draw(st.integers(1, 25))
        encoding = f"{prefix}{channels}"
    size = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    image = draw(hnp.arrays(sample_type, size if channels == 1 else (*size, channels)))
    stamp_ns = draw(st.integers(0, 2**31 * 10**9 - 1))
    return Frame(stamp_ns, image, encoding, draw(st.text(max_size=5)))


@given(frames())
@settings(deadline=None)
def test_read_image_returns_the_serialized_frame(frame: Frame) -> None:
    result = read_image(load_typestore().deserialize_cdr(serialize_image(frame), IMAGE))

    assert result.stamp_ns == frame.stamp_ns
    assert result.encoding == frame.encoding
    assert result.frame_id == frame.frame_id
    assert result.image.dtype == frame.image.dtype
    np.testing.assert_array_equal(result.image, frame.image)


def test_read_image_accepts_padded_big_endian_rows() -> None:
    message = make_image_message(np.array([[1, 2], [3, 4]], np.uint16), "mono16")
    message.is_bigendian = 1
    message.step = 6
    message.data = np.frombuffer(b"\0\1\0\2xx\0\3\0\4xx", np.uint8)

    np.testing.assert_array_equal(read_image(message).image, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("step", 1, "step is 1"), ("encoding", "yuv", "encoding 'yuv' is not known"), ("height", 0, "empty")],
)
def test_read_image_refuses_contradictory_messages(field: str, value: Any, reason: str) -> None:
    message = make_image_message(np.zeros((2, 2), np.uint8), "mono8")
    setattr(message, field, value)

    with pytest.raises(FrameRefusedError, match=reason):
        read_image(message)


@given(st.integers(1, 5), st.integers(1, 5), st.booleans(), st.integers(0, 15))
@settings(deadline=None)
def test_read_spectral_info_returns_the_serialized_info(
    rows: int, columns: int, is_mosaic: bool, calibration: int
) -> None:
    num_bands = rows * columns
    info = SpectralInfo(
        wavelengths_nm=tuple(400.0 + 10 * i for i in range(num_bands)),
        fwhm_nm=(15.0,) * num_bands,
        mosaic=(rows, columns) if is_mosaic else None,
        band_order=tuple(reversed(range(num_bands))) if is_mosaic else (),
        bit_depth=10,
        black_level=12.0,
        saturation_level=1023.0,
        calibration=Calibration(calibration),
    )

    data = serialize_spectral_info(info, 5, "camera")

    assert read_spectral_info(load_typestore().deserialize_cdr(data, SPECTRAL_INFO)) == info
