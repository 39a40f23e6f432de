"""Video files and folders of them as datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tracking_runtime.datasets import open_dataset
from tracking_runtime.datasets.conversion import write_folder
from tracking_runtime.datasets.sequences import find_source_path
from tracking_runtime.errors import SourceError

IMAGES = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(4)]
ROWS = "1,7,10,11,12,13,1,1,1\n2,7,11,11,12,13,1,1,1\n"


@pytest.fixture
def video(make_video: Callable[..., Path]) -> Path:
    path = make_video("a.mp4", IMAGES)
    path.with_name("a_gt.txt").write_text(ROWS)
    return path


def test_video_file_is_a_dataset_of_one_video(video: Path) -> None:
    (sequence,) = open_dataset(video)

    assert (sequence.name, len(sequence), sequence.rate_hz) == ("a", 4, 25)
    assert [len(truth.ids) for truth in sequence.truth if truth] == [1, 1, 0, 0]
    assert find_source_path(sequence) == video.resolve()


def test_class_names_and_skipped_rows_reach_the_truth(video: Path) -> None:
    video.with_name("a_gt.txt").write_text(ROWS + "3,7,x,11,12,13,1,2,1\n")

    (sequence,) = open_dataset(video, class_names=("car", "ship"), on_invalid_row="skip")

    assert sequence.class_names == ("car", "ship")
    assert sequence.truth[2] is None
    (strict,) = open_dataset(video)
    with pytest.raises(SourceError, match=r"a_gt\.txt:3"):
        list(strict.truth)


def test_folder_of_video_files_is_a_dataset(video: Path, make_video: Callable[..., Path]) -> None:
    make_video("b.mkv", IMAGES[:2])
    (video.parent / "._a.mp4").write_bytes(b"hidden")

    sequences = open_dataset(video.parent)

    assert [(sequence.name, len(sequence)) for sequence in sequences] == [("a", 4), ("b", 2)]


def test_broken_file_among_others_fails_alone(video: Path) -> None:
    (video.parent / "broken.mp4").write_bytes(video.read_bytes()[:-300])

    good, broken = open_dataset(video.parent)

    assert len(list(good)) == 4
    with pytest.raises(SourceError, match=r"broken\.mp4 was cut off"):
        list(broken.truth)


def test_video_becomes_a_folder_with_its_stamps(video: Path, tmp_path: Path) -> None:
    (sequence,) = open_dataset(video)

    stamps_ns = list(write_folder(sequence, tmp_path / "folder"))
    (converted,) = open_dataset(tmp_path / "folder")

    assert stamps_ns == [frame.stamp_ns for frame in converted] == [frame.stamp_ns for frame in sequence]
    for frame, original in zip(converted, sequence, strict=True):
        np.testing.assert_array_equal(frame.image, original.image)
