"""Active pixels of a resolution and their rows in the feature matrix, tile by tile.

A tile is a square of `side` pixels that contains an active one. Its pixels have consecutive rows, in
row-major order. With a side of 1 only active pixels have rows. With a larger side the inactive pixels of a
tile have rows too, whose values are never read. In return a tile with its surroundings is gathered at once,
and a convolution on it is dense.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.network.grid import Shift

RowIndices = NDArray[np.int32]


@dataclass(frozen=True)
class ActiveTiles:
    """Positions of the tiles of a level, in tiles.

    Attributes:
        image: image of each tile, ``(T,)``.
        row: row of each tile, ``(T,)``.
        column: column of each tile, ``(T,)``.
    """

    image: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]

    @classmethod
    def from_cells(cls, cells: NDArray[np.bool_]) -> ActiveTiles:
        """Make a tile of each true cell ``(images, rows, columns)``, in row-major order."""
        return cls(*np.nonzero(cells))

    def __len__(self) -> int:
        return len(self.row)


class SparseLevel:
    """Active pixels of one resolution.

    Args:
        mask: active pixels ``(B, H, W)`` bool, with sides that are multiples of `side`.
        tiles: all tiles that contain an active pixel.
        side: side of a tile in pixels.
        capacity: tiles that have rows. The rows after those of `tiles` are never read.
        device: device of the level's tensors.

    Attributes:
        shape: number of images, height and width.
        num_rows: number of rows, ``capacity * side ** 2``. The index `num_rows` stands for an inactive pixel,
            ``num_rows + 1`` for a pixel outside the image.
        active_rows: rows of the active pixels.
        image: image of each active pixel, in the order of `active_rows`.
        y: row in the image of each active pixel.
        x: column in the image of each active pixel.
    """

    def __init__(
        self, mask: NDArray[np.bool_], tiles: ActiveTiles, side: int, capacity: int, device: torch.device
    ) -> None:
        images, height, width = mask.shape
        self.shape = (images, height, width)
        self.device = device
        self.side = side
        self.tiles = tiles
        self.capacity = capacity
        self.num_rows = capacity * side * side

        # First row of each tile of the images, with a border of one tile.
        rows, columns = height // side, width // side
        first_rows = np.full((images, rows + 2, columns + 2), self.num_rows + 1, np.int32)
        first_rows[:, 1:-1, 1:-1] = self.num_rows
        tile_numbers = np.arange(len(tiles), dtype=np.int32)
        first_rows[tiles.image, tiles.row + 1, tiles.column + 1] = tile_numbers * side**2
        self._first_rows = first_rows

        # Active pixels of the tiles.
        steps = np.arange(side)
        y = tiles.row[:, None, None] * side + steps[:, None]
        x = tiles.column[:, None, None] * side + steps
        is_active = mask[tiles.image[:, None, None], y, x].reshape(-1)
        self._inactive_rows = None if is_active.all() else np.flatnonzero(~is_active).astype(np.int32)
        self.active_rows = np.flatnonzero(is_active)
        self.image, self.y, self.x = (
            np.broadcast_to(values, (len(tiles), side, side)).reshape(-1)[self.active_rows]
            for values in (tiles.image[:, None, None], y, x)
        )

    @property
    def num_active(self) -> int:
        """Number of active pixels."""
        return len(self.active_rows)

    @property
    def has_only_active_tiles(self) -> bool:
        """Whether all pixels of the tiles are active, so that `active_rows` are the first rows."""
        return self._inactive_rows is None

    def find_rows(self, image: NDArray[np.int64], y: NDArray[np.int64], x: NDArray[np.int64]) -> RowIndices:
        """Return the rows of the pixels at (y, x), also far outside the image; the arguments broadcast."""
        _, height, width = self.shape
        side = self.side
        y, x = np.clip(y, -1, height), np.clip(x, -1, width)
        # The border of `_first_rows` contains pixel -1 and pixel `height`.
        index = (
            (image * self._first_rows.shape[1] + y // side + 1) * self._first_rows.shape[2] + x // side + 1
        )
        rows = self._first_rows.reshape(-1).take(index)
        if side > 1:
            offset = (y % side * side + x % side).astype(np.int32)
            rows = np.where(rows < self.num_rows, rows + offset, rows)
        return rows if self._inactive_rows is None else self._row_of_index.take(rows)

    def find_positions(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return y and x of the pixels of some rows, both in the shape of the rows."""
        tile, offset = np.divmod(rows, self.side**2)
        y, x = np.divmod(offset, self.side)
        return self.tiles.row[tile] * self.side + y, self.tiles.column[tile] * self.side + x

    def find_patches(
        self, tiles: ActiveTiles, y: NDArray[np.int64], x: NDArray[np.int64], size: int
    ) -> RowIndices:
        """Return the rows ``(T, size, size)`` of one square per tile, with its first pixel at (y, x)."""
        steps = np.arange(size)
        return self.find_rows(
            tiles.image[:, None, None], (y[:, None] + steps)[:, :, None], (x[:, None] + steps)[:, None, :]
        )

    def find_shifted(self, target: SparseLevel, shift: Shift) -> Tensor:
        """Return the rows ``(target rows,)`` of this level at each pixel of `target` plus a shift.

        Pixels outside the image count as inactive.
        """
        tiles, side = target.tiles, target.side
        y = tiles.row * side + shift[tiles.image, 0]
        x = tiles.column * side + shift[tiles.image, 1]
        rows = np.minimum(self.find_patches(tiles, y, x, side), self.num_rows)
        return self.pad_to_capacity(rows, target).reshape(-1)

    def pad_to_capacity(self, rows: RowIndices, target: SparseLevel) -> Tensor:
        """Return the rows of each tile of `target`, (capacity of `target`, ...).

        Tiles beyond the active ones get `num_rows`, the row of an inactive pixel.
        """
        num_missing = target.capacity - len(rows)
        if num_missing:
            padding = np.full((num_missing, *rows.shape[1:]), self.num_rows, np.int32)
            rows = np.concatenate([rows, padding])
        return self.to_tensor(rows)

    def to_tensor(self, values: NDArray[Any]) -> Tensor:
        """Return values as a tensor of the same shape on this level's device."""
        return torch.from_numpy(values).to(self.device)

    @cached_property
    def image_index(self) -> Tensor:
        """Image of the batch that each row belongs to, ``(rows,)``."""
        image = np.zeros(self.num_rows, np.int64)
        image[: len(self.tiles) * self.side**2] = np.repeat(self.tiles.image, self.side**2)
        return self.to_tensor(image)

    @cached_property
    def active(self) -> Tensor:
        """Activity of the rows, ``(rows,)``: 1 for active pixels, 0 for all others."""
        active = np.zeros(self.num_rows, np.float32)
        active[self.active_rows] = 1
        return self.to_tensor(active)

    @cached_property
    def _row_of_index(self) -> RowIndices:
        """Rows by index, with `num_rows` in place of the tiles' inactive pixels."""
        rows = np.arange(self.num_rows + 2, dtype=np.int32)
        rows[self._inactive_rows] = self.num_rows
        return rows
