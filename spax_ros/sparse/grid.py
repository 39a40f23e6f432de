"""Features as matrices of the active pixels of images: the tables of a mask, made once per frame.

All layers of a level share its tables. An inactive pixel is a row of zeros.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.network.grid import Grid, Shift, at_level
from spax_ros.sparse.gather_tables import Table, rows_at
from spax_ros.sparse.levels import Level, Tiles
from spax_ros.sparse.operations import Key, TableGrid

TILE = 8
"""Side of the tiles at level 0 that is fastest; the motion mask is made of cells of this size."""


class PackedGrid(TableGrid):
    """The active pixels of a batch of images at every level.

    Args:
        mask: ``(B, H, W)`` bool at level 0; sides multiples of ``2 ** (levels - 1)`` and of ``tile``.
        levels: how many; a coarser pixel is active if any pixel under it is.
        tile: side of the tiles at level 0, a power of 2; half of it at each further level, 1 at least.
        room: how many tiles, at every level, features have room for, by how many are active at level 0 (see
            ``spax_ros.sparse.tile_budget.bucket``); None: for no more than are active.
        device: of the tables, and so of the features.

    Raises:
        ValueError: there are more tiles than room.
    """

    def __init__(
        self,
        mask: NDArray[np.bool_],
        levels: int,
        tile: int = 1,
        room: Callable[[int], int] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        pyramid = [mask]
        for _ in range(max(levels - 1, tile.bit_length() - 1)):
            fine = pyramid[-1]
            rows = fine[:, 0::2] | fine[:, 1::2]
            pyramid.append(rows[:, :, 0::2] | rows[:, :, 1::2])
        self.sides = tuple(max(tile >> level, 1) for level in range(levels))
        self.levels: list[Level] = []
        capacity = None
        for level, side in enumerate(self.sides):
            first = level == 0 or self.sides[level - 1] == side
            tiles = Tiles.occupied(pyramid[level + side.bit_length() - 1]) if first else self.levels[-1].tiles
            if room is not None and capacity is None:
                capacity = room(len(tiles))
            if capacity is not None and len(tiles) > capacity:
                raise ValueError(f"{len(tiles)} active tiles, room for {capacity}")
            most = len(tiles) if capacity is None else capacity
            self.levels.append(Level(pyramid[level], tiles, side, most, torch.device(device)))
        self._static = room is not None
        self._tables: dict[Key, Table] = {}
        self._carried: dict[tuple[int, int, bytes], Table] = {}

    def count(self, level: int) -> int:
        """How many pixels are active."""
        return self.levels[level].count

    @property
    def active(self) -> NDArray[np.int64]:
        """Rows of the active pixels of level 0, in the order of ``positions``."""
        return self.levels[0].numbers

    @property
    def positions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns at level 0 of the active pixels."""
        return self.levels[0].y, self.levels[0].x

    def pack(self, images: Tensor) -> Tensor:
        """``(rows, C)`` of images ``(B, C, H, W)``, wherever they are, at level 0."""
        level = self.levels[0]
        return self.spread(images[level.image, :, level.y, level.x].to(level.device))

    def spread(self, values: Tensor) -> Tensor:
        """``(rows, C)`` of values ``(n, C)`` of the active pixels of level 0."""
        level = self.levels[0]
        if level.count == level.rows:
            return values
        return values.new_zeros(level.rows, values.shape[1]).index_copy(
            0, level.tensor(level.numbers), values
        )

    def unpack(self, x: Tensor, level: int = 0) -> Tensor:
        """``(B, C, H, W)`` with zeros at inactive pixels."""
        at = self.levels[level]
        images, height, width = at.shape
        dense = x.new_zeros(images, height, width, x.shape[1])
        dense[at.image, at.y, at.x] = x[at.numbers]
        return dense.permute(0, 3, 1, 2)

    def rows(self, level: int) -> int:
        return self.levels[level].rows

    def carry(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        """Features of an earlier frame; both grids stay as they are for as long as this one lives."""
        assert isinstance(source, PackedGrid)
        key = (level, id(source), shift.tobytes())
        if key not in self._carried:
            earlier = source.levels[level]
            numbers = earlier.lookup(self.levels[level], at_level(shift, level))
            self._carried[key] = Table(numbers, earlier.rows)
        return rows_at(x, self._carried[key])

    def mean(self, x: Tensor, level: int) -> Tensor:
        at = self.levels[level]
        images, height, width = at.shape
        sums = x.new_zeros(images, x.shape[1]).index_add(0, at.image_index, x * at.active[:, None])
        means = sums / (height * width)
        return means if images == 1 else means.index_select(0, at.image_index)

    def where_seen(
        self,
        seen: Tensor,
        make: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        chosen = torch.nonzero(seen)[:, 0]
        self.operations += len(chosen) * operations
        return torch.zeros_like(a).index_copy(0, chosen, make(a[chosen], b[chosen]))

    @property
    def made(self) -> tuple[Key, ...]:
        """Keys of the tables that were asked for so far."""
        return tuple(self._tables)

    def table(self, key: Key) -> Table:
        if key not in self._tables:
            make = {
                "patch": self._make_patches,
                "children": self._make_children,
                "reduce": self._make_reduction,
                "windows": self._make_windows,
                "places": self._make_windows,
            }[key.kind]
            make(key)
        return self._tables[key]

    def _make_patches(self, key: Key) -> None:
        """What a kernel sees from each tile; kernels of even size begin at the pixel itself."""
        source, out = self.levels[key.level], self.levels[key.level + key.stride - 1]
        before = key.size // 2 if key.size % 2 else 0
        y, x = (place * out.side * key.stride - before for place in (out.tiles.row, out.tiles.column))
        numbers = source.patches(out.tiles, y, x, key.stride * (out.side - 1) + key.size)
        self._tables[key] = Table(source.padded(numbers, out), source.rows)

    def _make_children(self, key: Key) -> None:
        """Which child of which coarse pixel each fine one is, children being four to a row."""
        coarse, fine = self.levels[key.level], self.levels[key.level - 1]
        parent = coarse.number(fine.tiles.image, fine.tiles.row // 2, fine.tiles.column // 2)
        child = parent * 4 + (fine.tiles.row % 2) * 2 + fine.tiles.column % 2
        self._tables[key] = Table(coarse.padded(child.astype(np.int32), fine), 4 * coarse.rows)

    def _make_reduction(self, key: Key) -> None:
        source, out, factor = self.levels[0], self.levels[key.size], 2**key.size
        steps = np.arange(out.side)
        y = (out.tiles.row[:, None] * out.side + steps) * factor + factor // 2 - 1
        x = (out.tiles.column[:, None] * out.side + steps) * factor + factor // 2 - 1
        pair = np.arange(2)
        numbers = source.number(
            out.tiles.image[:, None, None, None, None],
            y[:, :, None, None, None] + pair[:, None],
            x[:, None, :, None, None] + pair,
        )
        self._tables[key] = Table(source.padded(numbers, out).view(-1, 4), source.rows)

    def _make_windows(self, key: Key) -> None:
        """Pixels of each window ``(windows, size * size)``, and where in them each pixel is ``(rows,)``."""
        at, size = self.levels[key.level], key.size
        _, height, width = at.shape
        across, down = width // size, height // size
        window = (at.image * down + at.y // size) * across + at.x // size
        present = np.unique(np.append(window, 0))
        place = np.searchsorted(present, window) * size * size + (at.y % size) * size + at.x % size
        # Every tile lies in one window, or has a single pixel: there are no more windows than room for tiles,
        # but for the first, which is always there.
        windows = at.capacity + 1 if self._static else len(present)
        pixels = np.full(windows * size * size, at.rows, np.int32)
        pixels[place] = at.numbers
        places = np.full(at.rows, len(pixels), np.int32)
        places[at.numbers] = place
        windows_key, places_key = Key("windows", key.level, size), Key("places", key.level, size)
        self._tables[windows_key] = Table(at.tensor(pixels.reshape(-1, size * size)), at.rows)
        self._tables[places_key] = Table(at.tensor(places), len(pixels))
