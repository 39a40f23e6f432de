"""`rstrack info`: facts and oddities of each kind of source, as text and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.cli import rstrack
from tracking_runtime.io import open_source
from tracking_runtime.io.source_recorder import record_source

MakeVideo = Callable[..., Path]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["info", *map(str, arguments)])


def read_json(*arguments: object) -> dict[str, Any]:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = json.loads(result.stdout)
    return data


def make_images(num_frames: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (num_frames, 48, 64, 3)).astype(np.uint8)


def test_info_of_a_video_has_its_facts(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", make_images())
    path.with_name("a_gt.txt").write_text("1,3,1,2,5,6,1,1,1\n2,4,70,2,5,6,1,1,1\n")

    data = read_json(path)

    assert data["kind"] == "video" and data["name"] == "a"
    assert (data["num_frames"], data["rate_hz"], data["duration_s"]) == (4, 25.0, 0.16)
    assert (data["image_size"], data["encoding"], data["bits"]) == ([64, 48], "bgr8", 8)
    assert data["details"] == {"container": "mov", "codec": "h264", "pixel format": "yuv420p"}
    assert (data["truth"]["num_objects"], data["truth"]["num_identities"]) == (2, 2)
    assert data["remarks"] == ["1 boxes of its ground truth are outside of the image"]


def test_info_of_a_variable_frame_rate_tells(make_video: MakeVideo) -> None:
    steady = make_video("a.mp4", make_images(), stamps_ms=[0, 33, 67, 100])
    varying = make_video("b.mp4", make_images(), stamps_ms=[0, 40, 120, 130])

    assert read_json(steady)["remarks"] == []
    assert "frame rate varies" in read_json(varying)["remarks"][0]


def test_info_tells_constant_and_clipped_images(tmp_path: Path) -> None:
    clipped = make_images(1)[0]
    clipped[:10] = 255
    for name, image in (("black", np.zeros((9, 9), np.uint8)), ("bright", clipped)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "1.png"), image)

    assert read_json(tmp_path / "black")["remarks"] == ["all samples of the first frame are 0"]
    assert "of the samples of the first frame are 255" in read_json(tmp_path / "bright")["remarks"][0]


def test_info_counts_the_bits_that_are_used(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.arange(4000, dtype=np.uint16).reshape(40, 100))

    assert read_json(tmp_path)["bits"] == 12


def test_info_of_a_mosaic_has_bands_and_cube_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), make_images(1)[0, ..., 0])
    (tmp_path / "spectral_info.yaml").write_text("wavelengths_nm: [500, 600, 700, 800]\nmosaic: [2, 2]\n")

    data = read_json(tmp_path)
    text = run(tmp_path).output

    assert data["wavelengths_nm"] == [500, 600, 700, 800] and data["box_image_size"] == [32, 24]
    assert "4 bands: 500, 600, 700, 800 nm" in text and "2 x 2 filters; cubes of 32 x 24 pixels" in text


def test_info_of_a_recording_has_images_and_topics(make_video: MakeVideo, tmp_path: Path) -> None:
    list(record_source(open_source(make_video("a.mp4", make_images())), tmp_path / "bag"))

    data = read_json(tmp_path / "bag")
    text = run(tmp_path / "bag").output

    assert data["kind"] == "bag" and data["image_size"] == [64, 48]
    assert [topic["messages"] for topic in data["recording"]["topics"]] == [4, 0]
    assert data["recording"]["is_complete"] and data["recording"]["damages"] == []
    assert "64 x 48 pixels" in text and "4 messages in" in text


def test_info_of_several_sources_tells_those_that_fail(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("a.mp4", make_images())
    (tmp_path / "broken.mp4").write_text("text")

    result = run(tmp_path / "broken.mp4", path)

    assert result.exit_code == 1
    assert "content is text" in result.output and "4 at 25 Hz" in result.output
    assert "1 of 2 sources cannot be read" in result.output


@pytest.mark.parametrize("address", ["missing.mp4", "scene:moon", "rtsp://127.0.0.1:9/x"])
def test_info_of_a_missing_source_is_an_error(address: str) -> None:
    result = run(address)

    assert result.exit_code == 1 and result.output.startswith("Error: ")


def test_info_tells_an_unreadable_ground_truth(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video("a.mp4", make_images())
    (tmp_path / "gt.txt").write_text("words\n")
    frames = tmp_path / "frames"
    frames.mkdir()
    cv2.imwrite(str(frames / "1.png"), make_images(1)[0])
    (frames / "gt.txt").write_text("frame,id,x,y,w,h\n1,1,5,5,4,4\n")

    of_video, of_frames = read_json(video), read_json(frames)

    assert of_video["truth"] is None
    assert of_video["remarks"] == [
        f"no ground truth: {tmp_path}/gt.txt must contain ground truth: got only a header"
    ]
    assert of_frames["truth"]["num_objects"] == 1
    assert "1 rows left out, the first in line 1" in of_frames["remarks"][0]


def test_info_tells_a_truth_that_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip/1.png"), make_images(1)[0])
    (tmp_path / "gt.txt").write_text("words\n")

    (remark,) = read_json(tmp_path / "clip")["remarks"]

    assert remark.startswith(f"{tmp_path}/gt.txt is not taken as ground truth")
