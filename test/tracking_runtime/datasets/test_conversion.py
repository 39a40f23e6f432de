"""Dataset to bag to dataset, and back to a bag: boxes, ids, classes, stamps and pixels stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader

from tracking_runtime.bags import BagReader
from tracking_runtime.bags.source_recorder import record
from tracking_runtime.commands.convert import convert
from tracking_runtime.datasets.conversion import write_folder
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.image_encodings import parse_encoding
from tracking_runtime.spectral_info import SpectralInfo

NAMES = ("car", "ship")


class Made:
    """A source of frames that are given."""

    name, rate_hz, class_names = "made", 10.0, NAMES

    def __init__(self, frames: list[Frame], info: SpectralInfo | None = None) -> None:
        self._frames, self.spectral_info = frames, info

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
steps = st.lists(st.integers(1, 10**9), min_size=1, max_size=4)


@st.composite
def frames(draw) -> list[Frame]:
    encoding, shape = draw(encodings), draw(shapes)
    dtype, channels = parse_encoding(encoding)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    made = []
    for stamp in np.cumsum(draw(steps)):
        shape_of_all = shape if channels == 1 else (*shape, channels)
        image = (rng.random(shape_of_all) * 255).astype(dtype)
        here = draw(st.none() | objects)
        truth = here if here is None else GroundTruth(
            np.array([number for number, _, _ in here], np.int64),
            np.array([kind for _, kind, _ in here], np.uint8),
            np.array([box for _, _, box in here], np.float64).reshape(-1, 4),
        )  # fmt: skip
        made.append(Frame(int(stamp), image, encoding, truth=truth))
    return made


def assert_same(found: list[Frame], expected: list[Frame]) -> None:
    assert [frame.stamp_ns for frame in found] == [frame.stamp_ns for frame in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.encoding == other.encoding
        np.testing.assert_array_equal(one.image, other.image)
        assert (one.truth is None) == (other.truth is None)
        if one.truth is not None and other.truth is not None:
            for name in ("ids", "class_ids", "boxes"):
                np.testing.assert_array_equal(getattr(one.truth, name), getattr(other.truth, name))


@given(frames())
@settings(max_examples=40, deadline=None)
def test_folder_to_bag_to_folder_loses_nothing(made):
    with TemporaryDirectory() as place:
        root = Path(place)
        list(write_folder(Made(made), root / "first"))
        (folder,) = open_dataset(root / "first")
        assert_same(list(folder), made)
        camera = open_source(f"folder:{root / 'first'}")
        assert_same(list(camera), made)
        assert (camera.rate_hz, camera.class_names) == (folder.rate_hz, NAMES)
        list(record(folder, root / "bag"))
        (bag,) = open_dataset(root / "bag")
        assert_same(list(bag), made)
        list(write_folder(bag, root / "second"))
        (again,) = open_dataset(root / "second")
        assert_same(list(again), made)


@pytest.fixture
def benchmark(tmp_path) -> Path:
    """Two mosaic videos as HOT 2020 has them."""
    for name in ("car", "coke"):
        folder = tmp_path / "hot" / name / "HSI"
        folder.mkdir(parents=True)
        for number in range(1, 4):
            cv2.imwrite(str(folder / f"{number:04d}.png"), np.full((8, 12), 99 * number, np.uint16))
        (folder / "groundtruth_rect.txt").write_text("0\t1\t2\t1\t\n" * 3)
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(convert, [str(argument) for argument in arguments])


def test_a_benchmark_becomes_bags_that_rosbags_opens_and_folders_again(benchmark):
    result = run(benchmark / "hot", benchmark / "bags", "--compression", "zstd")
    assert result.exit_code == 0, result.output
    with AnyReader([benchmark / "bags" / "car"]) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
        assert counts == {"/spectral_info": 1, "/image": 3, "/ground_truth": 3}
        messages = [reader.deserialize(data, c.msgtype) for c, _, data in reader.messages()]
        assert sum(hasattr(message, "encoding") for message in messages) == 3
    assert BagReader(benchmark / "bags" / "car").complete
    car, _ = open_dataset(benchmark / "bags")
    assert car.spectral_info.mosaic == (4, 4)
    assert [truth.boxes.tolist() for truth in car.truth] == [[[0, 1, 2, 1]]] * 3
    result = run(benchmark / "bags", benchmark / "folders", "--to", "folder")
    assert result.exit_code == 0, result.output
    folder, _ = open_dataset(benchmark / "folders")
    assert folder.name == "car" and folder.spectral_info.mosaic == (4, 4)
    assert_same(list(folder), list(car))


def test_nothing_is_overwritten(benchmark):
    assert run(benchmark / "hot", benchmark / "bags").exit_code == 0
    again = run(benchmark / "hot", benchmark / "bags")
    assert again.exit_code == 1 and "exists already" in again.output
    list(write_folder(Made([Frame(1, np.zeros((2, 2), np.uint8), "mono8")]), benchmark / "new"))
    with pytest.raises(SourceError, match="exists already"):
        list(write_folder(Made([]), benchmark / "new"))


def test_a_description_that_does_not_fit_is_named(benchmark):
    list(write_folder(Made([Frame(1, np.zeros((2, 2), np.uint8), "mono8")]), benchmark / "new"))
    (benchmark / "new" / "img" / "000001.png").rename(benchmark / "new" / "img" / "7.png")
    cv2.imwrite(str(benchmark / "new" / "img" / "8.png"), np.zeros((2, 2), np.uint8))
    with pytest.raises(SourceError, match=r"video\.yaml: 1 stamps for 2 images"):
        open_dataset(benchmark / "new")
    (benchmark / "new" / "video.yaml").write_text("rate_hz: [1]")
    with pytest.raises(SourceError, match=r"video\.yaml does not describe a video"):
        open_dataset(benchmark / "new")
