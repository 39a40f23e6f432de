"""Features as matrices of the active pixels, and the tables by which these find each other.

At every level the active pixels are numbered row by row; features are ``(N, C)``. A 3x3 convolution fetches
nine rows for each pixel and multiplies once by a matrix. The tables are made once per frame and level and
shared by all layers there. Index N stands for an inactive pixel, N + 1 for one outside the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.network.grid import Grid, Shift, at_level

_MARGIN = 3  # of the index maps: no kernel reaches further


class Level:
    """The active pixels of one resolution.

    Args:
        mask: ``(B, H, W)`` bool.
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        images, height, width = mask.shape
        self.shape = (images, height, width)
        padded = np.full((images, height + 2 * _MARGIN, width + 2 * _MARGIN), -2, np.int32)
        inside = padded[:, _MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]
        flat = np.flatnonzero(mask)
        self.count = len(flat)
        padded.fill(self.count + 1)
        numbers = np.full(mask.size, self.count, np.int32)
        numbers[flat] = np.arange(self.count, dtype=np.int32)
        inside[:] = numbers.reshape(mask.shape)
        self._padded = padded
        image, rest = np.divmod(flat, height * width)
        y, x = np.divmod(rest, width)
        self.image, self.y, self.x = image, y, x

    def number(
        self, image: NDArray[np.int64], y: NDArray[np.int64], x: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Number of the pixel at (y, x), which may lie up to a margin outside."""
        _, height, width = self._padded.shape
        return self._padded.reshape(-1).take((image * height + y + _MARGIN) * width + x + _MARGIN)

    def neighbours(self, at: Level, offsets: NDArray[np.int64], stride: int = 1) -> Tensor:
        """``(at.count, k)`` numbers of this level's pixels at ``stride * (y, x) + offsets`` (k, 2)."""
        _, height, width = self._padded.shape
        base = (at.image * height + at.y * stride + _MARGIN) * width + at.x * stride + _MARGIN
        steps = offsets[:, 0] * width + offsets[:, 1]
        return torch.from_numpy(self._padded.reshape(-1).take(base[:, None] + steps[None]))

    def lookup(self, at: Level, shift: Shift) -> Tensor:
        """``(at.count,)`` numbers of this level's pixels at (y, x) + shift, however far outside."""
        _, height, width = self.shape
        y = np.clip(at.y + shift[at.image, 0], -1, height)
        x = np.clip(at.x + shift[at.image, 1], -1, width)
        return torch.from_numpy(np.minimum(self.number(at.image, y, x), self.count))

    @cached_property
    def image_index(self) -> Tensor:
        """``(N,)`` which image of the batch each pixel belongs to."""
        return torch.from_numpy(self.image)


class Table:
    """Which row of a source each place looks at.

    Args:
        numbers: ``(M, K)`` or ``(M,)`` row numbers; those from ``rows`` on stand for no row at all.
        rows: how many rows the source has.
    """

    def __init__(self, numbers: Tensor, rows: int) -> None:
        self.numbers, self.rows = numbers, rows

    @cached_property
    def looked_at_from(self) -> Tensor:
        """``(rows, J)`` places (flat) that look at each row, the number of places where there are fewer."""
        flat = self.numbers.flatten()
        places = torch.argsort(flat, stable=True)
        ordered = flat[places]
        places = places[: int(torch.searchsorted(ordered, self.rows))]
        ordered = ordered[: len(places)]
        starts = torch.searchsorted(ordered, torch.arange(self.rows, dtype=ordered.dtype))
        rank = torch.arange(len(places)) - starts[ordered.long()]
        result = flat.new_full((self.rows, int(rank.max()) + 1 if len(rank) else 1), len(flat))
        result[ordered.long(), rank] = places.to(flat.dtype)
        return result


class _Rows(torch.autograd.Function):
    """Rows by number; backwards it gathers as well, which is much faster than scattering on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Table) -> Tensor:
        ctx.table = table
        padded = torch.cat([x, x.new_zeros(2, x.shape[1])])
        return padded.index_select(0, table.numbers.flatten()).view(*table.numbers.shape, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        padded = torch.cat([gradient, gradient.new_zeros(1, gradient.shape[1])])
        places = ctx.table.looked_at_from
        return padded.index_select(0, places.flatten()).view(*places.shape, gradient.shape[1]).sum(
            dim=1
        ), None


def _rows(x: Tensor, table: Table) -> Tensor:
    """Rows of ``x`` by number; those of inactive pixels and of pixels outside are zero."""
    return _Rows.apply(x, table)


class PackedGrid:
    """The active pixels of a batch of images at every level.

    Args:
        mask: ``(B, H, W)`` bool at level 0; sides multiples of ``2 ** (levels - 1)``.
        levels: how many; a coarser pixel is active if any pixel under it is.
    """

    def __init__(self, mask: NDArray[np.bool_], levels: int) -> None:
        pyramid = [mask]
        for _ in range(levels - 1):
            fine = pyramid[-1]
            rows = fine[:, 0::2] | fine[:, 1::2]
            pyramid.append(rows[:, :, 0::2] | rows[:, :, 1::2])
        self.levels = [Level(mask) for mask in pyramid]
        self._tables: dict[tuple[object, ...], Table] = {}
        self.operations = 0

    def count(self, level: int) -> int:
        """How many pixels are active."""
        return self.levels[level].count

    def positions(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns at level 0 of pixels by number."""
        return self.levels[0].y[numbers], self.levels[0].x[numbers]

    def largest_around(self, values: Tensor) -> Tensor:
        """``(N,)`` the largest of the 3x3 values around each pixel of level 0, none of them negative."""
        return _rows(values[:, None], self._centred(0, 3, 1))[:, :, 0].amax(dim=1)

    def pack(self, images: Tensor) -> Tensor:
        """``(N, C)`` of images ``(B, C, H, W)`` at level 0."""
        level = self.levels[0]
        return images[level.image, :, level.y, level.x]

    def unpack(self, x: Tensor, level: int = 0) -> Tensor:
        """``(B, C, H, W)`` with zeros at inactive pixels."""
        at = self.levels[level]
        images, height, width = at.shape
        dense = x.new_zeros(images, height, width, x.shape[1])
        dense[at.image, at.y, at.x] = x
        return dense.permute(0, 3, 1, 2)

    def zeros(self, like: Tensor, level: int, channels: int) -> Tensor:
        return like.new_zeros(self.levels[level].count, channels)

    def carry(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        assert isinstance(source, PackedGrid)
        key = ("carry", level, id(source), shift.tobytes())
        if key not in self._tables:
            numbers = source.levels[level].lookup(self.levels[level], at_level(shift, level))
            self._tables[key] = Table(numbers, source.levels[level].count)
        return _rows(x, self._tables[key])

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int, stride: int = 1) -> Tensor:
        kernel = weight.shape[-1]
        if kernel == 1:
            return self._multiply(x, weight[:, :, 0, 0].T, bias)
        return self._convolve(self._centred(level, kernel, stride), x, weight, bias)

    def convs(self, x: Tensor, convs: Sequence[tuple[Tensor, Tensor | None]], level: int) -> list[Tensor]:
        weight = torch.cat([weight for weight, _ in convs])
        biases = [weight.new_zeros(len(weight)) if bias is None else bias for weight, bias in convs]
        return list(self.conv(x, weight, torch.cat(biases), level).split([len(w) for w, _ in convs], dim=1))

    def conv_at(self, rows: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        table = self._centred(0, weight.shape[-1], 1)
        return self._convolve(Table(table.numbers[rows], table.rows), x, weight, bias)

    def _convolve(self, table: Table, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen = _rows(x, table)
        if weight.shape[1] == 1 and x.shape[1] > 1:
            return self._weigh(seen, weight[:, 0].flatten(1).T, bias)
        return self._multiply(seen.flatten(1), weight.permute(2, 3, 1, 0).flatten(0, 2), bias)

    def conv_transpose(self, x: Tensor, weight: Tensor, level: int) -> Tensor:
        # A fine pixel sees 2x2 coarse ones, through taps that depend on whether its row and column are even.
        coarse, fine = self.levels[level], self.levels[level - 1]
        near = _rows(x, self._centred(level, 3, 1)).unflatten(1, (3, 3))
        children = []
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            seen = near[:, row : row + 2, column : column + 2].flatten(1, 2)
            taps = weight[:, :, [3, 1] if row == 0 else [2, 0]][:, :, :, [3, 1] if column == 0 else [2, 0]]
            if weight.shape[1] == 1:
                children.append(self._weigh(seen, taps[:, 0].flatten(1).T, None))
            else:
                children.append(self._multiply(seen.flatten(1), taps.permute(2, 3, 0, 1).flatten(0, 2), None))
        if ("children", level) not in self._tables:
            parent = coarse.number(fine.image, fine.y // 2, fine.x // 2)
            child = parent * 4 + (fine.y % 2) * 2 + fine.x % 2
            self._tables["children", level] = Table(
                torch.from_numpy(child.astype(np.int32)), 4 * coarse.count
            )
        return _rows(torch.stack(children, dim=1).flatten(0, 1), self._tables["children", level])

    def max_pool(self, x: Tensor, level: int, kernel: int) -> Tensor:
        table = self._centred(level, 3, 2) if kernel == 3 else self._below(level)
        near = _rows(x, table)
        if kernel == 3:
            near = near.masked_fill((table.numbers > table.rows)[:, :, None], -torch.inf)
        return near.amax(dim=1)

    def average_pool(self, x: Tensor, level: int) -> Tensor:
        return _rows(x, self._centred(level, 3, 1)).mean(dim=1)

    def mean(self, x: Tensor, level: int) -> Tensor:
        at = self.levels[level]
        images, height, width = at.shape
        means = x.new_zeros(images, x.shape[1]).index_add(0, at.image_index, x) / (height * width)
        return means if images == 1 else means.index_select(0, at.image_index)

    def reduce(self, x: Tensor, factor_log2: int) -> Tensor:
        # Bilinear sampling at half-pixel centres meets four pixels around the middle of each block.
        factor = 2**factor_log2
        middle = np.array([factor // 2 - 1, factor // 2])
        key = ("reduce", factor_log2)
        if key not in self._tables:
            offsets = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)
            numbers = self.levels[0].neighbours(self.levels[factor_log2], offsets, factor)
            self._tables[key] = Table(numbers, self.levels[0].count)
        return _rows(x, self._tables[key]).mean(dim=1)

    def to_windows(self, x: Tensor, level: int, size: int) -> Tensor:
        return _rows(x, self._windows(level, size)[0]).transpose(1, 2)

    def from_windows(self, windows: Tensor, level: int, size: int) -> Tensor:
        return _rows(windows.transpose(1, 2).flatten(0, 1), self._windows(level, size)[1])

    def _windows(self, level: int, size: int) -> tuple[Table, Table]:
        """Pixels of each window ``(windows, size * size)``, and where in them each pixel is ``(N,)``."""
        if ("windows", level, size) not in self._tables:
            at = self.levels[level]
            _, height, width = at.shape
            across, down = width // size, height // size
            window = (at.image * down + at.y // size) * across + at.x // size
            present = np.unique(np.append(window, 0))
            slot = np.searchsorted(present, window)
            place = slot * size * size + (at.y % size) * size + at.x % size
            pixels = np.full(len(present) * size * size, at.count, np.int32)
            pixels[place] = np.arange(at.count)
            self._tables["windows", level, size] = Table(
                torch.from_numpy(pixels.reshape(-1, size * size)), at.count
            )
            self._tables["places", level, size] = Table(torch.from_numpy(place.astype(np.int32)), len(pixels))
        return self._tables["windows", level, size], self._tables["places", level, size]

    def _centred(self, level: int, kernel: int, stride: int) -> Table:
        key = ("centred", level, kernel, stride)
        if key not in self._tables:
            reach = np.arange(kernel) - kernel // 2
            offsets = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
            at = self.levels[level + stride - 1]
            self._tables[key] = Table(
                self.levels[level].neighbours(at, offsets, stride), self.levels[level].count
            )
        return self._tables[key]

    def _below(self, level: int) -> Table:
        if ("below", level) not in self._tables:
            offsets = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
            numbers = self.levels[level].neighbours(self.levels[level + 1], offsets, 2)
            self._tables["below", level] = Table(numbers, self.levels[level].count)
        return self._tables["below", level]

    def _multiply(self, rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
        self.operations += rows.shape[0] * matrix.shape[0] * matrix.shape[1]
        return rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)

    def _weigh(self, rows: Tensor, taps: Tensor, bias: Tensor | None) -> Tensor:
        self.operations += rows.numel()
        result = (rows * taps).sum(dim=1)
        return result if bias is None else result + bias
