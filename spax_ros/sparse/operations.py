"""The operations of a grid as fetches by tables and dense products, wherever the tables come from.

Features are ``(rows, C)``. For a convolution every tile fetches its pixels and those around them and is
convolved as a small image; at levels whose tiles are single pixels this is one product of matrices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from spax_ros.network.grid import Grid, Shift, as_rows
from spax_ros.sparse.gather_tables import Table, rows_at


class Key(NamedTuple):
    """Which table: what for, at which level of the input, and up to two sizes (kernel and stride, ...)."""

    kind: str
    level: int
    size: int = 0
    stride: int = 1

    @property
    def name(self) -> str:
        """For the input of a graph."""
        return "_".join(map(str, self))


class TableGrid(ABC):
    """``spax_ros.network.grid.Grid`` for features by rows.

    Attributes:
        sides: of the tiles of each level, in pixels.
        operations: pairs of a multiplication and an addition so far.
    """

    sides: tuple[int, ...]
    operations = 0

    @abstractmethod
    def rows(self, level: int) -> int:
        """How many rows the features of a level have."""

    @abstractmethod
    def table(self, key: Key) -> Table:
        """The table that a key names."""

    @abstractmethod
    def carry(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        """As of ``Grid``."""

    @abstractmethod
    def mean(self, x: Tensor, level: int) -> Tensor:
        """As of ``Grid``."""

    @abstractmethod
    def where_seen(
        self,
        seen: Tensor,
        make: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        """As of ``Grid``."""

    def zeros(self, like: Tensor, level: int, channels: int) -> Tensor:
        return like.new_zeros(self.rows(level), channels)

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int, stride: int = 1) -> Tensor:
        kernel, out = weight.shape[-1], level + stride - 1
        self.operations += self.rows(out) * weight.numel()
        if self.sides[out] > 1:
            seen = self._tiles(x, level) if kernel == 1 else self._patches(x, level, kernel, stride)
            return _by_rows(F.conv2d(seen, weight, bias, stride, groups=x.shape[1] // weight.shape[1]))
        near = x[:, None] if kernel == 1 else rows_at(x, self.table(Key("patch", level, kernel, stride)))
        return _product(near, weight, bias)

    def conv_at(self, rows: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        self.operations += len(rows) * weight.numel()
        near = Table(self._around(rows, weight.shape[-1]), self.rows(0))
        return _product(rows_at(x, near), weight, bias)

    def conv_transpose(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int) -> Tensor:
        self.operations += self.rows(level - 1) * weight.numel() // 4
        if self.sides[level - 1] == 2 * self.sides[level]:
            # Without the border that only fills the surroundings: padding 1, and 2 fine pixels to each side.
            seen = self._patches(x, level, 3, 1)
            groups = weight.shape[0] if weight.shape[1] == 1 else 1
            return _by_rows(F.conv_transpose2d(seen, weight, bias, stride=2, padding=3, groups=groups))
        # A fine pixel sees 2x2 coarse ones, through taps that depend on whether its row and column are even.
        near = rows_at(x, self.table(Key("patch", level, 3)))
        flipped, children = weight.flip(2, 3), []
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            seen = as_rows(near[:, row : row + 2, column : column + 2], 4, x.shape[1])
            taps = flipped[:, :, row::2, column::2]
            children.append(_product(seen, taps if weight.shape[1] == 1 else taps.transpose(0, 1), bias))
        fine = as_rows(torch.cat(children, dim=1), children[0].shape[1])
        return rows_at(fine, self.table(Key("children", level)))

    def max_pool(self, x: Tensor, level: int, kernel: int) -> Tensor:
        near = rows_at(x, self.table(Key("patch", level, kernel, 2)), outside=-torch.inf)
        return _by_rows(F.max_pool2d(near.permute(0, 3, 1, 2), kernel, 2))

    def average_pool(self, x: Tensor, level: int) -> Tensor:
        return _by_rows(F.avg_pool2d(self._patches(x, level, 3, 1), 3, 1))

    def reduce(self, x: Tensor, factor_log2: int) -> Tensor:
        # Bilinear sampling at half-pixel centres meets four pixels around the middle of each block.
        return rows_at(x, self.table(Key("reduce", 0, factor_log2))).mean(dim=1)

    def to_windows(self, x: Tensor, level: int, size: int) -> Tensor:
        return rows_at(x, self.table(Key("windows", level, size))).transpose(1, 2)

    def from_windows(self, windows: Tensor, level: int, size: int) -> Tensor:
        pixels = as_rows(windows.transpose(1, 2), windows.shape[1])
        return rows_at(pixels, self.table(Key("places", level, size)))

    def largest_around(self, values: Tensor) -> Tensor:
        """``(rows,)`` the largest of the 3x3 values around each pixel of level 0, none of them negative."""
        near = self._patches(values[:, None], 0, 3, 1)
        return _by_rows(F.max_pool2d(near, 3, 1))[:, 0]

    def _tiles(self, x: Tensor, level: int) -> Tensor:
        """``(T, C, side, side)`` the tiles of a level as images."""
        side = self.sides[level]
        return as_rows(x, side, side, x.shape[1]).permute(0, 3, 1, 2)

    def _patches(self, x: Tensor, level: int, kernel: int, stride: int) -> Tensor:
        """``(T, C, P, P)`` what a kernel sees from each tile of the output."""
        return rows_at(x, self.table(Key("patch", level, kernel, stride))).permute(0, 3, 1, 2)

    def _around(self, rows: Tensor, kernel: int) -> Tensor:
        """``(n, kernel * kernel)`` numbers of the pixels around some of level 0, read from their tiles'."""
        side = self.sides[0]
        patch = side + kernel - 1
        tile, place = torch.div(rows, side**2, rounding_mode="floor"), rows % side**2
        y, x = torch.div(place, side, rounding_mode="floor"), place % side
        steps = torch.arange(kernel, device=rows.device)
        around = ((tile * patch + y) * patch + x)[:, None] + (steps[:, None] * patch + steps).flatten()
        numbers = self.table(Key("patch", 0, kernel)).numbers.view(-1)
        return numbers.index_select(0, around.flatten()).view(around.shape)


def _by_rows(images: Tensor) -> Tensor:
    """``(T * side * side, C)`` of images of tiles."""
    return as_rows(images.permute(0, 2, 3, 1), images.shape[1])


def _product(near: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What a kernel ``(out, in, ...)`` or, channel by channel, ``(C, 1, ...)`` makes of ``(n, ..., C)``."""
    taps = weight.flatten(2).permute(2, 1, 0)
    channels = near.shape[-1]
    if weight.shape[1] == 1 and channels > 1:
        result = (as_rows(near, len(taps), channels) * taps[:, 0]).sum(dim=1)
        return result if bias is None else result + bias
    matrix = taps.flatten(0, 1)
    rows = as_rows(near, len(matrix))
    return rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)
