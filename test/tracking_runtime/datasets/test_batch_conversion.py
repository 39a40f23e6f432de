"""Failed conversions leave nothing behind, continue, and write nowhere but in the output folder."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.cli import rstrack
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError


def run_convert(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["convert", *map(str, arguments)])


def write_video(folder: Path, rows: str = "1 2 3 4\n5 6 7 8\n") -> None:
    (folder / "img").mkdir(parents=True)
    for number in (1, 2):
        cv2.imwrite(str(folder / "img" / f"{number}.png"), np.full((8, 9), number, np.uint8))
    (folder / "groundtruth_rect.txt").write_text(rows)


def write_coco(path: Path, file_name: str) -> None:
    content = {
        "images": [{"id": 1, "file_name": file_name}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "track_id": 3, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 1, "name": "car"}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("output_format", ["bag", "folder"])
def test_failed_convert_continues_after_the_finished_videos(tmp_path: Path, output_format: str) -> None:
    write_video(tmp_path / "in" / "a")
    write_video(tmp_path / "in" / "b", "1 2 3 4\n5 0 0 0\n")
    arguments = (tmp_path / "in", tmp_path / "out", "--to", output_format)

    failed = run_convert(*arguments)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    time = (tmp_path / "out" / "a").stat().st_mtime_ns
    corrected = run_convert(*arguments, "--skip-malformed")

    assert failed.exit_code == 1
    assert "groundtruth_rect.txt:2" in failed.output
    assert names == {"a", ".rstrack-convert.json"}
    assert corrected.exit_code == 0, corrected.output
    assert "1 rows left out" in corrected.output
    assert (tmp_path / "out" / "a").stat().st_mtime_ns == time
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b"}
    assert [len(video) for video in open_dataset(tmp_path / "out")] == [2, 2]


def test_failed_convert_of_one_video_leaves_nothing_behind(tmp_path: Path) -> None:
    write_video(tmp_path / "in")
    (tmp_path / "in" / "img" / "2.png").write_bytes(b"no image")

    result = run_convert(tmp_path / "in", tmp_path / "out")

    assert result.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_convert_does_not_continue_another_task(tmp_path: Path) -> None:
    write_video(tmp_path / "in" / "a")
    write_video(tmp_path / "in" / "b", "1 2 3\n")
    run_convert(tmp_path / "in", tmp_path / "out")

    result = run_convert(tmp_path / "in", tmp_path / "out", "--to", "folder")

    assert result.exit_code == 1
    assert "a exists already" in result.output


@pytest.mark.parametrize("output_format", ["bag", "folder"])
@pytest.mark.parametrize(
    "file_name",
    [
        "../../x/001.png",
        "/tmp/x/001.png",
        r"..\..\x\001.png",
        r"C:\x\001.png",
        "a/../../x/1.png",
        "x\0/1.png",
    ],
)
def test_convert_of_a_file_name_out_of_the_folder_is_refused(
    tmp_path: Path, file_name: str, output_format: str
) -> None:
    write_coco(tmp_path / "in" / "deep" / "val.json", file_name)
    for folder in (tmp_path / "x", tmp_path / "in" / "x"):
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "001.png"), np.zeros((8, 9), np.uint8))
    before = list_files(tmp_path)

    result = run_convert(tmp_path / "in" / "deep", tmp_path / "out" / "deep", "--to", output_format)

    assert result.exit_code == 1
    assert "file_name must be a path inside" in result.output
    assert list_files(tmp_path) == before


def test_image_behind_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_coco(tmp_path / "in" / "data" / "val.json", "car/001.png")
    (tmp_path / "secret").mkdir()
    cv2.imwrite(str(tmp_path / "secret" / "001.png"), np.zeros((8, 9), np.uint8))
    (tmp_path / "in" / "data" / "car").symlink_to(tmp_path / "secret")

    with pytest.raises(SourceError, match="a link leads to"):
        open_dataset(tmp_path / "in" / "data")


def test_convert_does_not_write_through_a_link_in_the_output(tmp_path: Path) -> None:
    write_video(tmp_path / "in" / "a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")

    result = run_convert(tmp_path / "in", tmp_path / "out")

    assert result.exit_code == 1
    assert "must be a path inside" in result.output
    assert not list((tmp_path / "elsewhere").iterdir())
