"""The videos of the benchmark, and what is said to make them hard."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.benchmark.suite import SimulatedVideo, benchmark_videos, measured_attributes
from tracking_runtime.evaluation.scoring import target_boxes

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
