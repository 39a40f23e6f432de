from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("rclpy", reason="needs ROS 2")

from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from remote_sensing_tracking import msg
from std_msgs.msg import Header

from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import (
    read_spectral_info,
    read_truth,
    serialize_spectral_info,
    serialize_truth,
)
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.conversions.track_messages import FrameMetadata
from tracking_runtime.spectral_info import Calibration, SpectralInfo

pytestmark = pytest.mark.ros
METADATA = FrameMetadata(
    Header(stamp=track_messages.to_time(5_000_000_123), frame_id="camera"), 640, 480, epoch=3, latency_ns=42
)
single_floats = st.floats(-1e6, 1e6, width=32)


@dataclass(frozen=True)
class Target:
    id: int
    box: NDArray[np.float64]
    score: float = 0.5
    state: int = msg.TargetTrack.STATE_UNCERTAIN
    label: str = "ship"
    frames_since_seen: int = 2
    template_stamp_ns: int = 7_000_000_001


@given(st.integers(0, 2**62))
def test_time_round_trip_is_exact(nanoseconds: int) -> None:
    nanoseconds %= 2**31 * 10**9

    assert track_messages.to_nanoseconds(track_messages.to_time(nanoseconds)) == nanoseconds


@given(st.integers(0, 40), st.data())
def test_tracks_round_trip_is_lossless(num_tracks: int, data: st.DataObject) -> None:
    def draw(
        dtype: str, *shape: int, elements: st.SearchStrategy[float] | None = None
    ) -> NDArray[np.generic]:
        return data.draw(hnp.arrays(dtype, (num_tracks, *shape), elements=elements))

    tracks = SimpleNamespace(
        ids=np.arange(1, num_tracks + 1),
        class_ids=draw("uint8"),
        scores=draw("float32", elements=st.floats(0, 1, width=32)),
        boxes=draw("float64", 4, elements=single_floats),
        velocities=draw("float64", 2, elements=single_floats),
        states=draw("uint8", elements=st.integers(1, 3)),
        ages=draw("int32", elements=st.integers(0, 2**31 - 1)),
    )

    sent = track_messages.to_tracks(METADATA, ["car", "ship"], tracks)
    received = deserialize_message(serialize_message(sent), msg.TrackArray)

    assert (received.header, received.epoch, list(received.class_names)) == (
        METADATA.header,
        3,
        ["car", "ship"],
    )
    assert received.latency.nanosec == 42
    for name, values in vars(tracks).items():
        np.testing.assert_array_equal(getattr(received, name), values.ravel())


def test_targets_are_sorted_by_id() -> None:
    targets = [Target(2, np.array([1.0, 2, 3, 4])), Target(1, np.array([5.0, 6, 7, 8]))]

    message = track_messages.to_target_tracks(METADATA, targets)

    assert [track.id for track in message.tracks] == [1, 2]
    first = message.tracks[0]
    np.testing.assert_array_equal(track_messages.from_box(first.box), [5, 6, 7, 8])
    assert (first.score, first.state, first.label, first.frames_since_seen) == (0.5, 2, "ship", 2)
    assert track_messages.to_nanoseconds(first.template_stamp) == 7_000_000_001


def test_recorded_truth_is_readable_by_rclpy() -> None:
    truth = GroundTruth(
        np.array([3, 9]), np.array([0, 1], np.uint8), np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    )
    data = serialize_truth(truth, 5, "camera", (640, 480), ["car", "ship"])

    message = deserialize_message(data, msg.TrackArray)
    result = read_truth(message)

    np.testing.assert_array_equal(result.ids, truth.ids)
    np.testing.assert_array_equal(result.class_ids, truth.class_ids)
    np.testing.assert_array_equal(result.boxes, truth.boxes)

    message.ids = [1, 2, 3]
    with pytest.raises(FrameRefusedError, match="3 ids has 2 class_ids, not 3"):
        read_truth(message)


@pytest.mark.parametrize(
    "info",
    [
        SpectralInfo((500.0, 600.0, 700.0)),
        SpectralInfo(
            (500.0, 600.0, 700.0, 800.0),
            (10.0, 10.0, 12.5, 15.0),
            mosaic=(2, 2),
            band_order=(3, 2, 1, 0),
            bit_depth=10,
            black_level=64.0,
            saturation_level=1023.0,
            calibration=Calibration.DARK | Calibration.FLAT,
        ),
    ],
)
def test_recorded_bands_are_readable_by_rclpy(info: SpectralInfo) -> None:
    data = serialize_spectral_info(info, 5, "camera")

    assert read_spectral_info(deserialize_message(data, msg.SpectralInfo)) == info


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (msg.SpectralInfo(), "without wavelengths"),
        (msg.SpectralInfo(wavelengths=[500.0], mosaic_rows=4), "4 rows and 0 columns"),
        (msg.SpectralInfo(wavelengths=[500.0], mosaic_columns=3), "0 rows and 3 columns"),
        (msg.SpectralInfo(wavelengths=[500.0, 600.0], fwhm=[9.0]), "fwhm_nm must have 2 values"),
    ],
)
def test_inconsistent_bands_are_refused(message: msg.SpectralInfo, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_spectral_info(message)
