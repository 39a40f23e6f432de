from __future__ import annotations

import numpy as np

from spax_ros.contrast import Scratch, contrast, contrast_in_cells


def test_in_some_cells_alone_it_is_what_it_is_in_the_whole_image() -> None:
    rng = np.random.default_rng(0)
    background = rng.integers(60, 120, (96, 120), np.uint8)
    gray = background + rng.integers(0, 4, background.shape, np.uint8)
    gray[40:44, 50:56] = 200
    whole, surroundings = contrast(gray, background, 20, 0.25, Scratch.like(gray), smooth=2)
    rows, columns = np.array([1, 5, 5, 10]), np.array([1, 6, 7, 13])
    cells = contrast_in_cells(
        gray, lambda x, y, _: background[y.astype(int), x.astype(int)], surroundings, rows, columns,
        cell_px=8, edge_tolerance_px=0.25,
    )  # fmt: skip
    for found, row, column in zip(cells, rows, columns, strict=True):
        expected = whole[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.01)
