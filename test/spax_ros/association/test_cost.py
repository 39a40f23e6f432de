from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from spax_ros.association import cost

box = st.tuples(st.floats(40, 200), st.floats(40, 200), st.floats(2, 30), st.floats(2, 30))


def one(values: tuple[float, ...]) -> np.ndarray:
    return np.array([values])


def gaussian(values: tuple[float, ...]) -> Independent:
    x, y, width, height = torch.tensor(values, dtype=torch.float64)
    centre = torch.stack([x + width / 2, y + height / 2])
    return Independent(Normal(centre, torch.stack([width, height]) / 2), 1)


@settings(deadline=None)
@given(box, box)
def test_divergence_is_that_of_the_gaussians(detection: tuple, track: tuple) -> None:
    expected = kl_divergence(gaussian(detection), gaussian(track)).item()
    np.testing.assert_allclose(
        cost.kl_divergence(one(detection), one(track))[0], expected, rtol=1e-4, atol=1e-6
    )


@settings(deadline=None)
@given(box, box)
def test_cost_is_a_share_and_grows_apart(a: tuple, b: tuple) -> None:
    value = cost.gta_cost(one(a), one(b))[0]
    assert 0 <= value <= 1
    assert value >= cost.gta_cost(one(a), one(a))[0] - 1e-6
    np.testing.assert_allclose(cost.gta_cost(one(a), one(a)), 0, atol=1e-6)


@settings(deadline=None)
@given(box, box)
def test_extended_overlap_does_not_depend_on_the_order(a: tuple, b: tuple) -> None:
    np.testing.assert_allclose(cost.extended_iou(one(a), one(b)), cost.extended_iou(one(b), one(a)))


def test_extended_overlap_counts_pixels_inclusively() -> None:
    # Grown to twice its size the first spans 8 to 16, so 9 x 9 pixels; the second the same, 4 to the right.
    overlap = cost.extended_iou(np.array([[10.0, 10, 4, 4]]), np.array([[14.0, 10, 4, 4]]))
    np.testing.assert_allclose(overlap, 5 * 9 / (81 + 81 - 45))


def test_small_boxes_apart_still_tell_near_from_far() -> None:
    track = np.array([[10.0, 10, 4, 4]])
    costs = [cost.gta_cost(track, np.array([[10.0 + shift, 10, 4, 4]]))[0] for shift in (9, 10, 12, 15)]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4


@settings(deadline=None)
@given(st.lists(box, min_size=1, max_size=12), st.lists(box, min_size=1, max_size=12))
def test_no_pair_worth_a_match_is_left_out(tracks: list, detections: list) -> None:
    some, others = np.array(tracks), np.array(detections)
    found = set(zip(*(index.tolist() for index in cost.near_pairs(some, others)), strict=True))
    rows, columns = (index.ravel() for index in np.indices((len(some), len(others))))
    worth = cost.gta_cost(some[rows], others[columns]) < 0.9
    assert set(zip(rows[worth].tolist(), columns[worth].tolist(), strict=True)) <= found


def test_a_crowd_costs_a_bounded_number_of_pairs() -> None:
    crowd = np.random.default_rng(0).uniform([0, 0, 4, 4], [300, 300, 12, 12], (20_000, 4))
    rows, _ = cost.near_pairs(crowd, crowd)
    assert len(rows) <= 20_000 * cost.MOST_NEIGHBOURS


def test_nothing_pairs_with_nothing() -> None:
    rows, columns = cost.near_pairs(np.zeros((0, 4)), np.ones((3, 4)))
    assert len(rows) == len(columns) == 0
