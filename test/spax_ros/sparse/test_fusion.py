"""Fused layers: the same outputs as the network's own, with fewer convolutions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.layers import Deconv, GatedUnit
from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.fusion import fuse_network
from spax_ros.sparse.grid import TILE_PX, SparseGrid

STILL = np.zeros((1, 2), np.int64)
CONFIGS: dict[str, SpaxConfig] = {
    "five_levels": replace(VARIANTS["base_satmtb"], widths=(4, 8, 8, 8, 8), head_width=8),
    "four_levels": replace(VARIANTS["small"], widths=(4, 8, 8, 12)),
}


@pytest.mark.parametrize("is_folded", [False, True])
@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_fused_network_equals_the_network(name: str, is_folded: bool) -> None:
    torch.manual_seed(4)
    network = SpaxNetwork(CONFIGS[name]).requires_grad_(False).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)
    network = network.fold() if is_folded else network
    mask = np.random.default_rng(1).random((1, 8, 8)) < 0.4
    pixels = mask.repeat(TILE_PX, 1).repeat(TILE_PX, 2) & (np.arange(64) % 7 > 0)
    grid = SparseGrid(pixels, network.config.num_levels, TILE_PX, lambda _: 40)
    fused = fuse_network(network)

    results = []
    with torch.inference_mode():
        for each in (network, fused):
            state = None
            for seed in (0, 1):
                image = torch.randn(
                    1, network.config.input_channels, 64, 64, generator=torch.Generator().manual_seed(seed)
                )
                step = each.step(grid.pack(image), grid, state)
                state = step.state.warp_to(grid, STILL)
            results.append(step)

    for name, expected in results[0].state.to_features().items():
        level = {"input1": 1, "p1": 1, "p2": 2}.get(name, 0)
        actual = grid.unpack(results[1].state.to_features()[name], level)
        torch.testing.assert_close(actual, grid.unpack(expected, level), atol=2e-5, rtol=1e-4)


def test_fused_network_leaves_the_network_as_it_was() -> None:
    torch.manual_seed(4)
    network = SpaxNetwork(CONFIGS["four_levels"])
    before = {name: values.clone() for name, values in network.state_dict().items()}

    fused = fuse_network(network)

    assert not any(isinstance(layer, (GatedUnit, Deconv)) for layer in fused.modules())
    assert any(isinstance(layer, GatedUnit) for layer in network.modules())
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
