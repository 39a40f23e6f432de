"""Recordings as sources of frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracking_runtime.bags import BagWriter
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.conversion import (
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    serialize_image,
    serialize_spectral_info,
    serialize_truth,
)
from tracking_runtime.spectral_info import SpectralInfo

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
