from __future__ import annotations

import numpy as np

from spax_ros.motion.contrast import CloseUp, Scratch, Surroundings, contrast


def test_in_some_cells_alone_it_is_what_it_is_in_the_whole_image() -> None:
    rng = np.random.default_rng(0)
    background = rng.integers(60, 120, (96, 120), np.uint8)
    gray = background + rng.integers(0, 4, background.shape, np.uint8)
    gray[40:44, 50:56] = 200
    whole, surroundings = contrast(gray, background, 20, 0.25, Scratch.like(gray), smooth=2)
    rows, columns = np.array([1, 5, 5, 10]), np.array([1, 6, 7, 13])
    close_up = CloseUp(
        gray, lambda x, y, _: background[y.astype(int), x.astype(int)], surroundings,
        cell_px=8, edge_tolerance_px=0.25,
    )  # fmt: skip
    cells = np.zeros((12, 15), np.uint8)
    cells[rows, columns] = 1
    close_up.look_at(cells)
    for row, column in zip(rows, columns, strict=True):
        cell = slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8)
        np.testing.assert_allclose(close_up.contrast[cell], whole[cell], rtol=0.02, atol=0.01)
        assert close_up.maxima[row, column] == close_up.contrast[cell].max()


def test_a_close_up_takes_each_cell_once_and_leaves_out_what_is_not_looked_at() -> None:
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 255, (60, 83), np.uint8)
    blocks = np.ones((12, 16), np.float32)
    surroundings = Surroundings(0 * blocks, blocks, 1.0)
    asked = []

    def background_at(x: np.ndarray, _y: np.ndarray, newest: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        return np.zeros_like(newest)

    seen = np.zeros((8, 11), np.uint8)
    seen[2:5, 3:6] = seen[7, 10] = 1
    close_up = CloseUp(gray, background_at, surroundings, cell_px=8, edge_tolerance_px=0.25)
    for part in (np.eye(8, 11, dtype=np.uint8) & seen, seen, seen):
        close_up.look_at(part)
    assert asked == [2, 8]
    assert close_up.contrast.shape == gray.shape
    outside = ~np.kron(seen, np.ones((8, 8))).astype(bool)[:60, :83]
    assert not close_up.contrast[outside].any()
    assert close_up.maxima[seen == 1].all() and not close_up.maxima[seen == 0].any()
