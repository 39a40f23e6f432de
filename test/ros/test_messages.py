from __future__ import annotations

from dataclasses import dataclass

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

from tracking_runtime.errors import FrameRefused
from tracking_runtime.frames import GroundTruth
from tracking_runtime.ros import messages
from tracking_runtime.ros.messages import FrameFacts, TrackRecord
from tracking_runtime.spectral import Calibration, SpectralInfo

FACTS = FrameFacts(
    Header(stamp=messages.to_time(5_000_000_123), frame_id="camera"), 640, 480, epoch=3, latency_ns=42
)
singles = st.floats(-1e6, 1e6, width=32)


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
def test_time_round_trip(nanoseconds: int) -> None:
    nanoseconds %= 2**31 * 10**9
    assert messages.stamp_ns(messages.to_time(nanoseconds)) == nanoseconds


@given(st.integers(0, 40), st.data())
def test_tracks_survive_the_wire(count: int, data: st.DataObject) -> None:
    def draw(
        dtype: str, *shape: int, elements: st.SearchStrategy[float] | None = None
    ) -> NDArray[np.generic]:
        return data.draw(hnp.arrays(dtype, (count, *shape), elements=elements))

    tracks = TrackRecord(
        np.arange(1, count + 1),
        draw("uint8"),
        draw("float32", elements=st.floats(0, 1, width=32)),
        draw("float64", 4, elements=singles),
        draw("float64", 2, elements=singles),
        draw("uint8", elements=st.integers(1, 3)),
        draw("int32", elements=st.integers(0, 2**31 - 1)),
    )
    sent = messages.to_tracks(FACTS, ["car", "ship"], tracks)
    received = deserialize_message(serialize_message(sent), msg.TrackArray)
    assert (received.header, received.epoch, list(received.class_names)) == (FACTS.header, 3, ["car", "ship"])
    assert received.latency.nanosec == 42
    result = messages.from_tracks(received)
    for name, values in vars(tracks).items():
        np.testing.assert_array_equal(getattr(result, name), values)


def test_targets_are_ascending_by_id() -> None:
    targets = [Target(2, np.array([1.0, 2, 3, 4])), Target(1, np.array([5.0, 6, 7, 8]))]
    message = messages.to_target_tracks(FACTS, targets)
    assert [track.id for track in message.tracks] == [1, 2]
    first = message.tracks[0]
    np.testing.assert_array_equal(messages.from_box(first.box), [5, 6, 7, 8])
    assert (first.score, first.state, first.label, first.frames_since_seen) == (0.5, 2, "ship", 2)
    assert messages.stamp_ns(first.template_stamp) == 7_000_000_001


def test_ground_truth_round_trip() -> None:
    truth = GroundTruth(
        np.array([3, 9]), np.array([0, 1], np.uint8), np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    )
    result = messages.from_ground_truth(messages.to_ground_truth(FACTS, ["car", "ship"], truth))
    np.testing.assert_array_equal(result.ids, truth.ids)
    np.testing.assert_array_equal(result.class_ids, truth.class_ids)
    np.testing.assert_array_equal(result.boxes, truth.boxes)


def test_tracks_of_unequal_arrays_are_refused() -> None:
    message = messages.to_ground_truth(FACTS, [], GroundTruth())
    message.ids = [1, 2]
    with pytest.raises(FrameRefused, match="2 ids has 0 class_ids, not 2"):
        messages.from_tracks(message)


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
def test_spectral_info_round_trip(info: SpectralInfo) -> None:
    sent = messages.to_spectral_info(info, Header())
    assert messages.from_spectral_info(deserialize_message(serialize_message(sent), msg.SpectralInfo)) == info


def test_spectral_info_without_bands_is_refused() -> None:
    with pytest.raises(ValueError, match="without wavelengths"):
        messages.from_spectral_info(msg.SpectralInfo())
