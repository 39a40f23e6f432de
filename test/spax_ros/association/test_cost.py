from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from spax_ros.association.cost import (
    MAX_NEIGHBORS,
    compute_extended_iou,
    compute_gta_cost,
    compute_kl_divergence,
    find_near_pairs,
)

boxes = st.tuples(st.floats(40, 200), st.floats(40, 200), st.floats(2, 30), st.floats(2, 30))


def as_array(box: tuple[float, ...]) -> np.ndarray:
    return np.array([box])


def make_gaussian(box: tuple[float, ...]) -> Independent:
    x, y, width, height = torch.tensor(box, dtype=torch.float64)
    center = torch.stack([x + width / 2, y + height / 2])
    return Independent(Normal(center, torch.stack([width, height]) / 2), 1)


@settings(deadline=None)
@given(boxes, boxes)
def test_kl_divergence_equals_that_of_gaussians(detection: tuple, track: tuple) -> None:
    expected = kl_divergence(make_gaussian(detection), make_gaussian(track)).item()

    divergence = compute_kl_divergence(as_array(detection), as_array(track))[0]

    np.testing.assert_allclose(divergence, expected, rtol=1e-4, atol=1e-6)


@settings(deadline=None)
@given(boxes, boxes)
def test_gta_cost_is_a_fraction_and_lowest_for_equal_boxes(a: tuple, b: tuple) -> None:
    cost = compute_gta_cost(as_array(a), as_array(b))[0]
    cost_of_equal = compute_gta_cost(as_array(a), as_array(a))

    assert 0 <= cost <= 1
    assert cost >= cost_of_equal[0] - 1e-6
    np.testing.assert_allclose(cost_of_equal, 0, atol=1e-6)


@settings(deadline=None)
@given(boxes, boxes)
def test_extended_iou_is_symmetric(a: tuple, b: tuple) -> None:
    np.testing.assert_allclose(
        compute_extended_iou(as_array(a), as_array(b)), compute_extended_iou(as_array(b), as_array(a))
    )


def test_extended_iou_counts_pixels_inclusively() -> None:
    # Grown to twice its size, the first box spans 8 to 16: 9 x 9 pixels. The second is 4 pixels to the right.
    overlap = compute_extended_iou(np.array([[10.0, 10, 4, 4]]), np.array([[14.0, 10, 4, 4]]))

    np.testing.assert_allclose(overlap, 5 * 9 / (81 + 81 - 45))


def test_gta_cost_of_disjoint_small_boxes_grows_with_distance() -> None:
    track = np.array([[10.0, 10, 4, 4]])
    detections = [np.array([[10.0 + shift, 10, 4, 4]]) for shift in (9, 10, 12, 15)]

    costs = [compute_gta_cost(track, detection)[0] for detection in detections]

    assert costs == sorted(costs)
    assert len(set(costs)) == 4


@settings(deadline=None)
@given(st.lists(boxes, min_size=1, max_size=12), st.lists(boxes, min_size=1, max_size=12))
def test_near_pairs_contain_every_pair_below_the_cost_limit(tracks: list, detections: list) -> None:
    track_boxes, detection_boxes = np.array(tracks), np.array(detections)
    rows, columns = (index.ravel() for index in np.indices((len(track_boxes), len(detection_boxes))))
    is_below_limit = compute_gta_cost(track_boxes[rows], detection_boxes[columns]) < 0.9

    near_rows, near_columns = find_near_pairs(track_boxes, detection_boxes)

    near_pairs = set(zip(near_rows.tolist(), near_columns.tolist(), strict=True))
    expected = zip(rows[is_below_limit].tolist(), columns[is_below_limit].tolist(), strict=True)
    assert set(expected) <= near_pairs


def test_near_pairs_of_a_crowd_are_bounded() -> None:
    crowd = np.random.default_rng(0).uniform([0, 0, 4, 4], [300, 300, 12, 12], (20_000, 4))

    rows, _ = find_near_pairs(crowd, crowd)

    assert len(rows) <= 20_000 * MAX_NEIGHBORS


def test_near_pairs_without_tracks_are_empty() -> None:
    rows, columns = find_near_pairs(np.zeros((0, 4)), np.ones((3, 4)))

    assert len(rows) == len(columns) == 0
