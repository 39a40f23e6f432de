"""3x3 convolutions with fewer multiplications (Winograd, 1980; Lavin & Gray, 2016).

F(4x4, 3x3): tiles of 6 x 6 inputs give 4 x 4 outputs by 36 products instead of 144. In exchange a channel is
transformed before and after, so it pays where channels are many, and the weights take four times the memory.
On CPUs no library has it in bfloat16. Sums are the same but for rounding: 1e-5 of the spread in float32, and
in bfloat16 1e-2, as int8 has.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tracking_runtime.engines.base import Graph

FEWEST_CHANNELS = 512
"""Of a convolution's input, for which it pays: measured on AVX-512 at 31 x 31 pixels."""

_KERNEL, _OUTPUTS = 3, 4
_TILE = _KERNEL + _OUTPUTS - 1
_POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)
"""Where polynomials are evaluated, beside infinity: of the fractions of few bits, those that round least."""


def with_fewer_products(graph: Graph) -> Graph:
    """The graph with Winograd's algorithm for its dense 3x3 convolutions of many channels.

    Its shapes are part of it: what is converted from it is for no others.
    """
    module = copy.deepcopy(graph.module)
    for name, convolution in list(module.named_modules()):
        if _pays(convolution):
            module.set_submodule(name, WinogradConvolution(convolution))
    return replace(graph, module=module)


def _pays(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (_KERNEL, _KERNEL)
        and module.stride == (1, 1)
        and module.groups == 1
        and module.bias is None
        and module.padding_mode == "zeros"
        and module.in_channels >= FEWEST_CHANNELS
    )


class WinogradConvolution(nn.Module):
    """A convolution without bias, its stride 1, dilated or not, as products of transformed tiles."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert isinstance(convolution.padding, tuple), "padding is in pixels"
        self._padding, self._dilation = convolution.padding, convolution.dilation
        inputs, weights, outputs = (torch.from_numpy(matrix).float() for matrix in _transforms())
        self.register_buffer("inputs", inputs)
        self.register_buffer("outputs", outputs)
        kernels = convolution.weight.detach().permute(2, 3, 1, 0).reshape(_KERNEL**2, -1)
        shape = (_TILE**2, convolution.in_channels, convolution.out_channels)
        self.weight = nn.Parameter((weights @ kernels).reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, *size = x.shape
        tiles, pixels, shape = self._places(batch, tuple(size))
        rows = nn.functional.pad(x.permute(0, 2, 3, 1).reshape(-1, channels), (0, 0, 0, 1))
        seen = rows[tiles].reshape(_TILE**2, -1)
        products = torch.bmm((self.get_buffer("inputs") @ seen).reshape(_TILE**2, -1, channels), self.weight)
        made = self.get_buffer("outputs") @ products.reshape(_TILE**2, -1)
        return made.reshape(-1, self.weight.shape[2])[pixels].reshape(batch, *shape, -1).permute(0, 3, 1, 2)

    def _places(self, batch: int, size: tuple[int, ...]) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Input rows that each place of a tile sees, the last for none; rows of the outputs in order."""
        axes = [_axis(*each) for each in zip(size, self._padding, self._dilation, strict=True)]
        (down, row_of), (across, column_of) = axes
        images = np.arange(batch)
        seen = (images[:, None, None, None, None] * size[0] + down[:, :, None, None]) * size[1] + across
        outside = (down[:, :, None, None] < 0) | (across < 0)
        seen = np.where(outside, batch * size[0] * size[1], seen).transpose(2, 4, 0, 1, 3)
        first, second = row_of[:, None, :], column_of[None, :, :]
        tile = (images[:, None, None] * len(down) + first[..., 0]) * len(across) + second[..., 0]
        place = first[..., 1] * _OUTPUTS + second[..., 1]
        pixels = place * (batch * len(down) * len(across)) + tile
        shape = (len(row_of), len(column_of))
        return torch.from_numpy(seen.reshape(-1)), torch.from_numpy(pixels.reshape(-1)), shape


def _axis(size: int, padding: int, dilation: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Along one axis: the pixels of each tile, ``(tiles, 6)``, -1 for none; each output's tile and place."""
    outputs = size + 2 * padding - (_KERNEL - 1) * dilation
    step = dilation * _OUTPUTS
    starts = [start for phase in range(dilation) for start in range(phase, outputs, step)]
    pixels = np.array(starts)[:, None] - padding + dilation * np.arange(_TILE)
    of = {start + dilation * k: (tile, k) for tile, start in enumerate(starts) for k in range(_OUTPUTS)}
    inside = (pixels >= 0) & (pixels < size)
    return np.where(inside, pixels, -1), np.array([of[output] for output in range(outputs)])


@cache
def _transforms() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Matrices for both axes at once: of tiles, of kernels, and back to outputs (Toom and Cook's)."""
    points = np.array(_POINTS)
    others = [np.delete(points, index) for index in range(len(points))]
    scales = np.array([np.prod(point - other) for point, other in zip(points, others, strict=True)])
    inputs = np.zeros((_TILE, _TILE))
    for index, roots in enumerate(others):
        inputs[index, :-1] = np.poly(roots)[::-1]
    inputs[-1] = np.poly(points)[::-1]
    weights = np.vstack([np.vander(points, _KERNEL, increasing=True) / scales[:, None], np.eye(_KERNEL)[-1]])
    outputs = np.hstack([np.vander(points, _OUTPUTS, increasing=True).T, np.eye(_OUTPUTS)[:, -1:]])
    both = (np.kron(matrix, matrix) for matrix in (inputs, weights, outputs))
    one, two, three = both
    return one, two, three
