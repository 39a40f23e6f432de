from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracking_runtime import boxes

BOXES = arrays(
    np.float64,
    st.tuples(st.integers(0, 5), st.just(4)),
    elements=st.floats(-500, 500, allow_nan=False, width=32).map(abs),
)


@given(BOXES)
def test_corners_and_back(box_array: np.ndarray) -> None:
    np.testing.assert_allclose(boxes.from_corners(boxes.corners(box_array)), box_array, atol=1e-9)


def test_overlap_of_known_boxes() -> None:
    overlap = boxes.intersection_over_union([[0, 0, 2, 2]], [[1, 1, 2, 2], [0, 0, 2, 2], [5, 5, 1, 1]])
    np.testing.assert_allclose(overlap, [[1 / 7, 1, 0]])


@given(BOXES, BOXES)
def test_overlap_is_symmetric_and_a_share(a: np.ndarray, b: np.ndarray) -> None:
    overlap = boxes.intersection_over_union(a, b)
    np.testing.assert_allclose(overlap, boxes.intersection_over_union(b, a).T)
    assert overlap.shape == (len(a), len(b))
    assert ((overlap >= 0) & (overlap <= 1 + 1e-12)).all()


def test_empty_boxes_do_not_overlap() -> None:
    np.testing.assert_array_equal(boxes.intersection_over_union([[1, 1, 0, 0]], [[1, 1, 0, 0]]), [[0]])


def test_no_boxes_keep_their_shape() -> None:
    assert boxes.as_boxes([]).shape == (0, 4)
    assert boxes.corners([]).shape == (0, 4)
    assert boxes.intersection_over_union([], [[0, 0, 1, 1]]).shape == (0, 1)


@given(BOXES)
def test_clipped_boxes_lie_in_the_image(box_array: np.ndarray) -> None:
    clipped = boxes.corners(boxes.clip_to_image(box_array, 64, 48))
    assert (clipped >= 0).all()
    assert (clipped[:, 2:] <= [64 + 1e-9, 48 + 1e-9]).all()
    assert (clipped[:, 2:] >= clipped[:, :2] - 1e-9).all()


def test_distance_of_boxes_from_the_image_border() -> None:
    boxes = [[10, 20, 5, 5], [50, 5, 14, 40], [30, 20, 5, 30]]
    np.testing.assert_allclose(boxes.border_distance(boxes, 64, 48), [10, 0, -2])
