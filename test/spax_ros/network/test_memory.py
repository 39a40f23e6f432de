"""The published window on active pixels, and on a camera that moves."""

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
from spax_ros.sparse.grid import PackedGrid

SIDE = 64


@pytest.fixture(scope="module")
def network() -> SpaxNetwork:
    torch.manual_seed(3)
    config = replace(VARIANTS["small"], memory="window", window=3)
    return SpaxNetwork(config).requires_grad_(False).eval()


def images(count: int) -> Tensor:
    return torch.randn(count, 1, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def masks(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, SIDE, SIDE)) < 0.2


def heat(network: SpaxNetwork, memory: Memory, frames: Tensor, grids: list[Grid]) -> list[Tensor]:
    def at(frame: Tensor, grid: Grid, shift: Shift) -> Tensor:
        moved = frame.roll((-int(shift[0, 0]), -int(shift[0, 1])), (2, 3))
        return grid.pack(moved) if isinstance(grid, PackedGrid) else moved

    found = []
    for frame, grid in zip(frames, grids, strict=True):
        step = memory.step(lambda g, s, f=frame: at(f, g, s), grid, np.zeros((1, 2)))
        found.append(network.head("hm")(step.features, grid))
    return found


def test_the_packed_window_is_the_masked_dense_window(network: SpaxNetwork) -> None:
    frames, active, levels = images(6), masks(6), network.config.levels
    packed = [PackedGrid(mask, levels) for mask in active]
    dense = [DenseGrid.masked(torch.from_numpy(mask), levels) for mask in active]
    for grid, some, all_ in zip(
        packed,
        heat(network, SlidingWindow(network), frames, list(packed)),
        heat(network, SlidingWindow(network), frames, list(dense)),
        strict=True,
    ):
        torch.testing.assert_close(some, grid.pack(all_), atol=1e-5, rtol=1e-4)


def test_a_window_forgets_and_a_carried_state_does_not(network: SpaxNetwork) -> None:
    frames = images(7)
    disturbed = frames.clone()
    disturbed[0] += 5
    grids: list[Grid] = [DenseGrid((1, SIDE, SIDE))] * 7
    windows = [heat(network, SlidingWindow(network), each, grids)[-1] for each in (frames, disturbed)]
    carried = [heat(network, CarriedState(network), each, grids)[-1] for each in (frames, disturbed)]
    assert (carried[0] - carried[1]).abs().max() > (windows[0] - windows[1]).abs().max()


def test_a_window_looks_where_the_pixels_were(network: SpaxNetwork) -> None:
    seen: list[tuple[int, int]] = []
    frame, grid = images(1)[0], DenseGrid((1, SIDE, SIDE))

    def at(_grid: Grid, shift: Shift) -> Tensor:
        seen.append((int(shift[0, 0]), int(shift[0, 1])))
        return frame

    memory = SlidingWindow(network)
    for _ in range(4):
        seen.clear()
        memory.step(at, grid, np.array([[0.7, -0.3]]))
    assert seen == [(1, -1), (1, 0), (0, 0)]
