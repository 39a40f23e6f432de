"""Equality of the sparse and the masked dense network for any active pixels."""

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
from spax_ros.sparse.grid import SparseGrid
from spax_ros.sparse.tile_budget import round_to_bucket, select_strongest_tiles

FULL = replace(VARIANTS["base_satmtb"], widths=(8, 8, 16, 16, 16), head_width=8)
LIGHT = replace(VARIANTS["light_satvideodt"], widths=(8, 12, 16, 16), head_width=8)
CONFIGS = {"full": FULL, "light": LIGHT, "small": VARIANTS["small"]}
HEADS = ("hm", "wh", "reg")


def make_random_network(config: SpaxConfig) -> SpaxNetwork:
    torch.manual_seed(1)
    network = SpaxNetwork(config)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.6, 1.4)
    for name in HEADS:
        torch.nn.init.normal_(network.head(name).out.weight)
    return network.requires_grad_(False).eval()


NETWORKS = {name: make_random_network(config) for name, config in CONFIGS.items()}


def assert_same_outputs(
    name: str,
    masks: list[NDArray[np.bool_]],
    shifts: list[tuple[int, int]],
    seed: int,
    tile_px: int = 1,
    choose_capacity: Callable[[int], int] | None = None,
) -> None:
    """Compare dense and sparse outputs over frames, with the state warped between them."""
    network = NETWORKS[name]
    config = network.config
    generator = torch.Generator().manual_seed(seed)
    dense_state = sparse_state = None
    for mask, shift in zip(masks, shifts, strict=True):
        images = torch.randn(len(mask), config.input_channels, *mask.shape[1:], generator=generator)
        batch_shift = np.array([shift] * len(mask))
        dense_grid = DenseGrid.masked(torch.from_numpy(mask), config.num_levels)
        grid = SparseGrid(mask, config.num_levels, tile_px, choose_capacity)

        dense = network.step(images, dense_grid, dense_state and dense_state.warp_to(dense_grid, batch_shift))
        sparse = network.step(
            grid.pack(images), grid, sparse_state and sparse_state.warp_to(grid, batch_shift)
        )

        dense_state, sparse_state = dense.state, sparse.state
        pairs = [(dense.mask_logits, sparse.mask_logits)]
        pairs += [
            (network.head(h)(dense.features, dense_grid), network.head(h)(sparse.features, grid))
            for h in HEADS
        ]
        if dense.pair is not None:
            pairs.append(
                (network.displacement(dense.pair, dense_grid), network.displacement(sparse.pair, grid))
            )
        for expected, output in pairs:
            at_active = grid.pack(expected)[grid.active_rows]
            scale = max(1.0, float(at_active.abs().max()) if at_active.numel() else 0.0)
            torch.testing.assert_close(output[grid.active_rows], at_active, atol=1e-4 * scale, rtol=0)


def make_mask(kind: str, height: int, width: int) -> NDArray[np.bool_]:
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
@pytest.mark.parametrize("tile_px", [1, 8])
@pytest.mark.parametrize("kind", ["empty", "full", "pixel", "corner", "borders"])
def test_sparse_network_equals_dense_one_on_special_masks(name: str, kind: str, tile_px: int) -> None:
    multiple = CONFIGS[name].size_multiple
    mask = make_mask(kind, 2 * multiple, 3 * multiple)

    assert_same_outputs(name, [mask, mask], [(0, 0), (1, -1)], 0, tile_px)


@settings(max_examples=10, deadline=None)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    num_rows=st.integers(1, 2),
    num_columns=st.integers(1, 3),
    num_images=st.integers(1, 2),
    density=st.sampled_from([0.01, 0.1, 0.5, 0.9]),
    shift=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    seed=st.integers(0, 2**16),
    tile_px=st.sampled_from([1, 2, 8]),
    choose_capacity=st.sampled_from([None, lambda count: count + 3, lambda count: round_to_bucket(count, 8)]),
)
def test_sparse_network_equals_dense_one_on_random_masks(
    name: str,
    num_rows: int,
    num_columns: int,
    num_images: int,
    density: float,
    shift: tuple[int, int],
    seed: int,
    tile_px: int,
    choose_capacity: Callable[[int], int] | None,
) -> None:
    multiple = max(CONFIGS[name].size_multiple, tile_px)
    rng = np.random.default_rng(seed)
    shape = (num_images, num_rows * multiple, num_columns * multiple)
    masks = [rng.random(shape) < density for _ in range(3)]

    assert_same_outputs(name, masks, [(0, 0), shift, (2, -3)], seed, tile_px, choose_capacity)


@pytest.mark.parametrize("name", CONFIGS)
def test_folded_network_equals_unfolded_one(name: str) -> None:
    network, mask = NETWORKS[name], make_mask("full", 64, 64)
    folded = make_random_network(network.config).fold()
    grid = SparseGrid(mask, network.config.num_levels)
    x = torch.randn(mask.sum(), network.config.input_channels, generator=torch.Generator().manual_seed(3))

    expected, features = network.step(x, grid, None).features, folded.step(x, grid, None).features

    torch.testing.assert_close(features, expected, atol=2e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_sparse_gradients_equal_dense_ones(name: str) -> None:
    config = CONFIGS[name]
    rng = np.random.default_rng(5)
    mask = rng.random((1, 64, 64)) < 0.3
    network = make_random_network(config).requires_grad_(True)
    image = torch.randn(1, config.input_channels, 64, 64, generator=torch.Generator().manual_seed(0))

    gradients = []
    for grid in (
        DenseGrid.masked(torch.from_numpy(mask), config.num_levels),
        SparseGrid(mask, config.num_levels),
    ):
        x = image if isinstance(grid, DenseGrid) else grid.pack(image)
        first = network.step(x, grid, None)
        logits = network.step(x, grid, first.state).mask_logits
        active = logits[torch.from_numpy(mask)[:, None]] if isinstance(grid, DenseGrid) else logits
        network.zero_grad()
        active.square().mean().backward()
        gradients.append({k: p.grad.clone() for k, p in network.named_parameters() if p.grad is not None})

    dense, sparse = gradients
    assert dense.keys() == sparse.keys()
    for key, expected in dense.items():
        scale = max(float(expected.abs().max()), 1e-3)
        torch.testing.assert_close(sparse[key], expected, atol=1e-3 * scale, rtol=0, msg=key)


def test_operations_grow_with_active_pixels() -> None:
    network = NETWORKS["small"]
    rng = np.random.default_rng(0)

    def count_operations(density: float) -> int:
        mask = np.kron(rng.random((1, 32, 32)) < density, np.ones((1, 8, 8))) > 0
        grid = SparseGrid(mask, network.config.num_levels)
        network.step(torch.zeros(grid.count_active(0), 2), grid, None)
        return grid.operations

    all_active, none_active, few_active = (count_operations(density) for density in (1.0, 0.0, 0.05))

    assert none_active == 0
    assert 0.04 < few_active / all_active < 0.15


def test_head_at_some_pixels_equals_head_everywhere() -> None:
    network, rng = NETWORKS["full"], np.random.default_rng(2)
    grid = SparseGrid(rng.random((1, 32, 32)) < 0.4, network.config.num_levels)
    x = torch.randn(grid.count_active(0), 8, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([5, 0, grid.count_active(0) - 1])

    outputs = network.head("wh").compute_at(rows, x, grid)

    torch.testing.assert_close(outputs, network.head("wh")(x, grid)[rows])


@given(num_tiles=st.integers(0, 10**6))
def test_bucket_is_at_most_a_quarter_larger(num_tiles: int) -> None:
    size = round_to_bucket(num_tiles)

    assert size >= num_tiles
    assert size <= max(64, 1.25 * num_tiles)
    assert round_to_bucket(size) == size


def test_bucket_sizes_are_few() -> None:
    assert sorted({round_to_bucket(num_tiles) for num_tiles in range(513)}) == [
        64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512,
    ]  # fmt: skip


def test_more_tiles_than_the_capacity_are_refused() -> None:
    with pytest.raises(ValueError, match="got 4, capacity 3"):
        SparseGrid(np.ones((1, 16, 16), bool), 4, 8, lambda _: 3)


def test_tiles_of_most_energy_stay_over_the_limit() -> None:
    rng = np.random.default_rng(0)
    mask, energy = rng.random((20, 30)) < 0.5, rng.random((20, 30), np.float32)
    energy[8:16, 16:24] += 1
    energy[16:, 24:] += 2

    limited = select_strongest_tiles(mask, energy, 8, 2)
    unlimited = select_strongest_tiles(mask, energy, 8, 12)

    expected = np.zeros_like(mask)
    expected[8:16, 16:24] = mask[8:16, 16:24]
    expected[16:, 24:] = mask[16:, 24:]
    np.testing.assert_array_equal(limited, expected)
    assert unlimited is mask
