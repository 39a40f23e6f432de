from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.boxes import corners
from tracking_runtime.nodes.click_resolution import (
    Detected,
    Shown,
    box_around,
    box_of_corners,
    nearest_box,
    nearest_in_time,
    on_screen,
)

FRAMES = [Shown(stamp, "camera", arrived) for stamp, arrived in ((100, 1.0), (200, 1.1), (300, 1.2))]
places = st.floats(-1e3, 1e3)
sizes = st.floats(0.1, 1e3)


def test_click_means_the_newest_frame_that_had_reached_the_screen() -> None:
    assert on_screen(FRAMES, 0, now_s=1.25, delay_s=0.1) is FRAMES[1]
    assert on_screen(FRAMES, 0, now_s=1.25, delay_s=0.0) is FRAMES[2]
    assert on_screen(FRAMES, 0, now_s=1.05, delay_s=0.5) is FRAMES[0]
    assert on_screen([], 0, now_s=9, delay_s=0) is None


def test_click_with_a_frames_own_stamp_means_that_frame() -> None:
    assert on_screen(FRAMES, 100, now_s=9, delay_s=0) is FRAMES[0]


def test_detections_of_the_nearest_frame_count_if_it_is_near() -> None:
    known = deque(Detected(stamp, np.zeros((0, 4)), []) for stamp in (10**9, 2 * 10**9))
    assert nearest_in_time(known, 1_900_000_000, 0.2) is known[1]
    assert nearest_in_time(known, 1_900_000_000, 0.05) is None
    assert nearest_in_time(deque(), 1, 1) is None


def test_smallest_box_around_the_point_wins_else_the_nearest() -> None:
    boxes = [[0, 0, 100, 100], [40, 40, 10, 10], [200, 0, 10, 10]]
    assert nearest_box(boxes, [45, 45], 0) == 1
    assert nearest_box(boxes, [5, 5], 0) == 0
    assert nearest_box(boxes, [190, 5], 10) == 2
    assert nearest_box(boxes, [190, 5], 9.9) is None
    assert nearest_box([], [1, 1], 99) is None


@given(places, places, sizes, sizes)
def test_a_point_is_in_the_box_around_it(x: float, y: float, width: float, height: float) -> None:
    box = box_around([x, y], [width, height])
    assert nearest_box(box, [x, y], 0) == 0
    np.testing.assert_allclose(box_of_corners(corners(box).reshape(2, 2)), box, atol=1e-9)
