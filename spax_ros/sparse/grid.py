"""Sparse grid: features as matrices of active pixels, with tables that are built once per frame.

All layers of a level share its tables. An inactive pixel is read as zeros.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.network.grid import Grid, Shift, scale_shift
from spax_ros.sparse.gather_tables import GatherTable, gather_rows
from spax_ros.sparse.levels import ActiveTiles, SparseLevel
from spax_ros.sparse.operations import TableGrid, TableKey

TILE_PX = 8
"""Side of the tiles at level 0, the fastest one; equal to the side of the motion mask's cells."""


class SparseGrid(TableGrid):
    """Active pixels of a batch of images at every level.

    Args:
        mask: active pixels ``(B, H, W)`` bool at level 0. The sides are multiples of `tile_px` and of
            ``2 ** (num_levels - 1)``.
        num_levels: number of levels. A coarser pixel is active if any pixel under it is.
        tile_px: side of the tiles at level 0, a power of 2; halved at each further level, at least 1.
        choose_capacity: function from the number of active tiles to the number of tiles that have rows, at
            every level; None: only active tiles have rows.
        device: device of the tables and of the features.

    Attributes:
        levels: active pixels of each level.

    Raises:
        ValueError: more tiles are active than the capacity.
    """

    def __init__(
        self,
        mask: NDArray[np.bool_],
        num_levels: int,
        tile_px: int = 1,
        choose_capacity: Callable[[int], int] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        pyramid = _build_mask_pyramid(mask, max(num_levels, tile_px.bit_length()))
        self.sides = tuple(max(tile_px >> level, 1) for level in range(num_levels))
        self.levels: list[SparseLevel] = []
        capacity = None
        for level, side in enumerate(self.sides):
            # A level of half the side has the tiles of the level before.
            has_own_tiles = level == 0 or self.sides[level - 1] == side
            if has_own_tiles:
                tiles = ActiveTiles.from_cells(pyramid[level + side.bit_length() - 1])
            else:
                tiles = self.levels[-1].tiles
            if choose_capacity is not None and capacity is None:
                capacity = choose_capacity(len(tiles))
            if capacity is not None and len(tiles) > capacity:
                raise ValueError(
                    f"active tiles must not exceed the capacity: got {len(tiles)}, capacity {capacity}"
                )
            level_capacity = len(tiles) if capacity is None else capacity
            self.levels.append(SparseLevel(pyramid[level], tiles, side, level_capacity, torch.device(device)))
        self._has_fixed_capacity = choose_capacity is not None
        self._tables: dict[TableKey, GatherTable] = {}
        self._warp_tables: dict[tuple[int, int, bytes], GatherTable] = {}

    def count_active(self, level: int) -> int:
        """Return the number of active pixels of a level."""
        return self.levels[level].num_active

    @property
    def active_rows(self) -> NDArray[np.int64]:
        """Rows of the active pixels of level 0, (n,), in the order of `positions`."""
        return self.levels[0].active_rows

    @property
    def positions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions y and x of the active pixels of level 0, both (n,)."""
        return self.levels[0].y, self.levels[0].x

    def pack(self, images: Tensor) -> Tensor:
        """Return the rows ``(rows, C)`` of images ``(B, C, H, W)`` at level 0, from any device."""
        level = self.levels[0]
        return self.scatter_active(images[level.image, :, level.y, level.x].to(level.device))

    def scatter_active(self, values: Tensor) -> Tensor:
        """Return the rows ``(rows, C)`` of values ``(n, C)`` of the active pixels of level 0."""
        level = self.levels[0]
        if level.num_active == level.num_rows:
            return values
        rows = values.new_zeros(level.num_rows, values.shape[1])
        if level.has_only_active_tiles:
            rows[: level.num_active] = values
            return rows
        return rows.index_copy(0, level.to_tensor(level.active_rows), values)

    def unpack(self, x: Tensor, level: int = 0) -> Tensor:
        """Return features as images ``(B, C, H, W)``, with zeros at inactive pixels."""
        sparse_level = self.levels[level]
        images, height, width = sparse_level.shape
        dense = x.new_zeros(images, height, width, x.shape[1])
        dense[sparse_level.image, sparse_level.y, sparse_level.x] = x[sparse_level.active_rows]
        return dense.permute(0, 3, 1, 2)

    def num_rows(self, level: int) -> int:
        return self.levels[level].num_rows

    def warp(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        """Return an earlier frame's features; `source` must exist for as long as this grid."""
        assert isinstance(source, SparseGrid)
        if not x.shape[1]:
            return x.new_zeros(self.num_rows(level), 0)
        key = (level, id(source), shift.tobytes())
        if key not in self._warp_tables:
            earlier = source.levels[level]
            indices = earlier.find_shifted(self.levels[level], scale_shift(shift, level))
            self._warp_tables[key] = GatherTable(indices, earlier.num_rows)
        return gather_rows(x, self._warp_tables[key])

    def mean(self, x: Tensor, level: int) -> Tensor:
        sparse_level = self.levels[level]
        images, height, width = sparse_level.shape
        sums = x.new_zeros(images, x.shape[1])
        sums = sums.index_add(0, sparse_level.image_index, x * sparse_level.active[:, None])
        means = sums / (height * width)
        return means if images == 1 else means.index_select(0, sparse_level.image_index)

    def apply_where(
        self,
        is_selected: Tensor,
        function: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        selected = torch.nonzero(is_selected)[:, 0]
        self.operations += len(selected) * operations
        return torch.zeros_like(a).index_copy(0, selected, function(a[selected], b[selected]))

    @property
    def table_keys(self) -> tuple[TableKey, ...]:
        """Keys of the tables that were used so far."""
        return tuple(self._tables)

    def get_table(self, key: TableKey) -> GatherTable:
        if key not in self._tables:
            build = {
                "patch": self._build_patches,
                "children": self._build_children,
                "reduce": self._build_reduction,
                "windows": self._build_windows,
                "places": self._build_windows,
            }[key.kind]
            build(key)
        return self._tables[key]

    def _build_patches(self, key: TableKey) -> None:
        """Build the table of the pixels that a kernel reads for each tile.

        A kernel of even size begins at the pixel itself. The table of a stride of 2 is a part of that of a
        3x3 kernel if both levels have the same tiles.
        """
        source, out = self.levels[key.level], self.levels[key.level + key.stride - 1]
        margin = key.size // 2 if key.size % 2 else 0
        if key.stride == 2 and key.size <= 3 and out.tiles is source.tiles:
            steps = slice(1 - margin, 1 - margin + key.stride * (out.side - 1) + key.size)
            indices = self.get_table(TableKey("patch", key.level, 3)).indices[:, steps, steps].contiguous()
            self._tables[key] = GatherTable(indices, source.num_rows)
            return
        y, x = (position * out.side * key.stride - margin for position in (out.tiles.row, out.tiles.column))
        rows = source.find_patches(out.tiles, y, x, key.stride * (out.side - 1) + key.size)
        self._tables[key] = GatherTable(source.pad_to_capacity(rows, out), source.num_rows)

    def _build_children(self, key: TableKey) -> None:
        """Build the table from each fine pixel to its place among the coarse pixels' children.

        A coarse pixel has four children, which are consecutive rows.
        """
        coarse, fine = self.levels[key.level], self.levels[key.level - 1]
        parent = coarse.find_rows(fine.tiles.image, fine.tiles.row // 2, fine.tiles.column // 2)
        child = parent * 4 + (fine.tiles.row % 2) * 2 + fine.tiles.column % 2
        rows = coarse.pad_to_capacity(child.astype(np.int32), fine)
        self._tables[key] = GatherTable(rows, 4 * coarse.num_rows)

    def _build_reduction(self, key: TableKey) -> None:
        """Build the table of the four fine pixels around the center of each coarse pixel."""
        source, out, factor = self.levels[0], self.levels[key.size], 2**key.size
        steps = np.arange(out.side)
        y = (out.tiles.row[:, None] * out.side + steps) * factor + factor // 2 - 1
        x = (out.tiles.column[:, None] * out.side + steps) * factor + factor // 2 - 1
        pair = np.arange(2)
        rows = source.find_rows(
            out.tiles.image[:, None, None, None, None],
            y[:, :, None, None, None] + pair[:, None],
            x[:, None, :, None, None] + pair,
        )
        self._tables[key] = GatherTable(source.pad_to_capacity(rows, out).view(-1, 4), source.num_rows)

    def _build_windows(self, key: TableKey) -> None:
        """Build the table of each window's pixels, and that of each pixel's place in the windows."""
        level, size = self.levels[key.level], key.size
        _, height, width = level.shape
        num_across, num_down = width // size, height // size
        window = (level.image * num_down + level.y // size) * num_across + level.x // size
        present = np.unique(np.append(window, 0))
        place = np.searchsorted(present, window) * size * size + (level.y % size) * size + level.x % size
        # A tile lies in one window or is a single pixel. There are at most as many windows as tiles, and the
        # first window, which is always present.
        num_windows = level.capacity + 1 if self._has_fixed_capacity else len(present)
        pixels = np.full(num_windows * size * size, level.num_rows, np.int32)
        pixels[place] = level.active_rows
        places = np.full(level.num_rows, len(pixels), np.int32)
        places[level.active_rows] = place
        windows_key, places_key = TableKey("windows", key.level, size), TableKey("places", key.level, size)
        windows = level.to_tensor(pixels.reshape(-1, size * size))
        self._tables[windows_key] = GatherTable(windows, level.num_rows)
        self._tables[places_key] = GatherTable(level.to_tensor(places), len(pixels))


def _build_mask_pyramid(mask: NDArray[np.bool_], num_levels: int) -> list[NDArray[np.bool_]]:
    """Return the mask at each level; a coarser pixel is set if any pixel under it is."""
    pyramid = [mask]
    for _ in range(num_levels - 1):
        fine = pyramid[-1]
        rows = fine[:, 0::2] | fine[:, 1::2]
        pyramid.append(rows[:, :, 0::2] | rows[:, :, 1::2])
    return pyramid
