"""Conversion of datasets to bags and back: boxes, ids, classes, stamps and pixels stay unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader

from tracking_runtime.bags import BagReader
from tracking_runtime.cli import rstrack
from tracking_runtime.datasets.conversion import write_folder
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.source_recorder import record_source
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.image_encodings import parse_encoding
from tracking_runtime.spectral_info import SpectralInfo

CLASS_NAMES = ("car", "ship")


class FakeSource:
    """A source of given frames.

    Args:
        frames: frames of the source.
        spectral_info: bands of the camera.
    """

    name, rate_hz, class_names = "fake", 10.0, CLASS_NAMES

    def __init__(self, frames: list[Frame], spectral_info: SpectralInfo | None = None) -> None:
        self._frames = frames
        self.spectral_info = spectral_info

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)


values = st.floats(-1e6, 1e6, allow_nan=False)
box = st.tuples(values, values, st.floats(0.001, 1e6), st.floats(0.001, 1e6))
objects = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 1), box), max_size=4, unique_by=lambda item: item[0]
)
encodings = st.sampled_from(
    ["mono8", "mono16", "bgr8", "rgb8", "8UC1", "8UC3", "8UC16", "16UC3", "16UC25", "32FC1", "32FC9"]
)
shapes = st.tuples(st.integers(2, 9), st.integers(2, 9))
periods = st.lists(st.integers(1, 10**9), min_size=1, max_size=4)


@st.composite
def frames(draw) -> list[Frame]:
    encoding, shape = draw(encodings), draw(shapes)
    dtype, num_channels = parse_encoding(encoding)
    image_shape = shape if num_channels == 1 else (*shape, num_channels)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    drawn = []
    for stamp_ns in np.cumsum(draw(periods)):
        image = (rng.random(image_shape) * 255).astype(dtype)
        drawn.append(Frame(int(stamp_ns), image, encoding, truth=make_truth(draw(st.none() | objects))))
    return drawn


def make_truth(rows: list[tuple] | None) -> GroundTruth | None:
    if rows is None:
        return None
    return GroundTruth(
        np.array([identity for identity, _, _ in rows], np.int64),
        np.array([class_id for _, class_id, _ in rows], np.uint8),
        np.array([box for _, _, box in rows], np.float64).reshape(-1, 4),
    )


def assert_equal_frames(frames: list[Frame], expected: list[Frame]) -> None:
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in expected]
    for frame, expected_frame in zip(frames, expected, strict=True):
        assert frame.encoding == expected_frame.encoding
        np.testing.assert_array_equal(frame.image, expected_frame.image)
        assert (frame.truth is None) == (expected_frame.truth is None)
        if frame.truth is not None and expected_frame.truth is not None:
            for name in ("ids", "class_ids", "boxes"):
                np.testing.assert_array_equal(getattr(frame.truth, name), getattr(expected_frame.truth, name))


@pytest.mark.slow
@given(frames())
@settings(max_examples=40, deadline=None)
def test_folder_to_bag_to_folder_is_lossless(original):
    with TemporaryDirectory() as temporary:
        root = Path(temporary)

        # Frames to a folder
        list(write_folder(FakeSource(original), root / "first"))
        (folder,) = open_dataset(root / "first")
        assert_equal_frames(list(folder), original)
        camera = open_source(f"folder:{root / 'first'}")
        assert_equal_frames(list(camera), original)
        assert (camera.rate_hz, camera.class_names) == (folder.rate_hz, CLASS_NAMES)

        # Folder to a bag
        list(record_source(folder, root / "bag"))
        (bag,) = open_dataset(root / "bag")
        assert_equal_frames(list(bag), original)

        # Bag to a folder
        list(write_folder(bag, root / "second"))
        (second,) = open_dataset(root / "second")
        assert_equal_frames(list(second), original)


@pytest.fixture
def benchmark(tmp_path) -> Path:
    """Two mosaic videos in the layout of HOT 2020, in the folder `hot`."""
    for name in ("car", "coke"):
        folder = tmp_path / "hot" / name / "HSI"
        folder.mkdir(parents=True)
        for number in range(1, 4):
            cv2.imwrite(str(folder / f"{number:04d}.png"), np.full((8, 12), 99 * number, np.uint16))
        (folder / "groundtruth_rect.txt").write_text("0\t1\t2\t1\t\n" * 3)
    return tmp_path


@pytest.fixture
def converted_folder(tmp_path) -> Path:
    """A folder of one frame, written by `write_folder`."""
    list(write_folder(FakeSource([Frame(1, np.zeros((2, 2), np.uint8), "mono8")]), tmp_path / "new"))
    return tmp_path / "new"


def run_convert(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["convert", *map(str, arguments)])


def test_convert_writes_bags_that_rosbags_reads(benchmark):
    result = run_convert(benchmark / "hot", benchmark / "bags", "--compression", "zstd")

    assert result.exit_code == 0, result.output
    with AnyReader([benchmark / "bags" / "car"]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        messages = [reader.deserialize(data, connection.msgtype) for connection, _, data in reader.messages()]
    assert counts == {"/spectral_info": 1, "/image": 3, "/ground_truth": 3}
    assert sum(hasattr(message, "encoding") for message in messages) == 3
    assert BagReader(benchmark / "bags" / "car").is_complete


def test_convert_keeps_bands_and_truth(benchmark):
    to_bags = run_convert(benchmark / "hot", benchmark / "bags")
    to_folders = run_convert(benchmark / "bags", benchmark / "folders", "--to", "folder")

    assert to_bags.exit_code == 0, to_bags.output
    assert to_folders.exit_code == 0, to_folders.output
    bag, _ = open_dataset(benchmark / "bags")
    folder, _ = open_dataset(benchmark / "folders")
    assert bag.spectral_info.mosaic == (4, 4)
    assert [truth.boxes.tolist() for truth in bag.truth] == [[[0, 1, 2, 1]]] * 3
    assert (folder.name, folder.spectral_info.mosaic) == ("car", (4, 4))
    assert_equal_frames(list(folder), list(bag))


def test_convert_overwrites_nothing(benchmark):
    first = run_convert(benchmark / "hot", benchmark / "bags")
    second = run_convert(benchmark / "hot", benchmark / "bags")

    assert first.exit_code == 0
    assert second.exit_code == 1
    assert "exists already" in second.output


def test_write_folder_overwrites_nothing(converted_folder):
    with pytest.raises(SourceError, match="exists already"):
        list(write_folder(FakeSource([]), converted_folder))


def test_description_of_other_images_is_refused(converted_folder):
    (converted_folder / "img" / "000001.png").rename(converted_folder / "img" / "7.png")
    cv2.imwrite(str(converted_folder / "img" / "8.png"), np.zeros((2, 2), np.uint8))

    with pytest.raises(SourceError, match=r"video\.yaml: 1 stamps for 2 images"):
        open_dataset(converted_folder)


def test_image_of_another_encoding_than_described_is_refused(converted_folder):
    cv2.imwrite(str(converted_folder / "img" / "000001.png"), np.zeros((2, 2, 3), np.uint8))
    (video,) = open_dataset(converted_folder)

    with pytest.raises(SourceError, match=r"000001\.png must have 1 channels of uint8, because video\.yaml"):
        list(video)
    with pytest.raises(SourceError, match=r"000001\.png must have 1 channels of uint8"):
        list(open_source(f"folder:{converted_folder}"))


@pytest.mark.parametrize(
    "text",
    [
        "rate_hz: .nan\nencoding: mono8\nclass_names: []\nwithout_truth: []\nstamps_ns: [1]\n",
        "rate_hz: 10\nencoding: mono9\nclass_names: []\nwithout_truth: []\nstamps_ns: [1]\n",
        "rate_hz: 10\nencoding: mono8\nclass_names: []\nwithout_truth: []\nstamps_ns: [-1]\n",
        "rate_hz: 10\nencoding: mono8\nclass_names: []\nwithout_truth: []\nstamps_ns: [1.5e300]\n",
        "[" * 5000,
        "\0",
        "a: !!python/object/apply:os.system [ls]",
    ],
)
def test_description_with_impossible_values_is_refused(converted_folder, text):
    (converted_folder / "video.yaml").write_text(text)

    with pytest.raises(SourceError, match=r"video\.yaml does not describe a video"):
        open_dataset(converted_folder)


def test_invalid_description_is_refused(converted_folder):
    (converted_folder / "video.yaml").write_text("rate_hz: [1]")

    with pytest.raises(SourceError, match=r"video\.yaml does not describe a video"):
        open_dataset(converted_folder)
