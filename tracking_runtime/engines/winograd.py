"""3x3 convolutions with fewer multiplications (Winograd, 1980; Lavin & Gray, 2016).

F(4x4, 3x3): a tile of 6 x 6 inputs gives 4 x 4 outputs with 36 products instead of 144. Each channel is
transformed before and after, so the algorithm is faster only with many channels. The weights take four times
the memory. On CPUs no library implements it in bfloat16. The outputs differ by rounding only: 1e-5 of their
spread in float32, and 1e-2 in bfloat16, like int8.
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

MIN_CHANNELS = 512
"""Number of input channels from which the algorithm is faster, on AVX-512 at 31 x 31 pixels."""

_KERNEL_SIZE = 3
_TILE_OUTPUTS = 4  # outputs of a tile along one axis
_TILE_SIZE = _KERNEL_SIZE + _TILE_OUTPUTS - 1  # inputs of a tile along one axis
_POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)
"""Interpolation points besides infinity: the fractions of few bits with the smallest rounding errors."""


def to_winograd(graph: Graph) -> Graph:
    """Return the graph with Winograd's algorithm for its dense 3x3 convolutions of many channels.

    A program exported from the result is valid for the shapes of this graph only.
    """
    module = copy.deepcopy(graph.module)
    for name, convolution in list(module.named_modules()):
        if _is_faster_by_winograd(convolution):
            module.set_submodule(name, WinogradConvolution(convolution))
    return replace(graph, module=module)


def _is_faster_by_winograd(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (_KERNEL_SIZE, _KERNEL_SIZE)
        and module.stride == (1, 1)
        and module.groups == 1
        and module.bias is None
        and module.padding_mode == "zeros"
        and module.in_channels >= MIN_CHANNELS
    )


class WinogradConvolution(nn.Module):
    """A 3x3 convolution as products of transformed tiles.

    Args:
        convolution: convolution of stride 1 without bias. It may be dilated.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert isinstance(convolution.padding, tuple), "padding is in pixels"
        self._padding = convolution.padding
        self._dilation = convolution.dilation
        inputs, weights, outputs = (torch.from_numpy(matrix).float() for matrix in _make_transforms())
        self.register_buffer("inputs", inputs)
        self.register_buffer("outputs", outputs)
        kernels = convolution.weight.detach().permute(2, 3, 1, 0).reshape(_KERNEL_SIZE**2, -1)
        shape = (_TILE_SIZE**2, convolution.in_channels, convolution.out_channels)
        self.weight = nn.Parameter((weights @ kernels).reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        batch_size, channels, *size = x.shape
        input_indices, output_indices, shape = self._compute_indices(batch_size, tuple(size))

        # Step 1: cut the tiles from the pixels as rows, of which the last is zero, and transform them.
        rows = nn.functional.pad(x.permute(0, 2, 3, 1).reshape(-1, channels), (0, 0, 0, 1))
        tiles = rows[input_indices].reshape(_TILE_SIZE**2, -1)
        transformed = (self.get_buffer("inputs") @ tiles).reshape(_TILE_SIZE**2, -1, channels)

        # Step 2: multiply by the weights, transform back, and sort the outputs.
        products = torch.bmm(transformed, self.weight)
        outputs = self.get_buffer("outputs") @ products.reshape(_TILE_SIZE**2, -1)
        sorted_outputs = outputs.reshape(-1, self.weight.shape[2])[output_indices]
        return sorted_outputs.reshape(batch_size, *shape, -1).permute(0, 3, 1, 2)

    def _compute_indices(
        self, batch_size: int, size: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Return the input row of each position of each tile, the row of each output, and the output's shape.

        The row after the last pixel stands for positions outside of the image.
        """
        axes = zip(size, self._padding, self._dilation, strict=True)
        (tile_rows, output_rows), (tile_columns, output_columns) = (
            _compute_axis_tiles(*axis) for axis in axes
        )
        images = np.arange(batch_size)

        # Inputs: (image, tile row, row, tile column, column) -> (row, column, image, tile row, tile column).
        pixel_rows = images[:, None, None, None, None] * size[0] + tile_rows[:, :, None, None]
        inputs = pixel_rows * size[1] + tile_columns
        is_outside = (tile_rows[:, :, None, None] < 0) | (tile_columns < 0)
        inputs = np.where(is_outside, batch_size * size[0] * size[1], inputs).transpose(2, 4, 0, 1, 3)

        # Outputs: a position in the tile, then a tile.
        rows = output_rows[:, None, :]
        columns = output_columns[None, :, :]
        tile_row = images[:, None, None] * len(tile_rows) + rows[..., 0]
        tile = tile_row * len(tile_columns) + columns[..., 0]
        position = rows[..., 1] * _TILE_OUTPUTS + columns[..., 1]
        outputs = position * (batch_size * len(tile_rows) * len(tile_columns)) + tile

        shape = (len(output_rows), len(output_columns))
        return torch.from_numpy(inputs.reshape(-1)), torch.from_numpy(outputs.reshape(-1)), shape


def _compute_axis_tiles(
    size: int, padding: int, dilation: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tiles along one axis.

    Returns:
        pixel of each position of each tile, `(tiles, 6)`, -1 outside of the image; tile and position in the
        tile
        of each output, `(outputs, 2)`.
    """
    num_outputs = size + 2 * padding - (_KERNEL_SIZE - 1) * dilation
    step = dilation * _TILE_OUTPUTS
    starts = [start for phase in range(dilation) for start in range(phase, num_outputs, step)]
    pixels = np.array(starts)[:, None] - padding + dilation * np.arange(_TILE_SIZE)
    tile_of_output = {
        start + dilation * position: (tile, position)
        for tile, start in enumerate(starts)
        for position in range(_TILE_OUTPUTS)
    }
    is_inside = (pixels >= 0) & (pixels < size)
    outputs = np.array([tile_of_output[output] for output in range(num_outputs)])
    return np.where(is_inside, pixels, -1), outputs


@cache
def _make_transforms() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrices of tiles, kernels and outputs, each for both axes at once (Toom and Cook)."""
    points = np.array(_POINTS)
    other_points = [np.delete(points, index) for index in range(len(points))]
    scales = np.array([np.prod(point - others) for point, others in zip(points, other_points, strict=True)])
    inputs = np.zeros((_TILE_SIZE, _TILE_SIZE))
    for index, roots in enumerate(other_points):
        inputs[index, :-1] = np.poly(roots)[::-1]
    inputs[-1] = np.poly(points)[::-1]
    finite_weights = np.vander(points, _KERNEL_SIZE, increasing=True) / scales[:, None]
    weights = np.vstack([finite_weights, np.eye(_KERNEL_SIZE)[-1]])
    finite_outputs = np.vander(points, _TILE_OUTPUTS, increasing=True).T
    outputs = np.hstack([finite_outputs, np.eye(_TILE_OUTPUTS)[:, -1:]])
    input_transform, weight_transform, output_transform = (
        np.kron(matrix, matrix) for matrix in (inputs, weights, outputs)
    )
    return input_transform, weight_transform, output_transform
