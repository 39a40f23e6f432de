from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracking_runtime.boxes import (
    IDS_PER_EPOCH,
    as_boxes,
    clip_to_image,
    compute_border_distance,
    from_corners,
    intersection_over_union,
    make_unique_ids,
    to_corners,
)

BOXES = arrays(
    np.float64,
    st.tuples(st.integers(0, 5), st.just(4)),
    elements=st.floats(-500, 500, allow_nan=False, width=32).map(abs),
)


@given(BOXES)
def test_from_corners_inverts_to_corners(boxes: np.ndarray) -> None:
    np.testing.assert_allclose(from_corners(to_corners(boxes)), boxes, atol=1e-9)


def test_intersection_over_union_of_known_boxes() -> None:
    overlap = intersection_over_union([[0, 0, 2, 2]], [[1, 1, 2, 2], [0, 0, 2, 2], [5, 5, 1, 1]])

    np.testing.assert_allclose(overlap, [[1 / 7, 1, 0]])


@given(BOXES, BOXES)
def test_intersection_over_union_is_a_symmetric_fraction(a: np.ndarray, b: np.ndarray) -> None:
    overlap = intersection_over_union(a, b)

    np.testing.assert_allclose(overlap, intersection_over_union(b, a).T)
    assert overlap.shape == (len(a), len(b))
    assert ((overlap >= 0) & (overlap <= 1 + 1e-12)).all()


def test_intersection_over_union_of_empty_boxes_is_zero() -> None:
    np.testing.assert_array_equal(intersection_over_union([[1, 1, 0, 0]], [[1, 1, 0, 0]]), [[0]])


def test_no_boxes_keep_their_shape() -> None:
    assert as_boxes([]).shape == (0, 4)
    assert to_corners([]).shape == (0, 4)
    assert intersection_over_union([], [[0, 0, 1, 1]]).shape == (0, 1)


@given(BOXES)
def test_clip_to_image_returns_boxes_inside(boxes: np.ndarray) -> None:
    corners = to_corners(clip_to_image(boxes, 64, 48))

    assert (corners >= 0).all()
    assert (corners[:, 2:] <= [64 + 1e-9, 48 + 1e-9]).all()
    assert (corners[:, 2:] >= corners[:, :2] - 1e-9).all()


def test_border_distance_is_negative_across_the_border() -> None:
    boxes = [[10, 20, 5, 5], [50, 5, 14, 40], [30, 20, 5, 30]]

    np.testing.assert_allclose(compute_border_distance(boxes, 64, 48), [10, 0, -2])


def test_make_unique_ids_differ_between_epochs() -> None:
    first = make_unique_ids([1, 2], 0)
    second = make_unique_ids([1, 2], 1)

    assert not set(first.tolist()) & set(second.tolist())
    np.testing.assert_array_equal(second % IDS_PER_EPOCH, [1, 2])
