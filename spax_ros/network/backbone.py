"""Deep layer aggregation: the backbone's trees and their fusion (Yu et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spax_ros.network.grid import Grid
from spax_ros.network.layers import ConvNorm, Upsample


class Block(nn.Module):
    """Two 3x3 convolutions with a residual connection."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = ConvNorm(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs, relu=False)

    def forward(self, x: Tensor, residual: Tensor, grid: Grid, level: int) -> Tensor:
        """Return features at the level of `residual`: `level` with stride 1, ``level + 1`` with stride 2."""
        y = self.first(x, grid, level)
        return F.relu(self.second(y, grid, level + self.stride // 2) + residual)


class Tree(nn.Module):
    """Tree of blocks whose root fuses the outputs of all its children.

    Args:
        depth: depth of the tree; a tree of depth 1 has two blocks.
        inputs: channels of the input.
        outputs: channels of the output.
        stride: 2 for an output one level coarser, else 1.
        root: input channels of the root, without the tree's own input; 0: those of the two blocks.
        has_input_child: True if the downsampled input is a child too.
    """

    def __init__(
        self,
        depth: int,
        inputs: int,
        outputs: int,
        *,
        stride: int = 2,
        root: int = 0,
        has_input_child: bool = False,
    ):
        super().__init__()
        self.stride = stride
        self.has_input_child = has_input_child
        root_inputs = (root or 2 * outputs) + (inputs if has_input_child else 0)
        self.first: Tree | Block
        self.second: Tree | Block
        if depth == 1:
            self.first = Block(inputs, outputs, stride)
            self.second = Block(outputs, outputs, 1)
            self.project = ConvNorm(inputs, outputs, 1, relu=False) if inputs != outputs else None
            self.root = ConvNorm(root_inputs, outputs, 1)
        else:
            self.first = Tree(depth - 1, inputs, outputs, stride=stride)
            self.second = Tree(depth - 1, outputs, outputs, stride=1, root=root_inputs + outputs)

    def forward(self, x: Tensor, grid: Grid, level: int, children: Sequence[Tensor] = ()) -> Tensor:
        """Return features at `level` with stride 1, one level coarser with stride 2."""
        out = level + self.stride // 2
        bottom = grid.max_pool(x, level, 2) if self.stride == 2 else x
        if self.has_input_child:
            children = [*children, bottom]
        if isinstance(self.first, Tree) and isinstance(self.second, Tree):
            first = self.first(x, grid, level)
            return self.second(first, grid, out, [*children, first])
        residual = bottom if self.project is None else self.project(bottom, grid, out)
        first = self.first(x, residual, grid, level)
        second = self.second(first, first, grid, out)
        return self.root(torch.cat([second, first, *children], dim=1), grid, out)


class Backbone(nn.Module):
    """Levels of DLA-34. The features of another branch are added after the first convolution.

    Args:
        inputs: channels of a frame.
        widths: channels of each level.
        depths: depth of the tree of each level; levels 0 and 1 are plain convolutions.
        kernel: kernel size of the first convolution.
    """

    def __init__(self, inputs: int, widths: Sequence[int], depths: Sequence[int], kernel: int) -> None:
        super().__init__()
        self.base = ConvNorm(inputs, widths[0], kernel)
        self.level0 = ConvNorm(widths[0], widths[0])
        self.level1 = ConvNorm(widths[0], widths[1], stride=2)
        self.trees = nn.ModuleList(
            Tree(depths[i], widths[i - 1], widths[i], has_input_child=i > 2) for i in range(2, len(widths))
        )

    def forward(self, x: Tensor, added: Tensor, grid: Grid, base: Tensor | None = None) -> list[Tensor]:
        """Return features at levels 0, 1, 2, ...

        Args:
            x: frame.
            added: features that are added after the first convolution.
            grid: pixels of the frame.
            base: output of the first convolution; None: it is computed.
        """
        first = self.base(x, grid, 0) if base is None else base
        levels = [self.level0(first + added, grid, 0)]
        levels.append(self.level1(levels[0], grid, 0))
        for level, tree in enumerate(self.trees, start=1):
            levels.append(tree(levels[-1], grid, level))
        return levels


class Aggregation(nn.Module):
    """Intra-frame fusion: coarse features are repeatedly merged into finer ones (DLAUp)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        finest_inputs = list(widths)
        self.steps = nn.ModuleList()
        for target in range(len(widths) - 2, -1, -1):
            width = widths[target]
            self.steps.append(_Merge(width, finest_inputs[target + 1 :]))
            finest_inputs[target + 1 :] = [width] * len(finest_inputs[target + 1 :])

    def forward(self, levels: Sequence[Tensor], grid: Grid) -> list[Tensor]:
        """Return fused features at the same levels."""
        layers = list(levels)
        merged = [layers[-1]]
        for step, target in zip(self.steps, range(len(layers) - 2, -1, -1), strict=True):
            layers[target + 1 :] = step(layers[target], layers[target + 1 :], grid, target)
            merged.insert(0, layers[-1])
        return merged


class _Merge(nn.Module):
    """Upsampling of layers by one level, each merged with the one before."""

    def __init__(self, width: int, inputs: Sequence[int]) -> None:
        super().__init__()
        self.project = nn.ModuleList(ConvNorm(channels, width, bias=True) for channels in inputs)
        self.up = nn.ModuleList(Upsample(width) for _ in inputs)
        self.node = nn.ModuleList(ConvNorm(width, width, bias=True) for _ in inputs)

    def forward(self, finest: Tensor, coarse: Sequence[Tensor], grid: Grid, target: int) -> list[Tensor]:
        merged = []
        for x, project, up, node in zip(coarse, self.project, self.up, self.node, strict=True):
            finest = node(up(project(x, grid, target + 1), grid, target + 1) + finest, grid, target)
            merged.append(finest)
        return merged
