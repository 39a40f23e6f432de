"""Images and ground truth are paired by the numbers that both carry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError
from tracking_runtime.io.frame_numbers import read_image_numbers
from tracking_runtime.io.image_folder import ImageFolderSource
from tracking_runtime.io.notes import collect_notes


def write_video(folder: Path, image_numbers: Sequence[int], rows: Sequence[str]) -> Path:
    """Write images of one brightness, their number, and ground truth."""
    (folder / "img").mkdir(parents=True)
    for number in image_numbers:
        image = np.full((8, 9), number % 256, np.uint8)
        cv2.imwrite(str(folder / "img" / f"frame_{number:06d}.png"), image)
    (folder / "gt.txt").write_text("".join(f"{row}\n" for row in rows))
    return folder


def make_rows(frames: Sequence[int], value: int = 0) -> list[str]:
    """Return a row a frame, whose box lies at x = frame + value."""
    return [f"{frame},1,{frame + value},2,3,4,1,1,1" for frame in frames]


def pair(folder: Path) -> dict[int, float]:
    """Return the x of the box by the number of the image, as both readers pair them."""
    pairs = {}
    for frame in ImageFolderSource(folder):
        assert frame.truth is not None
        pairs.update({int(frame.image[0, 0]): box[0] for box in frame.truth.boxes})
    (video,) = open_dataset(folder)
    boxes = {int(f.image[0, 0]): box[0] for f in video for box in f.truth.boxes}  # type: ignore[union-attr]
    assert boxes == pairs
    return pairs


@pytest.mark.parametrize("numbers", [range(1, 9), range(9), range(51, 59), [0, 5, 10, 15], [2, 3, 7, 9]])
def test_truth_with_the_numbers_of_the_images_is_paired_by_them(
    tmp_path: Path, numbers: Sequence[int]
) -> None:
    write_video(tmp_path, numbers, make_rows(numbers))

    assert pair(tmp_path) == {number: number for number in numbers}


@pytest.mark.parametrize("numbers", [range(8), range(51, 59), range(0, 40, 5)])
def test_truth_numbered_from_one_is_paired_by_order(tmp_path: Path, numbers: Sequence[int]) -> None:
    write_video(tmp_path, numbers, make_rows(range(1, len(numbers) + 1)))

    assert pair(tmp_path) == {number: index for index, number in enumerate(numbers, start=1)}


def test_truth_of_a_missing_image_is_left_out_and_told(tmp_path: Path) -> None:
    numbers = [1, 2, 4, 5, 6]
    write_video(tmp_path, numbers, make_rows(range(1, 7)))

    with collect_notes() as notes:
        pairs = pair(tmp_path)

    assert pairs == {number: number for number in numbers}
    assert notes == [f"{tmp_path / 'gt.txt'}: 1 rows left out, because 1 frames have no image: 3"]


def test_truth_with_two_meanings_is_refused_and_names_the_missing_image(tmp_path: Path) -> None:
    write_video(tmp_path, [1, 2, 4, 5, 6], make_rows(range(1, 5)))

    with pytest.raises(SourceError, match=r"gt\.txt .* got 5 images from 1 to 6 without 3"):
        ImageFolderSource(tmp_path)


def test_rows_of_one_target_are_paired_by_number_if_an_image_is_missing(tmp_path: Path) -> None:
    write_video(tmp_path, [1, 2, 4, 5], [f"{number} 2 3 4" for number in range(1, 6)])

    with collect_notes() as notes:
        pairs = pair(tmp_path)

    assert pairs == {1: 1, 2: 2, 4: 4, 5: 5}
    assert "5 lines for 4 images" in notes[0]


def test_frame_beyond_the_images_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path, range(51, 55), make_rows(range(51, 56)))

    with pytest.raises(SourceError, match=r"gt\.txt:5: frame 55, but frames count from 51 to 54"):
        ImageFolderSource(tmp_path)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["a1_b.png", "a2_b.png"], [1, 2]),
        (["1.png", "x2.png"], None),
        (["2020_1.png", "2021_1.png"], None),
        (["a.png"], None),
        ([], None),
        (["1.png", "01.png"], None),
    ],
)
def test_read_image_numbers_needs_one_pattern_and_rising_numbers(
    names: list[str], numbers: list[int] | None
) -> None:
    assert read_image_numbers([Path(name) for name in names]) == numbers


def test_rate_of_seqinfo_is_heeded(tmp_path: Path) -> None:
    write_video(tmp_path, [1, 2], make_rows([1, 2]))
    path = tmp_path / "seqinfo.ini"
    path.write_text("[Sequence]\nname=car\nframeRate=25\nseqLength=2\n")

    (video,) = open_dataset(tmp_path)

    for source in (ImageFolderSource(tmp_path), video):
        assert source.rate_hz == 25
        assert [frame.stamp_ns for frame in source] == [40_000_000, 80_000_000]
    assert ImageFolderSource(tmp_path, rate=5).rate_hz == 5
    for text in (
        "[Sequence]\nframeRate=0\n",
        "[Sequence]\nframeRate=x\n",
        "frameRate=25\n",
        "[S]\nframeRate=nan",
    ):
        path.write_text(text)
        with pytest.raises(SourceError, match=r"^.*seqinfo\.ini.*frameRate.*$"):  # in one line
            ImageFolderSource(tmp_path)


def test_hidden_files_are_never_input(tmp_path: Path) -> None:
    video = write_video(tmp_path / "car", [1, 2], make_rows([1, 2]))
    for name in ("img/._frame_000001.png", "._gt.txt", "._x.json", "Thumbs.db", "__MACOSX/car/img/1.png"):
        path = video / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"Mac OS X")
    (video / "notes.json").write_text('{"made": "by hand"}')

    assert pair(video) == {1: 1, 2: 2}
    assert [each.name for each in open_dataset(tmp_path)] == ["car"]
