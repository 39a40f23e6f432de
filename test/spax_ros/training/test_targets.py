from __future__ import annotations

import numpy as np
import pytest

from spax_ros.sparse.grid import SparseGrid
from spax_ros.training.crops import CropFrame, draw_crop
from spax_ros.training.targets import (
    FrameTargets,
    compute_gaussian_radius,
    compute_targets,
    draw_heat_map,
    find_peak_pixels,
)

NUM_LEVELS = 4


def find_first_pixel(grid: SparseGrid, targets: FrameTargets) -> tuple[int, int]:
    """Return row and column of the first object's pixel."""
    rows, columns = (positions[targets.rows.numpy()] for positions in grid.positions)
    return rows[0], columns[0]


def make_crop_frame(make_clip) -> CropFrame:
    return draw_crop(make_clip(), 64, 3, np.random.default_rng(1))[2]


def test_targets_of_an_object_are_at_its_center(make_clip) -> None:
    frames = draw_crop(make_clip(), 64, 3, np.random.default_rng(1))
    grid = SparseGrid(frames[2].mask[None], NUM_LEVELS)

    targets = compute_targets(frames[2:], frames[1:2], grid, num_classes=4, min_radius=1)

    (box,) = frames[2].truth.boxes
    row, column = find_first_pixel(grid, targets)
    center = np.array([column, row]) + targets.offsets[0].numpy()
    np.testing.assert_allclose(center, box[:2] + box[2:] / 2, atol=1e-5)
    np.testing.assert_allclose(targets.sizes[0], box[2:])
    np.testing.assert_allclose(np.abs(targets.displacements[0]).sum(), 2)
    assert float(targets.heat[targets.rows[0], 0]) == 1
    assert float(targets.heat[:, 1:].max()) == 0


def test_displacement_of_a_new_object_is_nan(make_clip) -> None:
    frame = make_crop_frame(make_clip)
    grid = SparseGrid(frame.mask[None], NUM_LEVELS)

    targets = compute_targets([frame], None, grid, num_classes=4, min_radius=1)

    assert targets.displacements.isnan().all()
    assert len(targets.displacements) == 1


def test_peak_is_at_active_pixel_nearest_to_the_center() -> None:
    mask = np.zeros((64, 64), bool)
    mask[18:24, 4:12] = True
    mask[20:23, 40:60] = True
    boxes = np.array([[5.0, 18, 50, 6], [4.0, 18, 8, 6], [0.0, 40, 9, 9]])

    pixels = find_peak_pixels(boxes, mask)

    assert pixels.tolist() == [[40, 21], [8, 21], [4, 44]]


def test_offset_leads_to_an_inactive_center(make_clip) -> None:
    frame = make_crop_frame(make_clip)
    (box,) = frame.truth.boxes
    center_column, center_row = (box[:2] + box[2:] / 2).astype(int)
    frame.mask[center_row - 1 : center_row + 2, center_column - 1 : center_column + 2] = False
    grid = SparseGrid(frame.mask[None], NUM_LEVELS)

    targets = compute_targets([frame], None, grid, num_classes=4, min_radius=1)

    row, column = find_first_pixel(grid, targets)
    center = np.array([column, row]) + targets.offsets[0].numpy()
    assert (row, column) != (center_row, center_column)
    np.testing.assert_allclose(center, box[:2] + box[2:] / 2, atol=1e-5)
    assert float(targets.heat[targets.rows[0], 0]) == 1


def test_heat_map_falls_off_from_peaks_of_one() -> None:
    pixels, sizes, class_ids = np.array([[30, 40]]), np.array([[21.0, 21]]), np.array([2], np.uint8)

    heat_map = draw_heat_map(pixels, sizes, class_ids, num_classes=3, size=64, min_radius=0)

    assert heat_map[2, 40, 30] == 1
    assert 0 < heat_map[2, 40, 32] < heat_map[2, 40, 31] < 1
    assert heat_map[:2].max() == 0
    assert compute_gaussian_radius(10, 10) == pytest.approx(2.74, abs=0.01)
