"""The videos of the benchmark, and what is said to make them hard."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.benchmark.videos import (
    SimulatedVideo,
    benchmark_videos,
    measured_attributes,
    with_recorded,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.video_scores import target_boxes

NOTHING = np.zeros(4)


def boxes(*sizes: tuple[float, float]) -> np.ndarray:
    return np.array([(50, 40, width, height) for width, height in sizes], np.float64)


def test_attributes_by_their_definitions() -> None:
    steady = boxes((20, 20), (22, 20), (20, 24), (21, 21))
    assert measured_attributes(steady, NOTHING, NOTHING, NOTHING) == set()
    assert measured_attributes(steady, [0, 0.29, 0.3, 0], NOTHING, NOTHING) == {"OCC"}
    assert measured_attributes(steady, NOTHING, [0, 0, 0.31, 0], NOTHING) == {"OV"}
    assert measured_attributes(steady, NOTHING, NOTHING, [False, True, False, False]) == {"SLA"}
    growing = boxes((20, 20), (20, 40), (29, 29), (20, 20))
    assert measured_attributes(growing[[0, 1]], *[NOTHING[:2]] * 3) == set()
    assert measured_attributes(growing, NOTHING, NOTHING, NOTHING) == {"SV"}
    assert measured_attributes(growing[::-1] * [1, 1, 0.7, 0.7], NOTHING, NOTHING, NOTHING) == {"SV", "LR"}


def test_a_box_that_the_border_cuts_is_no_change_of_scale() -> None:
    leaving = boxes((40, 40), (20, 38), (10, 38), (40, 40))
    leaving[2] = np.nan
    assert measured_attributes(leaving, NOTHING, [0, 0.6, 1, 0], NOTHING) == {"OV"}


def test_a_look_alike_where_the_target_is_not_seen_is_none() -> None:
    hidden = boxes((20, 20), (20, 20), (20, 20))
    hidden[1] = np.nan
    assert measured_attributes(hidden, *[NOTHING[:3]] * 2, [False, True, False]) == set()


def test_a_video_has_the_attributes_that_its_scene_was_made_with_and_shows() -> None:
    leaves, calm = SimulatedVideo(1_000_007, 60), SimulatedVideo(1_000_031, 12)
    assert set(leaves.attributes) >= {"BC", "FM", "OV", "SLA"}
    assert np.isnan(target_boxes(leaves.truth)).any()
    assert calm.scene.attributes == ("SLA",)
    assert set(calm.attributes) == {"LR"}, "its look-alikes come near later"
    for frame, truth in zip(calm, calm.truth, strict=True):
        np.testing.assert_array_equal(frame.truth.boxes, truth.boxes)


def test_scenes_for_training_are_refused() -> None:
    assert [video.seed for video in benchmark_videos(2, 9, first=1_000_005)] == [1_000_005, 1_000_006]
    for first, count in ((999_999, 2), (1_999_999, 2)):
        with pytest.raises(ValueError, match="seeds for measuring are 1000000 to 1999999"):
            benchmark_videos(count, 9, first=first)


def hot_video(folder: Path) -> Path:
    """One mosaic as HOT 2020 keeps it; the set's folder."""
    (folder / "HSI").mkdir(parents=True)
    cv2.imwrite(str(folder / "HSI" / "0001.png"), np.zeros((8, 8), np.uint16))
    return folder.parent


def test_videos_of_one_name_are_told_apart(tmp_path: Path) -> None:
    own, train, test, other = (
        hot_video(tmp_path / place)
        for place in ("2020/own/bus", "2020/train/car", "2020/test/car", "2023/test/car")
    )

    def names(*places: Path) -> list[str]:
        return [video.name for video in with_recorded(benchmark_videos(1, 2), places)]

    assert names(own, train) == ["hyperspectral-1000000", "bus", "car"]
    assert names(train, test) == ["hyperspectral-1000000", "train/car", "test/car"]
    assert names(test, other)[1:] == ["2020/test/car/HSI", "2023/test/car/HSI"]
    assert names(tmp_path / "2020")[1:] == ["bus", "test/car/HSI", "train/car/HSI"]
    assert names(test, test / ".." / "test") == ["hyperspectral-1000000", "car"]


def test_names_that_make_one_file_name_are_told_apart(tmp_path: Path) -> None:
    places = hot_video(tmp_path / "a" / "a car"), hot_video(tmp_path / "b" / "a_car")
    names = [video.name for video in with_recorded([], places)]
    assert names == ["a/a car/HSI", "b/a_car/HSI"]


def test_videos_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    places = [hot_video(tmp_path / name / "set" / "car") for name in ("a b", "a_b")]
    with pytest.raises(SourceError, match=r"the same files: .*a b.*a_b"):
        with_recorded([], places)
