"""Ground truth files are read as they are meant, or refused with their name and line."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.io.ground_truth import find_ground_truth, read_ground_truth

numbers = st.floats(-500, 5000, allow_nan=False).map(lambda value: round(value, 2))
sizes = st.floats(0.5, 800).map(lambda value: round(value, 2))
boxes = st.tuples(numbers, numbers, sizes, sizes)


def written(folder: Path, text: str, name: str = "groundtruth_rect.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@given(st.lists(st.none() | boxes, min_size=1, max_size=20), st.sampled_from([",", "\t", " ", ", ", ";"]))
@settings(deadline=None, max_examples=60)
def test_one_target_a_line_for_each_frame(rows, separator):
    lines = [separator.join(str(value) for value in row or (-1, -1, -1, -1)) for row in rows]
    with TemporaryDirectory() as folder:
        truth = read_ground_truth(written(Path(folder), "\n".join(lines) + "\t\n"), len(rows))
    for row, found in zip(rows, truth, strict=True):
        assert found is not None
        assert found.boxes.tolist() == ([list(row)] if row else [])
        assert found.ids.tolist() == ([1] if row else [])


objects = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 9), boxes, st.integers(1, 3)),
    min_size=1,
    max_size=25,
    unique_by=lambda item: item[:2],
)


@given(objects)
@settings(deadline=None, max_examples=60)
def test_many_objects_a_line_each(items):
    lines = [f"{frame},{number},{','.join(map(str, box))},1,{kind},1" for frame, number, box, kind in items]
    with TemporaryDirectory() as folder:
        path = written(Path(folder), "\n".join(lines), "gt.txt")
        truth = read_ground_truth(path, 6, class_names=("car", "ship", "plane"))
    for frame, found in enumerate(truth, start=1):
        here = [item for item in items if item[0] == frame]
        assert found is not None
        assert found.ids.tolist() == [item[1] for item in here]
        assert found.boxes.tolist() == [list(item[2]) for item in here]
        assert found.class_ids.tolist() == [item[3] - 1 for item in here]


def test_corners_become_the_upright_box_of_the_same_area(tmp_path):
    path = written(tmp_path, "10,0,20,10,10,20,0,10\n3,4,13,4,13,9,3,9\n5,5,5,5,5,5,5,5\n", "groundtruth.txt")
    turned, upright, nothing = read_ground_truth(path, 3, malformed="skip")
    side = np.sqrt(200)
    np.testing.assert_allclose(turned.boxes, [[10 - side / 2, 10 - side / 2, side, side]])
    np.testing.assert_allclose(upright.boxes, [[3, 4, 10, 5]])
    assert nothing is None


def test_nan_means_absent_and_confidence_zero_is_not_scored(tmp_path):
    assert len(read_ground_truth(written(tmp_path, "NaN,NaN,NaN,NaN"), 1)[0].ids) == 0
    truth = read_ground_truth(written(tmp_path, "1,7,5,5,5,5,0\n1,8,5,5,5,5,1", "gt.txt"), 1)
    assert truth[0].ids.tolist() == [8]


@pytest.mark.parametrize(
    ("name", "text", "frames", "line", "reason"),
    [
        ("groundtruth_rect.txt", "1 2 3 4\n1 2 3\n", 2, 2, "3 columns, the first line has 4"),
        ("groundtruth_rect.txt", "1 2 3 4\n\n1 2 x 4\n", 2, 3, "not numbers"),
        ("groundtruth_rect.txt", "1 2 3 4\n0 0 0 0\n", 2, 2, "no box"),
        ("groundtruth_rect.txt", "1 2 3 4\n1 nan 3 4\n", 2, 2, "no box"),
        ("groundtruth_rect.txt", "1 2 3 4\n5 6 7 8\n", 3, 2, "2 lines of ground truth for 3 frames"),
        ("groundtruth_rect.txt", "1 2 3 4\n5 6 7 8\n", 1, 2, "2 lines of ground truth for 1 frames"),
        ("gt.txt", "1,1,0,0,5,5\n0,1,0,0,5,5\n", 2, 2, "frames count from 1 to 2"),
        ("gt.txt", "1,1,0,0,5,5\n3,1,0,0,5,5\n", 2, 2, "frames count from 1 to 2"),
        ("gt.txt", "1,1,0,0,5,5\n1,1,9,9,5,5\n", 2, 2, "object 1 is in frame 1 twice"),
        ("gt.txt", "1,1,0,0,5,5\n1,2.5,9,9,5,5\n", 2, 2, "not a whole number"),
        ("gt.txt", "1,1,0,0,5,5\n1,2,9,9,-5,5\n", 2, 2, "no box"),
        ("gt.txt", "1,1,0,0,5,5\nnan,2,9,9,5,5\n", 2, 2, "no number"),
        ("gt.txt", "1,1,0,0,5,5,1,9\n", 2, 1, "classes are 1 to 2"),
        ("gt.txt", "1,1,0\n", 2, 1, "3 columns; known are"),
        ("groundtruth_rect.txt", "x y w h\n1 2 3 4\n1 2 3 4\n", 2, 1, "a heading"),
    ],
)
def test_doubtful_lines_are_named(tmp_path, name, text, frames, line, reason):
    path = written(tmp_path, text, name)
    with pytest.raises(SourceError, match=rf"{path.name}:{line}: .*{reason}"):
        read_ground_truth(path, frames, class_names=("car", "ship"))


def test_empty_or_binary_files_are_refused(tmp_path):
    with pytest.raises(SourceError, match="file is empty"):
        read_ground_truth(written(tmp_path, "\n \n"), 1)
    path = tmp_path / "gt.txt"
    path.write_bytes(b"\xff\x00\xfe")
    with pytest.raises(SourceError, match=r"gt\.txt: cannot be read as text"):
        read_ground_truth(path, 1)


def test_skipping_leaves_frames_of_doubtful_lines_without_truth(tmp_path):
    path = written(tmp_path, "1 2 3 4\n0 0 0 0\n5 6 7 8\n")
    truth = read_ground_truth(path, 4, malformed="skip")
    assert [None if t is None else t.boxes.tolist() for t in truth] == [
        [[1, 2, 3, 4]],
        None,
        [[5, 6, 7, 8]],
        None,
    ]
    many = written(tmp_path, "1,1,0,0,5,5\n2,1,0,0,5,5\n02,1,0,0,5,5\n3,1,0,0,5,5\n", "gt.txt")
    assert [truth is None for truth in read_ground_truth(many, 3, malformed="skip")] == [False, True, False]


def test_a_heading_that_is_skipped_shifts_nothing(tmp_path):
    truth = read_ground_truth(written(tmp_path, "x y w h\n1 2 3 4\n5 6 7 8\n"), 2, malformed="skip")
    assert [found.boxes.tolist() for found in truth if found] == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


def test_found_in_the_folder_or_beside_it(tmp_path):
    images = tmp_path / "img"
    images.mkdir()
    assert find_ground_truth(images) is None
    beside = written(tmp_path, "", "gt.txt")
    assert find_ground_truth(images) == beside
    within = written(images, "", "groundtruth_rect.txt")
    assert find_ground_truth(images) == within


def test_unknown_way_with_doubtful_lines_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'ignore', known are raise, skip"):
        read_ground_truth(written(tmp_path, "1 2 3 4"), 1, malformed="ignore")  # type: ignore[arg-type]
