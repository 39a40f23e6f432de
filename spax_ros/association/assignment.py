"""Optimal assignment among the pairs that are worth it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

Indices = NDArray[np.int64]


def assign(
    rows: Indices, columns: Indices, costs: NDArray[np.float64], limit: float
) -> tuple[Indices, Indices]:
    """The matching of least cost, where a row and a column left alone cost ``limit`` together.

    It is the assignment of ``lap.lapjv(cost, extend_cost=True, cost_limit=limit)``. Each row may also take a
    column of its own at the cost of the limit, so that a full matching always exists and the problem stays as
    sparse as its pairs.

    Args:
        rows: of each candidate pair.
        columns: of each candidate pair.
        costs: of each candidate pair, not negative.
        limit: cost from which a pair is not matched.

    Returns:
        Matched rows and columns, rows ascending.
    """
    worth = costs < limit
    if not worth.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    row_names, row = np.unique(rows[worth], return_inverse=True)
    column_names, column = np.unique(columns[worth], return_inverse=True)
    everyone = np.arange(len(row_names))
    weights = np.concatenate([costs[worth], np.full(len(row_names), limit)]) + 1  # no weight may be 0
    entries = np.concatenate([row, everyone]), np.concatenate([column, len(column_names) + everyone])
    graph = csr_array((weights, entries), shape=(len(row_names), len(column_names) + len(row_names)))
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph)
    shared = matched_columns < len(column_names)
    return row_names[matched_rows[shared]], column_names[matched_columns[shared]]
