"""Result files as trackers publish them: read, or refused with file name and line."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.boxes import ScoredBoxes
from tracking_runtime.datasets.result_files import (
    find_results,
    is_single_target,
    read_boxes,
    read_tracks,
    write_boxes,
    write_tracks,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.io.notes import collect_notes

positions = st.floats(-1e4, 1e4, allow_nan=False)
sizes = st.floats(0, 1e4)
class_ids = st.integers(0, 3)
rows = st.lists(
    st.tuples(
        st.integers(0, 3),  # frame
        st.integers(0, 9),  # id
        positions,
        positions,
        sizes,
        sizes,
        st.floats(0, 1),  # score
        class_ids,
    ),
    unique_by=lambda row: row[:2],
    max_size=12,
)


def write_file(folder: Path, text: str, name: str = "car.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def make_frame(rows: list[tuple]) -> ScoredBoxes:
    return ScoredBoxes(
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2:6] for row in rows]).reshape(-1, 4),
        np.array([row[6] for row in rows], np.float64),
        np.array([row[7] for row in rows], np.int64),
    )


@given(
    st.lists(st.tuples(positions, positions, sizes, sizes) | st.just((np.nan,) * 4), min_size=1, max_size=9)
)
@settings(deadline=None, max_examples=50)
def test_boxes_survive_writing_and_reading(boxes):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "car.txt"
        write_boxes(path, np.array(boxes))

        assert is_single_target(path)
        np.testing.assert_array_equal(read_boxes(path, len(boxes)), boxes)


@given(rows)
@settings(deadline=None, max_examples=50)
def test_tracks_survive_writing_and_reading(rows):
    frames = [make_frame([row for row in rows if row[0] == number]) for number in range(4)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "001.txt"
        write_tracks(path, frames)

        assert not is_single_target(path)
        read_frames = read_tracks(path, 4)

    for frame, read_frame in zip(frames, read_frames, strict=True):
        for name in ("ids", "boxes", "scores", "class_ids"):
            np.testing.assert_array_equal(getattr(frame, name), getattr(read_frame, name))


def test_skipped_header_does_not_shift_the_boxes(tmp_path):
    path = write_file(tmp_path, "x y w h\n1 2 3 4\n5 6 7 8\n")

    boxes = read_boxes(path, 2, on_invalid_row="skip")

    np.testing.assert_array_equal(boxes, [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("submission", "row"),
    [
        ("mot", "1,7,1.5,2,3,4,0.25,-1,-1,-1"),
        ("satvideodt", "1,7,1.5,2,3,4,1,3,1"),
        ("satmtb", "1,7,1.5,2,3,4,1,3,1,0,0"),
        ("sdm-car", "1,7,1.5,2,3,4,1,-1,-1,-1"),
    ],
)
def test_submission_has_columns_of_its_benchmark(tmp_path, submission, row):
    frame = make_frame([(0, 7, 1.5, 2, 3, 4, 0.25, 2)])
    path = tmp_path / "001.txt"

    write_tracks(path, [frame], submission=submission)

    assert path.read_text() == f"{row}\n"
    np.testing.assert_array_equal(read_tracks(path, 1)[0].boxes, frame.boxes)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("1 2 3 4\n1 2 3\n", 2, "3 columns, the first line has 4"),
        ("1\t2\t3\t4\t\n1,x,3,4\n", 2, "not numbers"),
        ("x,y,w,h\n1,2,3,4\n1,2,3,4\n", 1, "header"),
        ("1,2,3,4\n", 1, "1 boxes for 2 frames"),
        ("1,2,3,4\n1,2,3,4\n5,6,7,8\n", 3, "3 boxes for 2 frames"),
    ],
)
def test_invalid_box_names_file_and_line(tmp_path, text, line, reason):
    path = write_file(tmp_path, text)

    with pytest.raises(SourceError, match=rf"car\.txt:{line}: .*{reason}"):
        read_boxes(path, 2)


def test_skipped_boxes_are_failures(tmp_path):
    path = write_file(tmp_path, "1 2 3 4\n1 2 3\n0 0 0 0\n")

    boxes = read_boxes(path, 4, on_invalid_row="skip")

    np.testing.assert_array_equal(boxes, [[1, 2, 3, 4], [np.nan] * 4, [0, 0, 0, 0], [np.nan] * 4])


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("0,1,5,5,5,5,1\n3,1,5,5,5,5,1\n", 1, "frames count from 1 to 3"),
        ("0,1,5,5,0,0,1\n", 1, "frames count from 1 to 3"),
        ("1,1,5,5,5,5,1\n4,1,5,5,5,5,1\n", 2, "frames count from 1 to 3"),
        ("1,1,5,5,5,5,1\n1,1,9,9,5,5,1\n", 2, "object 1 is in frame 1 twice"),
        ("1,-1,5,5,5,5,1\n", 1, "id must be a whole number from 0: got -1"),
        ("1,1,5,nan,5,5,1\n", 1, "must be finite"),
        ("1,1,5,5,-5,5,1\n", 1, "width and height must not be negative: got -5 x 5"),
    ],
)
def test_invalid_track_names_file_and_line(tmp_path, text, line, reason):
    path = write_file(tmp_path, text)

    with pytest.raises(SourceError, match=rf"car\.txt:{line}: .*{reason}"):
        read_tracks(path, 3)
    tracks = read_tracks(path, 3, on_invalid_row="skip")
    assert sum(len(frame.ids) for frame in tracks) == text.count("\n") - 1


@pytest.mark.parametrize("num_frames", [3, None])
def test_frames_of_a_file_with_an_object_in_frame_0_count_from_0(tmp_path, num_frames):
    path = write_file(tmp_path, "2,7,5,5,5,5,1\n0,8,6,6,5,5,1\n")

    with collect_notes() as notes:
        tracks = read_tracks(path, num_frames)

    assert [frame.ids.tolist() for frame in tracks] == [[8], [], [7]]
    assert notes == [f"{path}: has an object in frame 0, so its frames are counted from 0"]


def test_empty_file_has_no_tracks(tmp_path):
    path = write_file(tmp_path, "")

    assert not is_single_target(path)
    assert [len(frame.ids) for frame in read_tracks(path, 2)] == [0, 0]


def test_mat_files_of_otb_toolkit_are_read(tmp_path):
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
def test_find_results_matches_by_name(tmp_path, file, video):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    path = write_file(tmp_path, "1 2 3 4\n", file)
    write_file(tmp_path, "1 2 3 4\n", "carpet.txt")

    results = find_results(tmp_path, [video, "bus"])

    assert results == {video: path}


def test_find_results_prefers_the_full_name(tmp_path):
    path = write_file(tmp_path, "1 2 3 4\n", "car_2.txt")

    assert find_results(tmp_path, ["car", "car_2"]) == {"car_2": path}


def test_find_results_ignores_companion_files(tmp_path):
    path = write_file(tmp_path, "1 2 3 4\n", "car_SEE-Net.txt")
    for companion in ("car_SEE-Net_time.txt", "car_SEE-Net_confidence.txt"):
        write_file(tmp_path, "0.1\n", companion)

    assert find_results(tmp_path, ["car"]) == {"car": path}


def test_find_results_leaves_hidden_files_out_and_takes_any_case(tmp_path):
    (tmp_path / "__MACOSX").mkdir()
    for name in ("car.TXT", "._car.txt", "__MACOSX/car.txt"):
        (tmp_path / name).touch()

    assert find_results(tmp_path, ["car"]) == {"car": tmp_path / "car.TXT"}


def test_blank_line_between_boxes_is_a_missing_box(tmp_path):
    path = write_file(tmp_path, "1;2,5;3;4\n\n5;6;7;8\n")

    boxes = read_boxes(path, 3, on_invalid_row="skip")

    np.testing.assert_array_equal(boxes, [[1, 2.5, 3, 4], [np.nan] * 4, [5, 6, 7, 8]])
    with pytest.raises(SourceError, match=r"car\.txt:2: the line is empty"):
        read_boxes(path, 3)


def test_find_results_refuses_one_file_for_two_videos(tmp_path):
    write_file(tmp_path, "1 2 3 4\n", "ball.txt")

    with pytest.raises(SourceError, match=r"ball\.txt may be the result of nir/ball and of vis/ball"):
        find_results(tmp_path, ["nir/ball", "vis/ball"])


def test_find_results_refuses_two_files_for_one_video(tmp_path):
    write_file(tmp_path, "1 2 3 4\n", "car_A.txt")
    write_file(tmp_path, "1 2 3 4\n", "car_B.txt")

    with pytest.raises(SourceError, match=r"car_A\.txt and car_B\.txt may both be the result of car"):
        find_results(tmp_path, ["car"])
