from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spax_ros.association.assignment import solve_assignment

cost_matrices = arrays(
    np.float64,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    elements=st.floats(0, 1, allow_nan=False, width=16),
)


def find_lowest_cost(matrix: np.ndarray, cost_limit: float) -> float:
    """Return the lowest total cost over all matchings; an unmatched row costs the limit."""
    num_rows, num_columns = matrix.shape
    clipped = np.where(matrix < cost_limit, matrix, cost_limit)
    padded = np.concatenate([clipped, np.full((num_rows, num_rows), cost_limit)], axis=1)
    return min(
        sum(padded[row, column] for row, column in enumerate(columns))
        for columns in permutations(range(num_columns + num_rows), num_rows)
    )


@settings(deadline=None)
@given(cost_matrices, st.sampled_from([0.5, 0.7, 0.9]))
def test_assignment_has_the_lowest_total_cost(matrix: np.ndarray, cost_limit: float) -> None:
    matrix = matrix[:4, :4]
    rows, columns = (index.ravel() for index in np.indices(matrix.shape))

    matched_rows, matched_columns = solve_assignment(rows, columns, matrix.ravel(), cost_limit)

    assert len(set(matched_rows)) == len(matched_rows)
    assert len(set(matched_columns)) == len(matched_columns)
    assert (np.diff(matched_rows) > 0).all()
    costs = matrix[matched_rows, matched_columns]
    assert (costs < cost_limit).all()
    total = costs.sum() + cost_limit * (len(matrix) - len(matched_rows))
    np.testing.assert_allclose(total, find_lowest_cost(matrix, cost_limit))


def test_assignment_of_pairs_over_the_limit_is_empty() -> None:
    rows, columns = solve_assignment(np.array([0, 1]), np.array([1, 0]), np.array([0.9, 1.0]), 0.9)

    assert len(rows) == len(columns) == 0


def test_assignment_matches_candidate_pairs_only() -> None:
    rows, columns = solve_assignment(np.array([7, 7]), np.array([3, 4]), np.array([0.3, 0.0]), 0.9)

    np.testing.assert_array_equal([rows, columns], [[7], [4]])
