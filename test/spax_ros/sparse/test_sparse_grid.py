"""The packed network is the masked dense network, whatever is active."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.grid import DenseGrid
from spax_ros.network.layers import BatchNorm
from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.grid import PackedGrid
from spax_ros.sparse.tile_budget import bucket, strongest_tiles

FULL = replace(VARIANTS["base_satmtb"], widths=(8, 8, 16, 16, 16), head_width=8)
LIGHT = replace(VARIANTS["light_satvideodt"], widths=(8, 12, 16, 16), head_width=8)
CONFIGS = {"full": FULL, "light": LIGHT, "small": VARIANTS["small"]}
HEADS = ("hm", "wh", "reg")


def random_network(config: SpaxConfig) -> SpaxNetwork:
    torch.manual_seed(1)
    network = SpaxNetwork(config)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.6, 1.4)
    for name in HEADS:
        torch.nn.init.normal_(network.head(name).out.weight)
    return network.requires_grad_(False).eval()


NETWORKS = {name: random_network(config) for name, config in CONFIGS.items()}


def assert_same_outputs(
    name: str,
    masks: list[NDArray[np.bool_]],
    shifts: list[tuple[int, int]],
    seed: int,
    tile: int = 1,
    room: Callable[[int], int] | None = None,
) -> None:
    """Both grids through a sequence of frames, one mask for each, the state moved between them."""
    network = NETWORKS[name]
    config = network.config
    generator = torch.Generator().manual_seed(seed)
    dense_state = packed_state = None
    for mask, shift in zip(masks, shifts, strict=True):
        images = torch.randn(len(mask), config.input_channels, *mask.shape[1:], generator=generator)
        moved = np.array([shift] * len(mask))
        dense_grid = DenseGrid.masked(torch.from_numpy(mask), config.levels)
        grid = PackedGrid(mask, config.levels, tile, room)
        dense = network.step(images, dense_grid, dense_state and dense_state.at(dense_grid, moved))
        packed = network.step(grid.pack(images), grid, packed_state and packed_state.at(grid, moved))
        dense_state, packed_state = dense.state, packed.state
        pairs = [(dense.mask_logits, packed.mask_logits)]
        pairs += [
            (network.head(h)(dense.features, dense_grid), network.head(h)(packed.features, grid))
            for h in HEADS
        ]
        if dense.pair is not None:
            pairs.append(
                (network.displacement(dense.pair, dense_grid), network.displacement(packed.pair, grid))
            )
        for expected, found in pairs:
            at_active = grid.pack(expected)[grid.active]
            scale = max(1.0, float(at_active.abs().max()) if at_active.numel() else 0.0)
            torch.testing.assert_close(found[grid.active], at_active, atol=1e-4 * scale, rtol=0)


def mask_of(kind: str, height: int, width: int) -> NDArray[np.bool_]:
    mask = np.zeros((1, height, width), bool)
    if kind == "full":
        mask[:] = True
    elif kind == "pixel":
        mask[0, height // 3, width // 2] = True
    elif kind == "corner":
        mask[0, -1, -1] = True
    elif kind == "borders":
        mask[0, [0, -1]] = mask[0, :, [0, -1]] = True
    return mask


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("tile", [1, 8])
@pytest.mark.parametrize("kind", ["empty", "full", "pixel", "corner", "borders"])
def test_equal_on_particular_masks(name: str, kind: str, tile: int) -> None:
    multiple = CONFIGS[name].multiple
    mask = mask_of(kind, 2 * multiple, 3 * multiple)
    assert_same_outputs(name, [mask, mask], [(0, 0), (1, -1)], 0, tile)


@settings(max_examples=10, deadline=None)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    rows=st.integers(1, 2),
    columns=st.integers(1, 3),
    images=st.integers(1, 2),
    density=st.sampled_from([0.01, 0.1, 0.5, 0.9]),
    shift=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    seed=st.integers(0, 2**16),
    tile=st.sampled_from([1, 2, 8]),
    room=st.sampled_from([None, lambda count: count + 3, lambda count: bucket(count, 8)]),
)
def test_equal_on_random_masks(
    name: str,
    rows: int,
    columns: int,
    images: int,
    density: float,
    shift: tuple[int, int],
    seed: int,
    tile: int,
    room: Callable[[int], int] | None,
) -> None:
    multiple = max(CONFIGS[name].multiple, tile)
    rng = np.random.default_rng(seed)
    masks = [rng.random((images, rows * multiple, columns * multiple)) < density for _ in range(3)]
    assert_same_outputs(name, masks, [(0, 0), shift, (2, -3)], seed, tile, room)


@pytest.mark.parametrize("name", CONFIGS)
def test_folding_the_normalisation_changes_nothing(name: str) -> None:
    network, mask = NETWORKS[name], mask_of("full", 64, 64)
    folded = random_network(network.config).fold()
    grid = PackedGrid(mask, network.config.levels)
    x = torch.randn(mask.sum(), network.config.input_channels, generator=torch.Generator().manual_seed(3))
    expected, found = network.step(x, grid, None).features, folded.step(x, grid, None).features
    torch.testing.assert_close(found, expected, atol=2e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_the_masked_dense_network(name: str) -> None:
    config = CONFIGS[name]
    rng = np.random.default_rng(5)
    mask = rng.random((1, 64, 64)) < 0.3
    network = random_network(config).requires_grad_(True)
    image = torch.randn(1, config.input_channels, 64, 64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for grid in (DenseGrid.masked(torch.from_numpy(mask), config.levels), PackedGrid(mask, config.levels)):
        x = image if isinstance(grid, DenseGrid) else grid.pack(image)
        first = network.step(x, grid, None)
        logits = network.step(x, grid, first.state).mask_logits
        active = logits[torch.from_numpy(mask)[:, None]] if isinstance(grid, DenseGrid) else logits
        network.zero_grad()
        active.square().mean().backward()
        gradients.append({k: p.grad.clone() for k, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for key, expected in gradients[0].items():
        scale = max(float(expected.abs().max()), 1e-3)
        torch.testing.assert_close(gradients[1][key], expected, atol=1e-3 * scale, rtol=0, msg=key)


def test_operations_follow_what_is_active() -> None:
    network = NETWORKS["small"]
    rng = np.random.default_rng(0)

    def operations(density: float) -> int:
        grid = PackedGrid(
            np.kron(rng.random((1, 32, 32)) < density, np.ones((1, 8, 8))) > 0, network.config.levels
        )
        network.step(torch.zeros(grid.count(0), 2), grid, None)
        return grid.operations

    everything = operations(1.0)
    assert operations(0.0) == 0
    assert 0.04 < operations(0.05) / everything < 0.15


def test_a_head_at_some_pixels_is_the_head_there() -> None:
    network, rng = NETWORKS["full"], np.random.default_rng(2)
    grid = PackedGrid(rng.random((1, 32, 32)) < 0.4, network.config.levels)
    x = torch.randn(grid.count(0), 8, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([5, 0, grid.count(0) - 1])
    everywhere = network.head("wh")(x, grid)
    torch.testing.assert_close(network.head("wh").at(rows, x, grid), everywhere[rows])


@given(count=st.integers(0, 10**6))
def test_buckets_waste_at_most_a_quarter(count: int) -> None:
    size = bucket(count)
    assert size >= count
    assert size <= max(64, 1.25 * count)
    assert bucket(size) == size


def test_buckets_are_few() -> None:
    assert sorted({bucket(count) for count in range(513)}) == [
        64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512,
    ]  # fmt: skip


def test_more_tiles_than_room_are_refused() -> None:
    with pytest.raises(ValueError, match="4 active tiles, room for 3"):
        PackedGrid(np.ones((1, 16, 16), bool), 4, 8, lambda _: 3)


def test_beyond_the_limit_the_tiles_of_most_energy_stay() -> None:
    rng = np.random.default_rng(0)
    mask, energy = rng.random((20, 30)) < 0.5, rng.random((20, 30), np.float32)
    energy[8:16, 16:24] += 1
    energy[16:, 24:] += 2
    kept = strongest_tiles(mask, energy, 8, 2)
    expected = np.zeros_like(mask)
    expected[8:16, 16:24] = mask[8:16, 16:24]
    expected[16:, 24:] = mask[16:, 24:]
    np.testing.assert_array_equal(kept, expected)
    assert strongest_tiles(mask, energy, 8, 12) is mask
