"""`rstrack annotations`: tracks to CVAT and COCO video, and corrected ones back to evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.cli import rstrack
from tracking_runtime.datasets.cvat import read_cvat
from tracking_runtime.datasets.factory import open_dataset

NUM_FRAMES = 4


def run(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["annotations", *map(str, arguments)])


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "clip" / "img"
    folder.mkdir(parents=True)
    for number in range(1, NUM_FRAMES + 1):
        cv2.imwrite(str(folder / f"{number:06d}.png"), np.full((48, 64), 10 * number, np.uint8))
    return folder


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    """Write JSON lines as `rstrack track` does: frame 3 is missing, target 2 is lost in frame 4."""
    lines = []
    for number in (1, 2, 4):
        described = [
            {"id": 1, "box": [number, 2.5, 8, 6], "score": 0.9, "class": "car", "state": "confirmed"},
            {"id": 2, "box": [20, 9, 5, 5], "score": 0.5, "class": "ship",
             "state": {1: "tracking", 2: "uncertain", 4: "lost"}[number]},
        ]  # fmt: skip
        lines.append(json.dumps({"frame": number, "stamp_ns": number * 10**8, "tracks": described}))
    path = tmp_path / "tracks.jsonl"
    path.write_text("\n".join(lines) + '\n{"frame": 5, "stamp')  # an interrupted run
    return path


@pytest.mark.parametrize("name", ["task.xml", "task.json"])
def test_tracks_become_ground_truth_again(frames: Path, tracks: Path, tmp_path: Path, name: str) -> None:
    exported = run("export", tracks, tmp_path / name, "--source", frames)
    imported = run("import", tmp_path / name, tmp_path / "labeled", "--source", frames)

    assert exported.exit_code == 0, exported.output
    assert "2 tracks, 5 boxes, 5 keyframes" in exported.output
    assert imported.exit_code == 0, imported.output
    assert "--classes car,ship" in imported.output
    (video,) = open_dataset(tmp_path / "labeled")
    assert video.class_names == ("car", "ship")
    truths = list(video.truth)
    assert [truth.ids.tolist() for truth in truths] == [[1, 2], [1, 2], [], [1]]
    np.testing.assert_array_equal(truths[3].boxes, [[4, 2.5, 8, 6]])
    assert truths[0].class_ids.tolist() == [0, 1]
    pixels = [int(frame.image[0, 0]) for frame in video]
    assert pixels == [10, 20, 30, 40]


def test_uncertain_boxes_are_occluded_and_size_is_written(frames: Path, tracks: Path, tmp_path: Path) -> None:
    run("export", tracks, tmp_path / "task.xml", "--source", frames)

    content = read_cvat(tmp_path / "task.xml")

    assert (content.image_size, content.num_frames) == ((64, 48), NUM_FRAMES)
    assert content.tracks[1].is_occluded.tolist() == [False, True]


def test_mot_text_with_tolerance_has_fewer_keyframes(tmp_path: Path) -> None:
    rows = [f"{number},3,{number * 2},5,8,8,1,2,-1" for number in range(1, 31)]
    (tmp_path / "tracks.txt").write_text("\n".join(rows))

    result = run(
        "export",
        tmp_path / "tracks.txt",
        tmp_path / "task.xml",
        "--classes",
        "car,ship",
        "--tolerance",
        "0.5",
    )

    assert "1 tracks, 30 boxes, 2 keyframes" in result.output
    (track,) = read_cvat(tmp_path / "task.xml").tracks
    assert (track.id, track.label) == (3, "ship")
    np.testing.assert_allclose(track.boxes[:, 0], 2 * np.arange(1, 31))


def test_class_names_give_json_lines_the_order_of_the_tracker(tracks: Path, tmp_path: Path) -> None:
    run("export", tracks, tmp_path / "task.xml", "--classes", "airplane,ship,car")
    unknown = run("export", tracks, tmp_path / "other.xml", "--classes", "airplane,ship")

    content = read_cvat(tmp_path / "task.xml")
    assert content.class_names == ("airplane", "ship", "car")
    assert [track.label for track in content.tracks] == ["car", "ship"]
    assert content.make_truth()[0].class_ids.tolist() == [2, 1]
    assert unknown.exit_code == 1
    assert "class 'car' must be one of" in unknown.output


def test_annotations_are_a_place_of_their_own(frames: Path, tracks: Path, tmp_path: Path) -> None:
    run("export", tracks, tmp_path / "task" / "annotations.xml", "--source", frames)

    (without_images,) = open_dataset(tmp_path / "task")
    assert [len(truth.ids) for truth in without_images.truth] == [2, 2, 0, 1]
    frames.rename(tmp_path / "task" / "images")
    (with_images,) = open_dataset(tmp_path / "task" / "annotations.xml")
    assert [int(frame.image[0, 0]) for frame in with_images] == [10, 20, 30, 40]


def test_text_is_written_without_images(tracks: Path, tmp_path: Path) -> None:
    run("export", tracks, tmp_path / "task.xml")

    result = run("import", tmp_path / "task.xml", tmp_path / "truth", "--to", "text")

    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "truth").iterdir()
    assert path.read_text().splitlines()[0] == "1,1,1,2.5,8,6,1,1,-1"


def test_annotations_longer_than_the_video_are_refused(frames: Path, tracks: Path, tmp_path: Path) -> None:
    run("export", tracks, tmp_path / "task.xml", "--source", frames)
    (frames / "000004.png").unlink()

    result = run("import", tmp_path / "task.xml", tmp_path / "labeled", "--source", frames)

    assert result.exit_code == 1
    assert "got 4 frames, expected 3" in result.output
    assert not (tmp_path / "labeled").exists()


def test_name_in_a_file_cannot_leave_the_output_folder(tracks: Path, tmp_path: Path) -> None:
    run("export", tracks, tmp_path / "task.xml")
    text = (tmp_path / "task.xml").read_text().replace("<name>tracks<", "<name>../../escaped<")
    (tmp_path / "task.xml").write_text(text)

    result = run("import", tmp_path / "task.xml", tmp_path / "a" / "b", "--to", "text")

    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["escaped.txt"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "must be a JSON object"),
        ("{", "must be a JSON object"),
        ('{"frame": 0, "stamp_ns": 1, "tracks": []}', "frame must be a whole number from 1"),
        ('{"frame": 1, "stamp_ns": 1.5, "tracks": []}', "stamp_ns must be a whole number"),
        ('{"frame": 1, "stamp_ns": 1, "tracks": [1]}', "tracks must be a list of objects"),
        ('{"frame": 1, "stamp_ns": 1, "tracks": [{"id": 1, "box": [1, 2, 3]}]}', "box must be 4 numbers"),
        ('{"frame": 1, "stamp_ns": 1, "tracks": [{"id": 1, "box": [1, 2, 0, 3]}]}', "must be positive"),
        (
            '{"frame": 1, "stamp_ns": 1, "tracks": [{"id": 1, "box": [1, 2, 3, 3], "class": 5}]}',
            "class must be",
        ),
    ],
)
def test_useless_json_line_is_refused_by_number(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "tracks.jsonl"
    path.write_text(line + "\n")

    result = run("export", path, tmp_path / "task.xml")

    assert result.exit_code == 1
    assert "tracks.jsonl:1" in result.output
    assert reason in result.output
    assert not (tmp_path / "task.xml").exists()


def test_file_of_one_unfinished_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    path.write_text("[" * 100_000)

    result = run("export", path, tmp_path / "task.xml")

    assert result.exit_code == 1
    assert "tracks.jsonl:1: a line must be a JSON object" in result.output


def test_frames_that_do_not_ascend_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    path.write_text('{"frame": 2, "stamp_ns": 1, "tracks": []}\n{"frame": 2, "stamp_ns": 2, "tracks": []}\n')

    assert "must ascend" in run("export", path, tmp_path / "task.xml").output
