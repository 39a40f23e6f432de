from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spax_ros.association.assignment import assign

costs = arrays(
    np.float64,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    elements=st.floats(0, 1, allow_nan=False, width=16),
)


def least_cost(matrix: np.ndarray, limit: float) -> float:
    """By trying every matching: each matched pair costs what it costs, each row left alone the limit."""
    rows, columns = matrix.shape
    padded = np.concatenate([np.where(matrix < limit, matrix, limit), np.full((rows, rows), limit)], axis=1)
    return min(
        sum(padded[row, column] for row, column in enumerate(chosen))
        for chosen in permutations(range(columns + rows), rows)
    )


@settings(deadline=None)
@given(costs, st.sampled_from([0.5, 0.7, 0.9]))
def test_the_matching_is_the_best_there_is(matrix: np.ndarray, limit: float) -> None:
    matrix = matrix[:4, :4]
    rows, columns = (index.ravel() for index in np.indices(matrix.shape))
    matched_rows, matched_columns = assign(rows, columns, matrix.ravel(), limit)
    assert len(set(matched_rows)) == len(matched_rows)
    assert len(set(matched_columns)) == len(matched_columns)
    assert (np.diff(matched_rows) > 0).all()
    found = matrix[matched_rows, matched_columns]
    assert (found < limit).all()
    total = found.sum() + limit * (len(matrix) - len(matched_rows))
    np.testing.assert_allclose(total, least_cost(matrix, limit))


def test_no_pair_is_worth_it() -> None:
    rows, columns = assign(np.array([0, 1]), np.array([1, 0]), np.array([0.9, 1.0]), 0.9)
    assert len(rows) == len(columns) == 0


def test_pairs_that_are_not_given_are_not_matched() -> None:
    rows, columns = assign(np.array([7, 7]), np.array([3, 4]), np.array([0.3, 0.0]), 0.9)
    np.testing.assert_array_equal([rows, columns], [[7], [4]])
