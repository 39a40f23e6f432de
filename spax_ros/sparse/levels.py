"""Which pixels of a resolution are active, and how they are numbered: tile by tile.

The pixels of a tile (a square of ``side`` pixels that holds an active one) have consecutive numbers, row by
row. With a side of 1 the numbers are those of the active pixels alone. With a larger side inactive pixels of
a tile have a number as well, which nothing ever looks at: what is computed there is without meaning. In
return a tile and what surrounds it is one fetch, and a convolution on it a dense one.
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

Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class Tiles:
    """Where the tiles of a level are, in tiles: ``(T,)`` image, row and column of each."""

    image: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]

    @classmethod
    def occupied(cls, cells: NDArray[np.bool_]) -> Tiles:
        """Those that ``cells`` (images, rows, columns) marks, row by row."""
        return cls(*np.nonzero(cells))

    def __len__(self) -> int:
        return len(self.row)


class Level:
    """The active pixels of one resolution.

    Args:
        mask: ``(B, H, W)`` bool; sides multiples of ``side``.
        tiles: all that hold an active pixel.
        side: of a tile, in pixels.
        capacity: tiles that there is room for; what is beyond ``tiles`` is never looked at.
        device: of its tensors.

    Attributes:
        shape: images, height and width.
        rows: numbers given away, ``capacity * side ** 2``; the number ``rows`` stands for an inactive pixel,
            ``rows + 1`` for one outside the image.
    """

    def __init__(
        self, mask: NDArray[np.bool_], tiles: Tiles, side: int, capacity: int, device: torch.device
    ) -> None:
        images, height, width = mask.shape
        self.shape, self.device = (images, height, width), device
        self.side, self.tiles, self.capacity = side, tiles, capacity
        self.rows = capacity * side * side
        rows, columns = height // side, width // side
        first = np.full((images, rows + 2, columns + 2), self.rows + 1, np.int32)
        first[:, 1:-1, 1:-1] = self.rows
        first[tiles.image, tiles.row + 1, tiles.column + 1] = np.arange(len(tiles), dtype=np.int32) * side**2
        self._first = first
        steps = np.arange(side)
        y = tiles.row[:, None, None] * side + steps[:, None]
        x = tiles.column[:, None, None] * side + steps
        inside = mask[tiles.image[:, None, None], y, x].reshape(-1)
        self._holes = None if inside.all() else np.flatnonzero(~inside).astype(np.int32)
        self.numbers = np.flatnonzero(inside)
        self.image, self.y, self.x = (
            np.broadcast_to(values, (len(tiles), side, side)).reshape(-1)[self.numbers]
            for values in (tiles.image[:, None, None], y, x)
        )

    @property
    def count(self) -> int:
        """How many pixels are active; ``numbers``, ``image``, ``y`` and ``x`` are theirs, in order."""
        return len(self.numbers)

    def number(self, image: NDArray[np.int64], y: NDArray[np.int64], x: NDArray[np.int64]) -> Numbers:
        """Numbers of the pixels at (y, x), however far outside; the arguments broadcast."""
        _, height, width = self.shape
        side = self.side
        y, x = np.clip(y, -1, height), np.clip(x, -1, width)
        # The border of the index is one tile wide: pixel -1 lies in it, as does pixel `height`.
        place = (image * self._first.shape[1] + y // side + 1) * self._first.shape[2] + x // side + 1
        first = self._first.reshape(-1).take(place)
        if side > 1:
            offset = (y % side * side + x % side).astype(np.int32)
            first = np.where(first < self.rows, first + offset, first)
        return first if self._holes is None else self._without_holes.take(first)

    def position(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the pixels of these numbers."""
        tile, rest = np.divmod(numbers, self.side**2)
        y, x = np.divmod(rest, self.side)
        return self.tiles.row[tile] * self.side + y, self.tiles.column[tile] * self.side + x

    def patches(self, tiles: Tiles, y: NDArray[np.int64], x: NDArray[np.int64], size: int) -> Numbers:
        """``(T, size, size)`` numbers of the squares whose first pixels are at (y, x), one for each tile."""
        steps = np.arange(size)
        return self.number(
            tiles.image[:, None, None], (y[:, None] + steps)[:, :, None], (x[:, None] + steps)[:, None, :]
        )

    def lookup(self, at: Level, shift: Shift) -> Tensor:
        """``(at.rows,)`` numbers of this level's pixels at (y, x) + shift; outside counts as inactive."""
        tiles, side = at.tiles, at.side
        y = tiles.row * side + shift[tiles.image, 0]
        x = tiles.column * side + shift[tiles.image, 1]
        return self.padded(np.minimum(self.patches(tiles, y, x, side), self.rows), at).reshape(-1)

    def padded(self, numbers: Numbers, at: Level) -> Tensor:
        """Numbers for each tile of ``at``, with those of inactive pixels where it has room for more."""
        missing = at.capacity - len(numbers)
        if missing:
            rest = np.full((missing, *numbers.shape[1:]), self.rows, np.int32)
            numbers = np.concatenate([numbers, rest])
        return self.tensor(numbers)

    def tensor(self, values: NDArray[Any]) -> Tensor:
        """Values where this level's tensors are."""
        return torch.from_numpy(values).to(self.device)

    @cached_property
    def image_index(self) -> Tensor:
        """``(rows,)`` which image of the batch each pixel belongs to."""
        image = np.zeros(self.rows, np.int64)
        image[: len(self.tiles) * self.side**2] = np.repeat(self.tiles.image, self.side**2)
        return self.tensor(image)

    @cached_property
    def active(self) -> Tensor:
        """``(rows,)`` 1 for active pixels, 0 for the others."""
        active = np.zeros(self.rows, np.float32)
        active[self.numbers] = 1
        return self.tensor(active)

    @cached_property
    def _without_holes(self) -> Numbers:
        """Numbers, those of inactive pixels of the tiles replaced by ``rows``."""
        numbers = np.arange(self.rows + 2, dtype=np.int32)
        numbers[self._holes] = self.rows
        return numbers
