"""Optimal assignment of tracks to detections with a cost limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

Indices = NDArray[np.int64]


def solve_assignment(
    rows: Indices, columns: Indices, costs: NDArray[np.float64], cost_limit: float
) -> tuple[Indices, Indices]:
    """Match rows to columns with the lowest total cost; an unmatched pair costs `cost_limit`.

    The result equals `lap.lapjv(cost, extend_cost=True, cost_limit=cost_limit)`.

    Args:
        rows: row index of each candidate pair.
        columns: column index of each candidate pair.
        costs: cost of each candidate pair, not negative.
        cost_limit: pairs of this cost or more are never matched.

    Returns:
        Matched rows and their columns, rows ascending.
    """
    is_allowed = costs < cost_limit
    if not is_allowed.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    row_ids, row = np.unique(rows[is_allowed], return_inverse=True)
    column_ids, column = np.unique(columns[is_allowed], return_inverse=True)

    # Each row gets an extra column of its own at the cost of the limit. A full matching then always exists,
    # and the problem stays as sparse as its pairs.
    all_rows = np.arange(len(row_ids))
    extra_costs = np.full(len(row_ids), cost_limit)
    weights = np.concatenate([costs[is_allowed], extra_costs]) + 1  # SciPy ignores pairs of weight 0
    entries = np.concatenate([row, all_rows]), np.concatenate([column, len(column_ids) + all_rows])
    graph = csr_array((weights, entries), shape=(len(row_ids), len(column_ids) + len(row_ids)))
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph)
    is_matched = matched_columns < len(column_ids)
    return row_ids[matched_rows[is_matched]], column_ids[matched_columns[is_matched]]
