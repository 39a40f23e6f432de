"""Ground truth files are read as their format says; invalid rows are refused with file and line."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.io.ground_truth import (
    find_ground_truth,
    find_stated_truth,
    read_ground_truth,
    read_source_truth,
)
from tracking_runtime.io.notes import collect_notes

COORDINATES = st.floats(-500, 5000, allow_nan=False).map(lambda value: round(value, 2))
SIZES = st.floats(0.5, 800).map(lambda value: round(value, 2))
BOXES = st.tuples(COORDINATES, COORDINATES, SIZES, SIZES)
# Frame, id, box and class number of each object.
OBJECTS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 9), BOXES, st.integers(1, 3)),
    min_size=1,
    max_size=25,
    unique_by=lambda item: item[:2],
)


def write_file(folder: Path, text: str, name: str = "groundtruth_rect.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@given(st.lists(st.none() | BOXES, min_size=1, max_size=20), st.sampled_from([",", "\t", " ", ", ", ";"]))
@settings(deadline=None, max_examples=60)
def test_single_target_has_one_line_per_frame(rows, separator):
    lines = [separator.join(str(value) for value in row or (-1, -1, -1, -1)) for row in rows]

    with TemporaryDirectory() as folder:
        truth = read_ground_truth(write_file(Path(folder), "\n".join(lines) + "\t\n"), len(rows))

    for row, frame_truth in zip(rows, truth, strict=True):
        assert frame_truth is not None
        assert frame_truth.boxes.tolist() == ([list(row)] if row else [])
        assert frame_truth.ids.tolist() == ([1] if row else [])


@given(OBJECTS)
@settings(deadline=None, max_examples=60)
def test_objects_have_one_line_each(objects):
    lines = [f"{frame},{id_},{','.join(map(str, box))},1,{kind},1" for frame, id_, box, kind in objects]

    with TemporaryDirectory() as folder:
        path = write_file(Path(folder), "\n".join(lines), "gt.txt")
        truth = read_ground_truth(path, 6, class_names=("car", "ship", "plane"))

    for frame, frame_truth in enumerate(truth, start=1):
        expected = [item for item in objects if item[0] == frame]
        assert frame_truth is not None
        assert frame_truth.ids.tolist() == [item[1] for item in expected]
        assert frame_truth.boxes.tolist() == [list(item[2]) for item in expected]
        assert frame_truth.class_ids.tolist() == [item[3] - 1 for item in expected]


def test_corners_become_upright_box_of_the_same_area(tmp_path):
    text = "10,0,20,10,10,20,0,10\n3,4,13,4,13,9,3,9\n5,5,5,5,5,5,5,5\n"
    path = write_file(tmp_path, text, "groundtruth.txt")

    rotated, upright, without_area = read_ground_truth(path, 3, on_invalid_row="skip")

    side = np.sqrt(200)
    np.testing.assert_allclose(rotated.boxes, [[10 - side / 2, 10 - side / 2, side, side]])
    np.testing.assert_allclose(upright.boxes, [[3, 4, 10, 5]])
    assert without_area is None


def test_nan_box_means_absent_target(tmp_path):
    path = write_file(tmp_path, "NaN,NaN,NaN,NaN")

    assert len(read_ground_truth(path, 1)[0].ids) == 0


@pytest.mark.parametrize("num_frames", [3, None])
def test_frames_of_a_file_with_an_object_in_frame_0_count_from_0(tmp_path, num_frames):
    path = write_file(tmp_path, "2,7,5,5,5,5\n0,8,6,6,5,5\n", "gt.txt")

    with collect_notes() as notes:
        truth = read_ground_truth(path, num_frames)

    assert [frame.ids.tolist() for frame in truth] == [[8], [], [7]]
    assert notes == [f"{path}: has an object in frame 0, so its frames are counted from 0"]


def test_object_with_zero_confidence_is_left_out(tmp_path):
    path = write_file(tmp_path, "1,7,5,5,5,5,0\n1,8,5,5,5,5,1", "gt.txt")

    assert read_ground_truth(path, 1)[0].ids.tolist() == [8]


@pytest.mark.parametrize(
    ("name", "text", "num_frames", "line", "reason"),
    [
        ("groundtruth_rect.txt", "1 2 3 4\n1 2 3\n", 2, 2, "3 columns, the first line has 4"),
        ("groundtruth_rect.txt", "1 2 3 4\n\n1 2 x 4\n", 2, 3, "not numbers"),
        ("groundtruth_rect.txt", "1 2 3 4\n5 0 0 0\n", 2, 2, "positive width and height: got 5, 0, 0, 0"),
        ("groundtruth_rect.txt", "1 2 3 4\n1 nan 3 4\n", 2, 2, "box must be finite"),
        ("groundtruth_rect.txt", "1 2 3 4\n5 6 7 8\n", 3, 2, "2 lines of ground truth for 3 frames"),
        ("groundtruth_rect.txt", "1 2 3 4\n5 6 7 8\n", 1, 2, "2 lines of ground truth for 1 frames"),
        ("gt.txt", "2,1,0,0,5,5\n0,1,0,0,5,5\n", 2, 2, "frames count from 1 to 2"),
        ("gt.txt", "1,1,0,0,5,5\n0,0,0,0,0,0\n", 2, 2, "frames count from 1 to 2"),
        ("gt.txt", "1,1,0,0,5,5\n3,1,0,0,5,5\n", 2, 2, "frames count from 1 to 2"),
        ("gt.txt", "1,1,0,0,5,5\n1,1,9,9,5,5\n", 2, 2, "object 1 is in frame 1 twice"),
        ("gt.txt", "1,1,0,0,5,5\n1,2.5,9,9,5,5\n", 2, 2, "not a whole number"),
        ("gt.txt", "1,1,0,0,5,5\n1,2,9,9,-5,5\n", 2, 2, "positive width and height"),
        ("gt.txt", "1,1,0,0,5,5\nnan,2,9,9,5,5\n", 2, 2, "must be finite numbers"),
        ("gt.txt", "1,1,0,0,5,5,1,9\n", 2, 1, "classes are 1 to 2"),
        ("gt.txt", "1,1,0\n", 2, 1, "3 columns, expected"),
        ("groundtruth_rect.txt", "x y w h\n1 2 3 4\n1 2 3 4\n", 2, 1, "got the header"),
    ],
)
def test_invalid_row_is_named_with_its_line(tmp_path, name, text, num_frames, line, reason):
    path = write_file(tmp_path, text, name)

    with pytest.raises(SourceError, match=rf"{path.name}:{line}: .*{reason}"):
        read_ground_truth(path, num_frames, class_names=("car", "ship"))


def test_empty_or_binary_file_is_refused(tmp_path):
    with pytest.raises(SourceError, match="file is empty"):
        read_ground_truth(write_file(tmp_path, "\n \n"), 1)

    path = tmp_path / "gt.txt"
    path.write_bytes(b"\xff\x00\xfe")
    with pytest.raises(SourceError, match=r"gt\.txt cannot be read as text"):
        read_ground_truth(path, 1)


def test_skipped_box_leaves_its_frame_without_truth(tmp_path):
    path = write_file(tmp_path, "1 2 3 4\n9 0 0 0\n5 6 7 8\n")

    truth = read_ground_truth(path, 4, on_invalid_row="skip")

    boxes = [None if frame is None else frame.boxes.tolist() for frame in truth]
    assert boxes == [[[1, 2, 3, 4]], None, [[5, 6, 7, 8]], None]


def test_skipped_duplicate_leaves_its_frame_without_truth(tmp_path):
    text = "1,1,0,0,5,5\n2,1,0,0,5,5\n02,1,0,0,5,5\n3,1,0,0,5,5\n"
    path = write_file(tmp_path, text, "gt.txt")

    truth = read_ground_truth(path, 3, on_invalid_row="skip")

    assert [frame is None for frame in truth] == [False, True, False]


def test_skipped_header_does_not_shift_the_frames(tmp_path):
    path = write_file(tmp_path, "x y w h\n1 2 3 4\n5 6 7 8\n")

    truth = read_ground_truth(path, 2, on_invalid_row="skip")

    assert [frame.boxes.tolist() for frame in truth if frame] == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


def test_find_ground_truth_prefers_the_folder_to_its_parent(tmp_path):
    images = tmp_path / "img"
    images.mkdir()
    assert find_ground_truth(images) is None

    in_parent = write_file(tmp_path, "", "gt.txt")
    assert find_ground_truth(images) == in_parent

    in_folder = write_file(images, "", "groundtruth_rect.txt")
    assert find_ground_truth(images) == in_folder


def test_find_ground_truth_beside_another_folder_is_only_told(tmp_path):
    images = tmp_path / "clip7"
    images.mkdir()
    path = write_file(tmp_path, "notes about all clips", "gt.txt")

    with collect_notes() as notes:
        found = find_ground_truth(images)

    assert found is None
    assert len(notes) == 1
    assert f"{path} is not taken as ground truth" in notes[0]
    assert "truth=PATH" in notes[0]


def test_find_ground_truth_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "img").mkdir()
    path = write_file(tmp_path, "", "gt.txt")
    monkeypatch.chdir(tmp_path / "img")

    assert find_ground_truth(Path(".")) == path


def test_find_stated_truth_names_a_missing_file(tmp_path):
    path = write_file(tmp_path, "", "any.csv")

    assert find_stated_truth(str(path)) == path
    assert find_stated_truth("none") is None
    with pytest.raises(SourceError, match=r"no ground truth at ~no_such_user/x\.txt: check the path"):
        find_stated_truth("~no_such_user/x.txt")


def test_read_source_truth_ignores_an_unreadable_file_with_a_note(tmp_path):
    path = write_file(tmp_path, "notes about all clips")

    with collect_notes() as notes:
        truth = read_source_truth(path, 3, policy="ignore")

    assert truth == [None, None, None]
    assert len(notes) == 1
    assert notes[0].startswith(f"no ground truth: {path}")
    with pytest.raises(SourceError):
        read_source_truth(path, 3, policy="skip")


def test_unknown_policy_for_invalid_rows_is_refused(tmp_path):
    path = write_file(tmp_path, "1 2 3 4")

    with pytest.raises(ValueError, match="must be raise or skip: got 'ignore'"):
        read_ground_truth(path, 1, on_invalid_row="ignore")  # type: ignore[arg-type]
