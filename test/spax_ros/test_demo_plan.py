"""Sources of the satellite demo: every kind of real frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from spax_ros.demo import plan_demo
from tracking_runtime.demo.scenario import DemoOptions
from tracking_runtime.errors import SourceError
from tracking_runtime.io import open_source
from tracking_runtime.io.source_recorder import record_source

IMAGES = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(4)]


def test_plan_of_a_video_file_keeps_its_rate(make_video: Callable[..., Path]) -> None:
    path = make_video("a?b.mp4", IMAGES)

    plan = plan_demo(DemoOptions(input_path=path))

    assert (plan.source, plan.num_frames) == (f"video:{path}", 4)
    assert open_source(plan.source).rate_hz == 25


def test_plan_of_a_folder_has_ten_frames_a_second(tmp_path: Path) -> None:
    folder = tmp_path / "a?b"
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        cv2.imwrite(str(folder / f"{number}.png"), image)

    plan = plan_demo(DemoOptions(input_path=folder))

    assert plan.num_frames == 4 and open_source(plan.source).rate_hz == 10


def test_plan_of_a_recording(make_video: Callable[..., Path], tmp_path: Path) -> None:
    list(record_source(open_source(make_video("a.mp4", IMAGES)), tmp_path / "bag"))

    plan = plan_demo(DemoOptions(input_path=tmp_path / "bag"))

    assert (plan.source, plan.num_frames) == (f"bag:{tmp_path / 'bag'}", 4)


def test_plan_keeps_the_options_of_an_address(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = make_video("a.mp4", IMAGES)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "img").mkdir()
    cv2.imwrite(str(tmp_path / "img" / "1.png"), IMAGES[0])

    sources = [
        plan_demo(DemoOptions(input_path=address)).source
        for address in (
            "a.mp4?rate=5",
            "video:a.mp4?rate=5&damaged=keep",
            "img?rate=3",
            "scene:satellite?frames=3",
        )
    ]

    assert sources == [
        f"video:{video}?rate=5",
        f"video:{video}?rate=5&damaged=keep",
        f"folder:{tmp_path / 'img'}?rate=3",
        "scene:satellite?frames=3",
    ]
    with pytest.raises(SourceError, match=r"none\.mp4.*nothing is at this path"):
        plan_demo(DemoOptions(input_path="none.mp4"))


def test_plan_of_a_folder_without_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no frames"):
        plan_demo(DemoOptions(input_path=tmp_path))
