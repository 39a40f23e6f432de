"""The network of a graph with fewer and wider operations, for engines.

An engine spends more time on copies between convolutions of few channels than on their products. Convolutions
of the same pixels are therefore one, and a transposed convolution is a plain one with four times the
channels. The outputs differ from those of the network by rounding only.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spax_ros.network.layers import ConvNorm, Deconv, GatedUnit
from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.operations import TableGrid


def fuse_network(network: SpaxNetwork) -> SpaxNetwork:
    """Return a copy of a network with fused layers, for grids of tiles. The network does not change."""
    fused = copy.deepcopy(network).fold()
    stem, base = fused.stem[0], fused.backbone.base
    assert isinstance(stem, ConvNorm)
    if stem.conv.weight.shape[2:] == base.conv.weight.shape[2:]:
        fused.joint_entry = JointEntry(stem, base)
    fused.joint_output = JointOutput(fused.fused, fused.project)
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
        self.weight, self.bias = _join_gates(unit)

    def forward(self, x: Tensor, state: Tensor, grid: TableGrid, level: int) -> Tensor:
        """Return the new state; see `GatedUnit`."""
        outputs = grid.conv(torch.cat([x, state], dim=1), self.weight, self.bias, level)
        return _update_state(state, *outputs.chunk(5, dim=1))


class JointEntry(nn.Module):
    """The convolutions of the frame by the recurrent branch and by the backbone as one.

    Args:
        stem: first convolution of the recurrent branch, folded, without ReLU.
        base: first convolution of the backbone, folded, of the same kernel size.
    """

    def __init__(self, stem: ConvNorm, base: ConvNorm) -> None:
        super().__init__()
        self.weight, self.bias = _concatenate(
            [(layer.conv.weight, layer.conv.bias) for layer in (stem, base)]
        )

    def forward(self, x: Tensor, grid: TableGrid) -> tuple[Tensor, Tensor]:
        """Return the output of both."""
        first, base = grid.conv(x, self.weight, self.bias, 0).chunk(2, dim=1)
        return first, F.relu(base)


class JointOutput(nn.Module):
    """The gated unit on the fused features and their projection as one convolution.

    Args:
        unit: gated unit.
        project: projection, folded, without ReLU.
    """

    def __init__(self, unit: GatedUnit, project: ConvNorm) -> None:
        super().__init__()
        gate_weight, gate_bias = _join_gates(unit)
        num_unread = gate_weight.shape[1] - project.conv.weight.shape[1]
        weight = F.pad(project.conv.weight.detach(), (0, 0, 0, 0, 0, num_unread))
        self.weight, self.bias = _concatenate([(gate_weight, gate_bias), (weight, project.conv.bias)])

    def forward(self, x: Tensor, state: Tensor, grid: TableGrid) -> tuple[Tensor, Tensor]:
        """Return the new state and the projection."""
        outputs = grid.conv(torch.cat([x, state], dim=1), self.weight, self.bias, 0)
        *gates, projected = outputs.chunk(6, dim=1)
        return _update_state(state, *gates), projected


def _join_gates(unit: GatedUnit) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weight and bias of the convolution of input and state to r, z1, z2, and both candidates."""
    num_inputs, num_hidden = unit.conv_h1.weight.shape[1], unit.conv_h2.weight.shape[1]
    convolutions = (unit.conv_r, unit.conv_z, unit.conv_h1, unit.conv_h2)
    paddings = ((0, 0), (0, 0), (0, num_hidden), (num_inputs, 0))
    return _concatenate(
        [
            (F.pad(convolution.weight.detach(), (0, 0, 0, 0, *padding)), convolution.bias)
            for convolution, padding in zip(convolutions, paddings, strict=True)
        ]
    )


def _concatenate(layers: Sequence[tuple[Tensor, Tensor | None]]) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weight and bias of convolutions of the same pixels as one."""
    weights = [weight.detach() for weight, _ in layers]
    biases = [bias.detach() for _, bias in layers if bias is not None]
    return nn.Parameter(torch.cat(weights)), nn.Parameter(torch.cat(biases))


def _update_state(
    state: Tensor, r: Tensor, z1: Tensor, z2: Tensor, from_input: Tensor, from_state: Tensor
) -> Tensor:
    """Return the new state of a gated unit from its convolutions."""
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
