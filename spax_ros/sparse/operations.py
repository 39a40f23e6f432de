"""Operations of a grid as gathers by tables and dense products.

Features are ``(rows, C)``. For a convolution, every tile gathers its pixels and those around them and is
convolved as a small image. At levels with tiles of single pixels this is one matrix product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from spax_ros.network.grid import Grid, Shift, view_as_rows
from spax_ros.sparse.gather_tables import GatherTable, gather_rows


class TableKey(NamedTuple):
    """Key of a table.

    Attributes:
        kind: purpose of the table: patch, children, reduce, windows or places.
        level: level of the input.
        size: size of the kernel or window, or binary logarithm of the reduction.
        stride: stride of the kernel.
    """

    kind: str
    level: int
    size: int = 0
    stride: int = 1

    @property
    def name(self) -> str:
        """Name of the graph input."""
        return "_".join(map(str, self))


class TableGrid(ABC):
    """Base of grids with features by rows; implements `spax_ros.network.grid.Grid`.

    Attributes:
        sides: side of the tiles of each level, in pixels.
        operations: multiply-accumulate operations so far.
    """

    sides: tuple[int, ...]
    operations = 0

    @abstractmethod
    def num_rows(self, level: int) -> int:
        """Return the number of rows of a level's features."""

    @abstractmethod
    def get_table(self, key: TableKey) -> GatherTable:
        """Return the table of a key."""

    @abstractmethod
    def warp(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        """Return an earlier frame's features at this frame's pixels; see `Grid.warp`."""

    @abstractmethod
    def mean(self, x: Tensor, level: int) -> Tensor:
        """Return the mean over the whole image; see `Grid.mean`."""

    @abstractmethod
    def apply_where(
        self,
        is_selected: Tensor,
        function: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        """Apply a function to the selected windows; see `Grid.apply_where`."""

    def zeros(self, like: Tensor, level: int, channels: int) -> Tensor:
        return like.new_zeros(self.num_rows(level), channels)

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int, stride: int = 1) -> Tensor:
        kernel, out = weight.shape[-1], level + stride - 1
        self.operations += self.num_rows(out) * weight.numel()
        if self.sides[out] > 1:
            images = (
                self._to_tile_images(x, level)
                if kernel == 1
                else self._to_patch_images(x, level, kernel, stride)
            )
            return _to_rows(F.conv2d(images, weight, bias, stride, groups=x.shape[1] // weight.shape[1]))
        neighbors = (
            x[:, None]
            if kernel == 1
            else gather_rows(x, self.get_table(TableKey("patch", level, kernel, stride)))
        )
        return _apply_kernel(neighbors, weight, bias)

    def conv_at(self, rows: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        self.operations += len(rows) * weight.numel()
        neighbors = GatherTable(self._find_neighbors(rows, weight.shape[-1]), self.num_rows(0))
        return _apply_kernel(gather_rows(x, neighbors), weight, bias)

    def conv_transpose(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int) -> Tensor:
        self.operations += self.num_rows(level - 1) * weight.numel() // 4
        if self.sides[level - 1] == 2 * self.sides[level]:
            # Padding 3 crops the surroundings: padding 1 of the operation, and 2 fine pixels on each side.
            images = self._to_patch_images(x, level, 3, 1)
            groups = weight.shape[0] if weight.shape[1] == 1 else 1
            return _to_rows(F.conv_transpose2d(images, weight, bias, stride=2, padding=3, groups=groups))
        # A fine pixel reads 2x2 coarse ones. The taps depend on the parity of its row and column.
        neighbors = gather_rows(x, self.get_table(TableKey("patch", level, 3)))
        flipped, children = weight.flip(2, 3), []
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            inputs = view_as_rows(neighbors[:, row : row + 2, column : column + 2], 4, x.shape[1])
            taps = flipped[:, :, row::2, column::2]
            children.append(
                _apply_kernel(inputs, taps if weight.shape[1] == 1 else taps.transpose(0, 1), bias)
            )
        return self.to_finer_level(torch.cat(children, dim=1), level)

    def to_finer_level(self, children: Tensor, level: int) -> Tensor:
        """Return features at ``level - 1`` from those of each pixel's children.

        Args:
            children: features ``(rows, 4 * C)`` at `level`: upper left, upper right, lower left, lower right.
            level: level of the parents.
        """
        channels, side = children.shape[1] // 4, self.sides[level]
        if self.sides[level - 1] == 2 * side:
            pixels = view_as_rows(children, side, side, 2, 2, channels)
            return view_as_rows(pixels.permute(0, 1, 3, 2, 4, 5), channels)
        return gather_rows(view_as_rows(children, channels), self.get_table(TableKey("children", level)))

    def max_pool(self, x: Tensor, level: int, kernel: int) -> Tensor:
        neighbors = gather_rows(x, self.get_table(TableKey("patch", level, kernel, 2)), outside=-torch.inf)
        return _to_rows(F.max_pool2d(neighbors.permute(0, 3, 1, 2), kernel, 2))

    def average_pool(self, x: Tensor, level: int) -> Tensor:
        return _to_rows(F.avg_pool2d(self._to_patch_images(x, level, 3, 1), 3, 1))

    def downsample(self, x: Tensor, factor_log2: int) -> Tensor:
        # Bilinear sampling at half-pixel centers averages the four pixels around the center of each block.
        return gather_rows(x, self.get_table(TableKey("reduce", 0, factor_log2))).mean(dim=1)

    def to_windows(self, x: Tensor, level: int, size: int) -> Tensor:
        return gather_rows(x, self.get_table(TableKey("windows", level, size))).transpose(1, 2)

    def from_windows(self, windows: Tensor, level: int, size: int) -> Tensor:
        pixels = view_as_rows(windows.transpose(1, 2), windows.shape[1])
        return gather_rows(pixels, self.get_table(TableKey("places", level, size)))

    def max_pool_3x3(self, values: Tensor) -> Tensor:
        """Return the maximum ``(rows,)`` of 3x3 values at level 0, which must not be negative."""
        neighbors = self._to_patch_images(values[:, None], 0, 3, 1)
        return _to_rows(F.max_pool2d(neighbors, 3, 1))[:, 0]

    def _to_tile_images(self, x: Tensor, level: int) -> Tensor:
        """Return the tiles of a level as images, ``(T, C, side, side)``."""
        side = self.sides[level]
        return view_as_rows(x, side, side, x.shape[1]).permute(0, 3, 1, 2)

    def _to_patch_images(self, x: Tensor, level: int, kernel: int, stride: int) -> Tensor:
        """Return the pixels that a kernel reads for each tile of the output, ``(T, C, P, P)``."""
        return gather_rows(x, self.get_table(TableKey("patch", level, kernel, stride))).permute(0, 3, 1, 2)

    def _find_neighbors(self, rows: Tensor, kernel: int) -> Tensor:
        """Return the rows ``(n, kernel * kernel)`` of the pixels around some pixels of level 0."""
        side = self.sides[0]
        patch = side + kernel - 1
        tile, place = torch.div(rows, side**2, rounding_mode="floor"), rows % side**2
        y, x = torch.div(place, side, rounding_mode="floor"), place % side
        steps = torch.arange(kernel, device=rows.device)
        around = ((tile * patch + y) * patch + x)[:, None] + (steps[:, None] * patch + steps).flatten()
        numbers = self.get_table(TableKey("patch", 0, kernel)).indices.view(-1)
        return numbers.index_select(0, around.flatten()).view(around.shape)


def _to_rows(images: Tensor) -> Tensor:
    """Return the rows ``(T * side * side, C)`` of images of tiles."""
    return view_as_rows(images.permute(0, 2, 3, 1), images.shape[1])


def _apply_kernel(neighbors: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a kernel ``(out, in, ...)``, or a depthwise one ``(C, 1, ...)``, to ``(n, ..., C)``."""
    taps = weight.flatten(2).permute(2, 1, 0)
    channels = neighbors.shape[-1]
    if weight.shape[1] == 1 and channels > 1:
        result = (view_as_rows(neighbors, len(taps), channels) * taps[:, 0]).sum(dim=1)
        return result if bias is None else result + bias
    matrix = taps.flatten(0, 1)
    rows = view_as_rows(neighbors, len(matrix))
    return rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)
