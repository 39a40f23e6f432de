from __future__ import annotations

import numpy as np

from spax_ros.motion.contrast import FullResolutionContrast, LocalNoise, ScratchBuffers, compute_contrast


def test_contrast_of_cells_equals_that_of_the_image() -> None:
    rng = np.random.default_rng(0)
    background = rng.integers(60, 120, (96, 120), np.uint8)
    gray = background + rng.integers(0, 4, background.shape, np.uint8)
    gray[40:44, 50:56] = 200
    scratch = ScratchBuffers.for_image(gray)
    contrast, local_noise = compute_contrast(gray, background, 20, 0.25, scratch, smoothing_px=2)
    rows, columns = np.array([1, 5, 5, 10]), np.array([1, 6, 7, 13])
    cells = np.zeros((12, 15), np.uint8)
    cells[rows, columns] = 1

    full_resolution = FullResolutionContrast(
        gray,
        lambda x, y, _: background[y.astype(int), x.astype(int)],
        local_noise,
        cell_px=8,
        edge_tolerance_px=0.25,
    )
    full_resolution.evaluate_cells(cells)

    for row, column in zip(rows, columns, strict=True):
        cell = slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8)
        np.testing.assert_allclose(full_resolution.contrast[cell], contrast[cell], rtol=0.02, atol=0.01)
        assert full_resolution.maxima[row, column] == full_resolution.contrast[cell].max()


def test_full_resolution_contrast_evaluates_each_cell_once() -> None:
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 255, (60, 83), np.uint8)
    blocks = np.ones((12, 16), np.float32)
    local_noise = LocalNoise(0 * blocks, blocks, 1.0)
    num_cells_per_call = []

    def sample_background(x: np.ndarray, _y: np.ndarray, newest: np.ndarray) -> np.ndarray:
        num_cells_per_call.append(len(x))
        return np.zeros_like(newest)

    cells = np.zeros((8, 11), np.uint8)
    cells[2:5, 3:6] = cells[7, 10] = 1
    full_resolution = FullResolutionContrast(
        gray, sample_background, local_noise, cell_px=8, edge_tolerance_px=0.25
    )

    for evaluated in (np.eye(8, 11, dtype=np.uint8) & cells, cells, cells):
        full_resolution.evaluate_cells(evaluated)

    assert num_cells_per_call == [2, 8]
    assert full_resolution.contrast.shape == gray.shape
    is_outside = ~np.kron(cells, np.ones((8, 8))).astype(bool)[:60, :83]
    assert not full_resolution.contrast[is_outside].any()
    assert full_resolution.maxima[cells == 1].all() and not full_resolution.maxima[cells == 0].any()
