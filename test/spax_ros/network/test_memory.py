"""Temporal memory on active pixels and with a moving camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from spax_ros.network.config import VARIANTS
from spax_ros.network.grid import DenseGrid, Grid, Shift
from spax_ros.network.memory import CarriedState, Memory, SlidingWindow
from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.grid import SparseGrid

SIDE = 64


@pytest.fixture(scope="module")
def network() -> SpaxNetwork:
    torch.manual_seed(3)
    config = replace(VARIANTS["small"], memory="window", window=3)
    return SpaxNetwork(config).requires_grad_(False).eval()


def make_images(count: int) -> Tensor:
    return torch.randn(count, 1, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def make_masks(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, SIDE, SIDE)) < 0.2


def run_memory(network: SpaxNetwork, memory: Memory, frames: Tensor, grids: list[Grid]) -> list[Tensor]:
    """Return the heat maps of all frames."""

    def sample(frame: Tensor, grid: Grid, shift: Shift) -> Tensor:
        moved = frame.roll((-int(shift[0, 0]), -int(shift[0, 1])), (2, 3))
        return grid.pack(moved) if isinstance(grid, SparseGrid) else moved

    heat_maps = []
    for frame, grid in zip(frames, grids, strict=True):
        step = memory.step(lambda g, s, f=frame: sample(f, g, s), grid, np.zeros((1, 2)))
        heat_maps.append(network.head("hm")(step.features, grid))
    return heat_maps


def test_sparse_window_equals_masked_dense_window(network: SpaxNetwork) -> None:
    frames, masks, num_levels = make_images(6), make_masks(6), network.config.num_levels
    sparse_grids = [SparseGrid(mask, num_levels) for mask in masks]
    dense_grids = [DenseGrid.masked(torch.from_numpy(mask), num_levels) for mask in masks]

    sparse_heat = run_memory(network, SlidingWindow(network), frames, list(sparse_grids))
    dense_heat = run_memory(network, SlidingWindow(network), frames, list(dense_grids))

    for grid, sparse, dense in zip(sparse_grids, sparse_heat, dense_heat, strict=True):
        torch.testing.assert_close(sparse, grid.pack(dense), atol=1e-5, rtol=1e-4)


def test_carried_state_remembers_longer_than_the_window(network: SpaxNetwork) -> None:
    frames = make_images(7)
    disturbed = frames.clone()
    disturbed[0] += 5
    grids: list[Grid] = [DenseGrid((1, SIDE, SIDE))] * 7

    window = [run_memory(network, SlidingWindow(network), each, grids)[-1] for each in (frames, disturbed)]
    carried = [run_memory(network, CarriedState(network), each, grids)[-1] for each in (frames, disturbed)]

    assert (carried[0] - carried[1]).abs().max() > (window[0] - window[1]).abs().max()


def test_window_samples_frames_at_the_camera_shift(network: SpaxNetwork) -> None:
    frame, grid = make_images(1)[0], DenseGrid((1, SIDE, SIDE))
    shifts: list[tuple[int, int]] = []

    def sample(_grid: Grid, shift: Shift) -> Tensor:
        shifts.append((int(shift[0, 0]), int(shift[0, 1])))
        return frame

    memory = SlidingWindow(network)
    for _ in range(4):
        shifts.clear()
        memory.step(sample, grid, np.array([[0.7, -0.3]]))

    assert shifts == [(1, -1), (1, 0), (0, 0)]
