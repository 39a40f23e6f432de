"""Tests of the benchmark's videos, their attributes and their names."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.benchmark.base import BenchmarkSettingsError
from hsi_tracker_ros.benchmark.videos import (
    SimulatedVideo,
    add_recorded_videos,
    find_attributes,
    make_simulated_videos,
)
from hsi_tracker_ros.simulation.natural import NaturalScene
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.video_scores import find_target_boxes

NEVER = np.zeros(4)


def make_boxes(*sizes: tuple[float, float]) -> np.ndarray:
    """Return boxes of given widths and heights at one position."""
    return np.array([(50, 40, width, height) for width, height in sizes], np.float64)


def write_hot_video(folder: Path) -> Path:
    """Write a video of one mosaic in the layout of HOT 2020 and return the folder of its data set."""
    (folder / "HSI").mkdir(parents=True)
    cv2.imwrite(str(folder / "HSI" / "0001.png"), np.zeros((8, 8), np.uint16))
    return folder.parent


def test_attributes_follow_their_definitions() -> None:
    steady = make_boxes((20, 20), (22, 20), (20, 24), (21, 21))
    growing = make_boxes((20, 20), (20, 40), (29, 29), (20, 20))
    shrinking = growing[::-1] * [1, 1, 0.7, 0.7]

    assert find_attributes(steady, NEVER, NEVER, NEVER) == set()
    assert find_attributes(steady, [0, 0.29, 0.3, 0], NEVER, NEVER) == {"OCC"}
    assert find_attributes(steady, NEVER, [0, 0, 0.31, 0], NEVER) == {"OV"}
    assert find_attributes(steady, NEVER, NEVER, [False, True, False, False]) == {"SLA"}
    assert find_attributes(growing[[0, 1]], *[NEVER[:2]] * 3) == set()
    assert find_attributes(growing, NEVER, NEVER, NEVER) == {"SV"}
    assert find_attributes(shrinking, NEVER, NEVER, NEVER) == {"SV", "LR"}


def test_box_cut_by_border_is_no_scale_variation() -> None:
    leaving = make_boxes((40, 40), (20, 38), (10, 38), (40, 40))
    leaving[2] = np.nan

    assert find_attributes(leaving, NEVER, [0, 0.6, 1, 0], NEVER) == {"OV"}


def test_distractor_at_absent_target_does_not_count() -> None:
    boxes = make_boxes((20, 20), (20, 20), (20, 20))
    boxes[1] = np.nan

    assert find_attributes(boxes, *[NEVER[:3]] * 2, [False, True, False]) == set()


@pytest.mark.slow
def test_video_has_designed_and_found_attributes() -> None:
    leaving = SimulatedVideo(1_000_007, 60)
    calm = SimulatedVideo(1_000_031, 12)

    assert set(leaving.attributes) >= {"BC", "FM", "OV", "SLA"}
    assert np.isnan(find_target_boxes(leaving.truth)).any()
    assert calm.scene.attributes == ("SLA",)
    assert set(calm.attributes) == {"LR"}, "no distractor touches the target in the first frames"
    for frame, truth in zip(calm, calm.truth, strict=True):
        np.testing.assert_array_equal(frame.truth.boxes, truth.boxes)


def test_training_seeds_are_refused() -> None:
    videos = make_simulated_videos(2, 9, first_seed=1_000_005)

    assert [video.seed for video in videos] == [1_000_005, 1_000_006]
    for first_seed in (999_999, 1_999_999):
        with pytest.raises(BenchmarkSettingsError, match="benchmark seeds must be 1000000 to 1999999"):
            make_simulated_videos(2, 9, first_seed=first_seed)


def test_scenes_are_natural_or_procedural(tmp_path: Path) -> None:
    (natural,) = make_simulated_videos(1, 9)
    (procedural,) = make_simulated_videos(1, 9, scenes="procedural")

    assert (natural.name, procedural.name) == ("natural-1000000", "hyperspectral-1000000")
    assert isinstance(natural.scene, NaturalScene)
    assert not isinstance(procedural.scene, NaturalScene)
    with pytest.raises(BenchmarkSettingsError, match="--scenes natural"):
        make_simulated_videos(1, 9, scenes="procedural", photographs=tmp_path)


def test_other_photographs_make_other_videos(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((80, 80, 3), np.uint8))
    before = make_simulated_videos(1, 9, photographs=tmp_path)

    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((80, 80, 3), np.uint8))

    assert repr(make_simulated_videos(1, 9, photographs=tmp_path)) != repr(before)


def test_videos_with_equal_names_get_unique_names(tmp_path: Path) -> None:
    own, train, test, other = (
        write_hot_video(tmp_path / path)
        for path in ("2020/own/bus", "2020/train/car", "2020/test/car", "2023/test/car")
    )

    def list_names(*paths: Path) -> list[str]:
        return [video.name for video in add_recorded_videos(make_simulated_videos(1, 2), paths)]

    assert list_names(own, train) == ["natural-1000000", "bus", "car"]
    assert list_names(train, test) == ["natural-1000000", "train/car", "test/car"]
    assert list_names(test, other)[1:] == ["2020/test/car/HSI", "2023/test/car/HSI"]
    assert list_names(tmp_path / "2020")[1:] == ["bus", "test/car/HSI", "train/car/HSI"]
    assert list_names(test, test / ".." / "test") == ["natural-1000000", "car"]


def test_names_with_equal_file_names_get_unique_names(tmp_path: Path) -> None:
    paths = write_hot_video(tmp_path / "a" / "a car"), write_hot_video(tmp_path / "b" / "a_car")

    names = [video.name for video in add_recorded_videos([], paths)]

    assert names == ["a/a car/HSI", "b/a_car/HSI"]


def test_videos_with_equal_files_are_refused(tmp_path: Path) -> None:
    paths = [write_hot_video(tmp_path / name / "set" / "car") for name in ("a b", "a_b")]

    with pytest.raises(SourceError, match=r"the same result files: .*a b.*a_b"):
        add_recorded_videos([], paths)
