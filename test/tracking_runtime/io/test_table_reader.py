"""Rows of text files: separators, encodings, blank lines and cells, numbers out of range."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.ground_truth import find_ground_truth, read_ground_truth
from tracking_runtime.io.notes import collect_notes
from tracking_runtime.io.table_reader import read_rows

ROW = "1,1,10.5,10.25,20,30,1,1,1"


def write(folder: Path, content: str | bytes, name: str = "gt.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def make_shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all examples of a test use, away from the folders of other tests."""
    folder = tmp_path_factory.getbasetemp() / "rows"
    folder.mkdir(exist_ok=True)
    return folder


def list_boxes(truth: object) -> list[object]:
    assert isinstance(truth, list) or hasattr(truth, "__getitem__")
    return [None if frame is None else frame.boxes.tolist() for frame in truth]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        ROW + ",",
        ROW.replace(",", ", "),
        ROW.replace(",", ";"),
        ROW.replace(",", "; "),
        ROW.replace(",", "\t"),
        ROW.replace(",", "   "),
        ROW.replace(",", ";").replace(".", ","),
        ROW.replace(",", "\t").replace(".", ","),
        ROW.replace(",", " ").replace(".", ","),
    ],
)
def test_row_with_any_separator_and_decimal_sign_is_read_right(tmp_path: Path, row: str) -> None:
    path = write(tmp_path, f"{row}\n{row.replace('1', '2', 1)}\n")

    assert list_boxes(read_ground_truth(path, 2)) == [[[10.5, 10.25, 20, 30]]] * 2


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
    ],
)
def test_row_in_any_encoding_with_any_line_end_is_read_right(tmp_path: Path, encode) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path, encode(f"# frame, id, x, y\n{ROW}\n\n{ROW.replace('1', '2', 1)}\n\n"))

    assert list_boxes(read_ground_truth(path, 2)) == [[[10.5, 10.25, 20, 30]]] * 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,1,10,10,20,20,,0,1", "column 7 is empty"),
        (",1,10,10,20,20,1,0,1", "column 1 is empty"),
        ("1;1;10;10;20;20;1;1;1", "not numbers"),
        ("1,1,10_0,10,20,20,1,1,1", "not numbers"),
        ("1,1,0x10,10,20,20,1,1,1", "not numbers"),
        ("1,1,10,10,20,20,1,1", "8 columns, the first line has 9"),
        ("1,1,1e9,10,20,20,1,1,1", "up to 10000000 px"),
        ("1,1,1e400,10,20,20,1,1,1", "finite"),
        ("1,1,nan,10,20,20,1,1,1", "finite"),
        ("1e300,1,10,10,20,20,1,1,1", "frames count from 1"),
        ("1,1e300,10,10,20,20,1,1,1", "not a whole number"),
        ("1,1,10,10,20,20,nan,1,1", "finite"),
        ("1,1,10,10,20,20,1,inf,1", "finite"),
    ],
)
@pytest.mark.parametrize("num_frames", [2, None])
def test_invalid_row_is_refused_with_its_line(
    tmp_path: Path, row: str, reason: str, num_frames: int | None
) -> None:
    path = write(tmp_path, f"{ROW.replace('1', '2', 1)}\n{row}\n")

    with pytest.raises(SourceError, match=rf"gt\.txt:2: .*{reason}"):
        read_ground_truth(path, num_frames)


def test_blank_line_of_one_target_is_a_frame_without_truth(tmp_path: Path) -> None:
    path = write(tmp_path, "1 2 3 4\n\n5 6 7 8\n\n", "groundtruth.txt")

    with collect_notes() as notes:
        truth = read_ground_truth(path, 3, on_invalid_row="skip")

    assert list_boxes(truth) == [[[1, 2, 3, 4]], None, [[5, 6, 7, 8]]]
    assert notes == [f"{path}: 1 rows left out, the first in line 2: the line is empty"]
    with pytest.raises(SourceError, match=r"groundtruth\.txt:2: the line is empty"):
        read_ground_truth(path, 3)


def test_blank_lines_between_enough_rows_are_no_frames(tmp_path: Path) -> None:
    path = write(tmp_path, "1 2 3 4\n\n5 6 7 8\n", "groundtruth.txt")

    assert list_boxes(read_ground_truth(path, 2)) == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


def test_zero_box_of_one_target_means_absent(tmp_path: Path) -> None:
    path = write(tmp_path, "1 2 3 4\n0 0 0 0\n0.00\t0.00\t0.00\t0.00".replace("\t", " "), "groundtruth.txt")

    truth = read_ground_truth(path, 3)

    assert list_boxes(truth) == [[[1, 2, 3, 4]], [], []]


@pytest.mark.parametrize("name", ["gt.csv", "GT.TXT", "GroundTruth_Rect.TXT", "gt/gt.csv", "GT/gt.Txt"])
def test_find_ground_truth_takes_csv_and_any_letter_case(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    (path.parent / f"._{path.name}").touch()
    (tmp_path / "img").mkdir()

    assert find_ground_truth(tmp_path / "img") == path


def test_read_rows_leaves_hidden_header_comments_out(tmp_path: Path) -> None:
    path = write(tmp_path, "% by a tool\n# x y w h\n1 2 3 4\n")

    assert [row.words for row in read_rows(path)] == [("1", "2", "3", "4")]


@given(st.binary(max_size=120), st.sampled_from(["gt.txt", "groundtruth.txt"]), st.sampled_from([None, 3]))
def test_random_bytes_are_ground_truth_or_a_source_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str, num_frames: int | None
) -> None:
    path = write(make_shared_folder(tmp_path_factory), content, name)

    for policy in ("raise", "skip"):
        try:
            truth = read_ground_truth(path, num_frames, on_invalid_row=policy)  # type: ignore[arg-type]
        except SourceError as error:
            assert name in str(error)  # noqa: PT017
            continue
        assert all(frame is None or isinstance(frame, GroundTruth) for frame in truth)


@given(st.lists(st.text("0123456789.,;-+eEnaif \t\r\n#", max_size=30), max_size=5))
def test_random_rows_are_ground_truth_or_a_source_error(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = write(make_shared_folder(tmp_path_factory), "\n".join([ROW, *lines]))

    try:
        truth = read_ground_truth(path, None)
    except SourceError:
        return
    assert len(truth) <= 10_000_000
