"""The network of a graph with fewer and wider operations, for engines.

An engine spends more time on copies between convolutions of few channels than on their products. Convolutions
of the same pixels are therefore one, and a transposed convolution is a plain one with four times the
channels. The outputs differ from those of the network by rounding only.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spax_ros.network.layers import Deconv, GatedUnit
from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.operations import TableGrid


def fuse_network(network: SpaxNetwork) -> SpaxNetwork:
    """Return a copy of a network with fused layers, for grids of tiles. The network does not change."""
    fused = copy.deepcopy(network).eval()
    for name, layer in list(fused.named_modules()):
        if isinstance(layer, GatedUnit):
            fused.set_submodule(name, FusedGatedUnit(layer))
        elif isinstance(layer, Deconv):
            fused.set_submodule(name, SubPixelDeconv(layer))
    return fused.requires_grad_(False)


class FusedGatedUnit(nn.Module):
    """A `GatedUnit` whose four convolutions are one, with zeros for the channels that one does not read.

    Args:
        unit: unit whose weights are copied.
    """

    def __init__(self, unit: GatedUnit) -> None:
        super().__init__()
        num_inputs, num_hidden = unit.conv_h1.weight.shape[1], unit.conv_h2.weight.shape[1]
        convolutions = (unit.conv_r, unit.conv_z, unit.conv_h1, unit.conv_h2)
        paddings = ((0, 0), (0, 0), (0, num_hidden), (num_inputs, 0))
        weights = [
            F.pad(convolution.weight.detach(), (0, 0, 0, 0, *padding))
            for convolution, padding in zip(convolutions, paddings, strict=True)
        ]
        biases = [convolution.bias.detach() for convolution in convolutions if convolution.bias is not None]
        self.weight = nn.Parameter(torch.cat(weights))
        self.bias = nn.Parameter(torch.cat(biases))

    def forward(self, x: Tensor, state: Tensor, grid: TableGrid, level: int) -> Tensor:
        """Return the new state; see `GatedUnit`."""
        outputs = grid.conv(torch.cat([x, state], dim=1), self.weight, self.bias, level)
        r, z1, z2, from_input, from_state = outputs.chunk(5, dim=1)
        candidate = torch.tanh(from_input + torch.sigmoid(r) * from_state)
        return torch.sigmoid(z1) * candidate + torch.sigmoid(z2) * state


class SubPixelDeconv(nn.Module):
    """A `Deconv` whose transposed convolution is a 3x3 one to the four fine pixels of each coarse pixel.

    Args:
        layer: layer whose weights are copied.
    """

    def __init__(self, layer: Deconv) -> None:
        super().__init__()
        self.conv = layer.conv
        self.norm = layer.norm
        num_inputs, num_outputs = layer.weight.shape[:2]
        # A fine pixel reads 2x2 coarse ones. The taps depend on the parity of its row and column.
        flipped = layer.weight.detach().flip(2, 3).transpose(0, 1)
        weight = flipped.new_zeros(2, 2, num_outputs, num_inputs, 3, 3)
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            taps = flipped[:, :, row::2, column::2]
            weight[row, column, :, :, row : row + 2, column : column + 2] = taps
        self.weight = nn.Parameter(weight.flatten(0, 2))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().repeat(4))

    def forward(self, x: Tensor, grid: TableGrid, level: int) -> Tensor:
        """Return features at ``level - 1``."""
        children = grid.conv(self.conv(x, grid, level), self.weight, self.bias, level)
        return F.relu(self.norm(grid.to_finer_level(children, level)))
