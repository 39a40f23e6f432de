from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.boxes import to_corners
from tracking_runtime.frames import FrameDetections
from tracking_runtime.nodes.click_resolution import (
    DisplayedFrame,
    find_displayed_frame,
    find_nearest_box,
    find_nearest_detections,
    make_bounding_box,
    make_box_around,
)

FRAMES = [DisplayedFrame(stamp, "camera", arrived) for stamp, arrived in ((100, 1.0), (200, 1.1), (300, 1.2))]
places = st.floats(-1e3, 1e3)
sizes = st.floats(0.1, 1e3)


def test_click_refers_to_newest_displayed_frame() -> None:
    assert find_displayed_frame(FRAMES, 0, now_s=1.25, delay_s=0.1) is FRAMES[1]
    assert find_displayed_frame(FRAMES, 0, now_s=1.25, delay_s=0.0) is FRAMES[2]
    assert find_displayed_frame(FRAMES, 0, now_s=1.05, delay_s=0.5) is FRAMES[0]
    assert find_displayed_frame([], 0, now_s=9, delay_s=0) is None


def test_click_with_frame_stamp_refers_to_that_frame() -> None:
    assert find_displayed_frame(FRAMES, 100, now_s=9, delay_s=0) is FRAMES[0]


def test_nearest_detections_must_be_within_limit() -> None:
    known = deque(FrameDetections(stamp, np.zeros((0, 4)), []) for stamp in (10**9, 2 * 10**9))
    assert find_nearest_detections(known, 1_900_000_000, 0.2) is known[1]
    assert find_nearest_detections(known, 1_900_000_000, 0.05) is None
    assert find_nearest_detections(deque(), 1, 1) is None


def test_nearest_box_prefers_smallest_containing_box() -> None:
    boxes = [[0, 0, 100, 100], [40, 40, 10, 10], [200, 0, 10, 10]]
    assert find_nearest_box(boxes, [45, 45], 0) == 1
    assert find_nearest_box(boxes, [5, 5], 0) == 0
    assert find_nearest_box(boxes, [190, 5], 10) == 2
    assert find_nearest_box(boxes, [190, 5], 9.9) is None
    assert find_nearest_box([], [1, 1], 99) is None


@given(places, places, sizes, sizes)
def test_box_around_point_contains_point(x: float, y: float, width: float, height: float) -> None:
    box = make_box_around([x, y], [width, height])
    assert find_nearest_box(box, [x, y], 0) == 0
    np.testing.assert_allclose(make_bounding_box(to_corners(box).reshape(2, 2)), box, atol=1e-9)
