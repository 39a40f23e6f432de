"""Result files as trackers publish them: read as they are meant, or refused with their name and line."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.datasets.result_files import (
    find_results,
    is_one_target,
    read_boxes,
    read_tracks,
    write_boxes,
    write_tracks,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.multi_object import ScoredBoxes

numbers = st.floats(-1e4, 1e4, allow_nan=False)
sizes = st.floats(0, 1e4)


def written(folder: Path, text: str, name: str = "car.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@given(st.lists(st.tuples(numbers, numbers, sizes, sizes) | st.just((np.nan,) * 4), min_size=1, max_size=9))
@settings(deadline=None, max_examples=50)
def test_boxes_come_back_as_they_were_written(boxes):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "car.txt"
        write_boxes(path, np.array(boxes))
        assert is_one_target(path)
        np.testing.assert_array_equal(read_boxes(path, len(boxes)), boxes)


kinds = st.integers(0, 3)
row = st.tuples(kinds, st.integers(0, 9), numbers, numbers, sizes, sizes, st.floats(0, 1), kinds)
rows = st.lists(row, unique_by=lambda row: row[:2], max_size=12)


@given(rows)
@settings(deadline=None, max_examples=50)
def test_tracks_come_back_as_they_were_written(items):
    frames = []
    for number in range(4):
        here = [item for item in items if item[0] == number]
        frames.append(
            ScoredBoxes(
                np.array([item[1] for item in here], np.int64),
                np.array([item[2:6] for item in here]).reshape(-1, 4),
                np.array([item[6] for item in here], np.float64),
                np.array([item[7] for item in here], np.int64),
            )
        )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "001.txt"
        write_tracks(path, frames)
        assert not is_one_target(path)
        again = read_tracks(path, 4)
    for one, other in zip(frames, again, strict=True):
        for name in ("ids", "boxes", "scores", "class_ids"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_heading_that_is_skipped_shifts_nothing(tmp_path):
    path = written(tmp_path, "x y w h\n1 2 3 4\n5 6 7 8\n")
    np.testing.assert_array_equal(read_boxes(path, 2, malformed="skip"), [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("mot", "1,7,1.5,2,3,4,0.25,-1,-1,-1"),
        ("satvideodt", "1,7,1.5,2,3,4,1,3,1"),
        ("satmtb", "1,7,1.5,2,3,4,1,3,1,0,0"),
        ("sdm-car", "1,7,1.5,2,3,4,1,-1,-1,-1"),
    ],
)
def test_submissions(tmp_path, form, row):
    objects = ScoredBoxes(np.array([7]), np.array([[1.5, 2, 3, 4]]), np.array([0.25]), np.array([2]))
    write_tracks(tmp_path / "001.txt", [objects], form=form)
    assert (tmp_path / "001.txt").read_text() == f"{row}\n"
    np.testing.assert_array_equal(read_tracks(tmp_path / "001.txt", 1)[0].boxes, objects.boxes)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("1 2 3 4\n1 2 3\n", 2, "3 columns, the first line has 4"),
        ("1\t2\t3\t4\t\n1,x,3,4\n", 2, "not numbers"),
        ("x,y,w,h\n1,2,3,4\n1,2,3,4\n", 1, "a heading"),
        ("1,2,3,4\n", 1, "1 boxes for 2 frames"),
        ("1,2,3,4\n1,2,3,4\n5,6,7,8\n", 3, "3 boxes for 2 frames"),
    ],
)
def test_doubtful_boxes_are_named(tmp_path, text, line, reason):
    with pytest.raises(SourceError, match=rf"car\.txt:{line}: .*{reason}"):
        read_boxes(written(tmp_path, text), 2)


def test_skipped_boxes_are_failures(tmp_path):
    boxes = read_boxes(written(tmp_path, "1 2 3 4\n1 2 3\n0 0 0 0\n"), 4, malformed="skip")
    np.testing.assert_array_equal(boxes, [[1, 2, 3, 4], [np.nan] * 4, [0, 0, 0, 0], [np.nan] * 4])


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("0,1,5,5,5,5,1\n", 1, "frames count from 1 to 3"),
        ("1,1,5,5,5,5,1\n4,1,5,5,5,5,1\n", 2, "frames count from 1 to 3"),
        ("1,1,5,5,5,5,1\n1,1,9,9,5,5,1\n", 2, "object 1 is in frame 1 twice"),
        ("1,-1,5,5,5,5,1\n", 1, "id -1 is not a whole number"),
        ("1,1,5,nan,5,5,1\n", 1, "no number"),
        ("1,1,5,5,-5,5,1\n", 1, "a box of -5 x 5"),
    ],
)
def test_doubtful_tracks_are_named(tmp_path, text, line, reason):
    path = written(tmp_path, text)
    with pytest.raises(SourceError, match=rf"car\.txt:{line}: .*{reason}"):
        read_tracks(path, 3)
    assert sum(len(frame.ids) for frame in read_tracks(path, 3, malformed="skip")) == text.count("\n") - 1


def test_an_empty_file_tracks_nothing(tmp_path):
    path = written(tmp_path, "")
    assert not is_one_target(path)
    assert [len(frame.ids) for frame in read_tracks(path, 2)] == [0, 0]


def test_boxes_of_the_otb_toolkit(tmp_path):
    boxes = np.arange(12.0).reshape(3, 4) + 1
    cell = np.empty((1, 1), object)
    cell[0, 0] = {"res": boxes, "type": "rect"}
    scipy.io.savemat(tmp_path / "otb.mat", {"results": cell})
    scipy.io.savemat(tmp_path / "plain.mat", {"boxes": boxes, "fps": 25.0})
    for name in ("otb.mat", "plain.mat"):
        np.testing.assert_array_equal(read_boxes(tmp_path / name, 3), boxes)
    with pytest.raises(SourceError, match="3 boxes for 2 frames"):
        read_boxes(tmp_path / "otb.mat", 2)


@pytest.mark.parametrize(
    ("file", "video"),
    [
        ("car.txt", "car"),
        ("Car_SEE-Net.txt", "car"),
        ("hanet_car.mat", "car"),
        ("pedestrian2.txt", "pedestrain2"),
        ("trucker.txt", "truck"),
        ("airplane_11.txt", "airplane/11"),
        ("vis-car.txt", "vis/car"),
        ("HSI-NIR/car.txt", "nir/car"),
        ("car.txt", "vis/car"),
        ("car/001.txt", "car"),
        ("1-2.txt", "train/1-2"),
    ],
)
def test_results_are_found_by_name(tmp_path, file, video):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    path = written(tmp_path, "1 2 3 4\n", file)
    written(tmp_path, "1 2 3 4\n", "carpet.txt")
    assert find_results(tmp_path, [video, "bus"]) == {video: path}


def test_a_result_that_is_another_video_s_is_not_taken(tmp_path):
    path = written(tmp_path, "1 2 3 4\n", "car_2.txt")
    assert find_results(tmp_path, ["car", "car_2"]) == {"car_2": path}


def test_what_lies_beside_the_boxes_is_passed_over(tmp_path):
    path = written(tmp_path, "1 2 3 4\n", "car_SEE-Net.txt")
    for companion in ("car_SEE-Net_time.txt", "car_SEE-Net_confidence.txt"):
        written(tmp_path, "0.1\n", companion)
    assert find_results(tmp_path, ["car"]) == {"car": path}


def test_one_result_is_not_taken_for_two_videos(tmp_path):
    written(tmp_path, "1 2 3 4\n", "ball.txt")
    with pytest.raises(SourceError, match=r"ball\.txt may be the result of nir/ball and of vis/ball"):
        find_results(tmp_path, ["nir/ball", "vis/ball"])


def test_two_possible_results_are_refused(tmp_path):
    written(tmp_path, "1 2 3 4\n", "car_A.txt")
    written(tmp_path, "1 2 3 4\n", "car_B.txt")
    with pytest.raises(SourceError, match=r"car_A\.txt and car_B\.txt may both be the result of car"):
        find_results(tmp_path, ["car"])
