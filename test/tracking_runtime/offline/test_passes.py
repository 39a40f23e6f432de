"""Merge of a pass forward and a pass backward."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.offline.passes import TargetPass, merge_passes

boxes = st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(1, 60), st.floats(1, 60))
frames = st.tuples(boxes, st.floats(0, 1), st.booleans())


def make_pass(rows):
    return TargetPass(
        np.array([box for box, _, _ in rows]).reshape(-1, 4),
        np.array([score for _, score, _ in rows]),
        np.array([is_lost for _, _, is_lost in rows], bool),
    )


pairs = st.lists(st.tuples(frames, frames), min_size=1, max_size=8)


@given(pairs)
def test_target_is_lost_only_if_both_passes_lost_it(rows):
    forward, backward = (make_pass(side) for side in zip(*rows, strict=True))

    merged = merge_passes(forward, backward)

    assert merged.is_lost.tolist() == (forward.is_lost & backward.is_lost).tolist()


@given(pairs)
def test_merge_does_not_depend_on_the_order_of_passes(rows):
    forward, backward = (make_pass(side) for side in zip(*rows, strict=True))
    is_decided = (forward.scores != backward.scores) & ~(forward.is_lost & backward.is_lost)

    one, other = merge_passes(forward, backward), merge_passes(backward, forward)

    np.testing.assert_allclose(one.boxes[is_decided], other.boxes[is_decided])
    np.testing.assert_array_equal(one.scores[is_decided], other.scores[is_decided])


@given(pairs)
def test_merged_box_is_one_of_both_or_between_them(rows):
    forward, backward = (make_pass(side) for side in zip(*rows, strict=True))

    merged = merge_passes(forward, backward)

    for box, one, other in zip(merged.boxes, forward.boxes, backward.boxes, strict=True):
        if intersection_over_union(one, other)[0, 0] < 0.5:
            assert np.array_equal(box, one) or np.array_equal(box, other)
        assert (box >= np.minimum(one, other) - 1e-9).all()
        assert (box <= np.maximum(one, other) + 1e-9).all()


def test_pass_that_has_the_target_wins_over_one_that_lost_it():
    forward = make_pass([((0, 0, 10, 10), 0.9, True), ((0, 0, 10, 10), 0.2, False)])
    backward = make_pass([((50, 50, 10, 10), 0.3, False), ((50, 50, 10, 10), 0.8, True)])

    merged = merge_passes(forward, backward)

    assert merged.boxes.tolist() == [[50, 50, 10, 10], [0, 0, 10, 10]]
    assert merged.scores.tolist() == [0.3, 0.2]


def test_overlapping_boxes_are_averaged_by_score():
    forward = make_pass([((0, 0, 10, 10), 0.6, False)])
    backward = make_pass([((1, 0, 10, 10), 0.2, False)])

    merged = merge_passes(forward, backward)

    np.testing.assert_allclose(merged.boxes, [[0.25, 0, 10, 10]])
