"""Optimal assignment among the pairs that are worth it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Indices = NDArray[np.int64]


def assign(
    rows: Indices, columns: Indices, costs: NDArray[np.float64], limit: float
) -> tuple[Indices, Indices]:
    """The matching of least cost, where a row and a column left alone cost ``limit`` together.

    Only pairs cheaper than ``limit`` can be part of it, so it falls apart into the connected components of
    those pairs, each solved by itself.

    Args:
        rows: of each candidate pair.
        columns: of each candidate pair.
        costs: of each candidate pair.
        limit: cost from which a pair is not matched.

    Returns:
        Matched rows and columns, rows ascending.
    """
    worth = costs < limit
    rows, columns, gains = rows[worth], columns[worth], costs[worth] - limit
    if len(rows) == 0:
        return rows, columns
    row_names, row_index = np.unique(rows, return_inverse=True)
    column_names, column_index = np.unique(columns, return_inverse=True)
    nodes = len(row_names) + len(column_names)
    edges = coo_array((np.ones(len(rows)), (row_index, len(row_names) + column_index)), shape=(nodes, nodes))
    _, component = connected_components(edges, directed=False)
    of_pair = component[row_index]
    order = np.argsort(of_pair, kind="stable")
    matched: list[tuple[int, int]] = []
    for pairs in np.split(order, np.flatnonzero(np.diff(of_pair[order])) + 1):
        matched += _solve(rows[pairs], columns[pairs], gains[pairs])
    result = np.array(sorted(matched), dtype=np.int64)
    return result[:, 0], result[:, 1]


def _solve(rows: Indices, columns: Indices, gains: NDArray[np.float64]) -> list[tuple[int, int]]:
    if len(rows) == 1:
        return [(int(rows[0]), int(columns[0]))]
    row_names, row_index = np.unique(rows, return_inverse=True)
    column_names, column_index = np.unique(columns, return_inverse=True)
    matrix = np.zeros((len(row_names), len(column_names)))
    matrix[row_index, column_index] = gains
    chosen = [(i, j) for i, j in zip(*linear_sum_assignment(matrix), strict=True) if matrix[i, j] < 0]
    return [(int(row_names[i]), int(column_names[j])) for i, j in chosen]
