"""How many tiles may be active: sizes for static shapes, and what happens beyond the largest."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.mask import cell_maxima

MOST_TILES = 6144
"""Of the largest bucket."""


def bucket(count: int, smallest: int = 64) -> int:
    """Tiles that ``count`` is rounded up to: ``smallest`` times 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, ..."""
    doublings = max(0, (max(count, 1) - 1) // smallest).bit_length()
    step = max(smallest << doublings >> 3, smallest // 4)
    return max(smallest, -(-count // step) * step)


def bucket_sizes(most: int = MOST_TILES) -> list[int]:
    """All buckets, up to the one for so many tiles."""
    sizes = [bucket(1)]
    while sizes[-1] < most:
        sizes.append(bucket(sizes[-1] + 1))
    return sizes


def active_tiles(mask: NDArray[np.bool_], tile: int) -> int:
    """How many tiles of a mask ``(H, W)`` hold active pixels."""
    return int(np.count_nonzero(cell_maxima(mask.view(np.uint8), tile)))


def strongest_tiles(
    mask: NDArray[np.bool_], energy: NDArray[np.float32], tile: int, limit: int
) -> NDArray[np.bool_]:
    """The mask, or where more than ``limit`` tiles hold active pixels, those of them with most energy.

    Args:
        mask: ``(H, W)``.
        energy: ``(H, W)``, not negative.
        tile: side of a tile, in pixels.
        limit: tiles kept at most.
    """
    if active_tiles(mask, tile) <= limit:
        return mask
    sums = np.where(_sums(mask, tile) > 0, _sums(np.where(mask, energy, 0), tile), -1)
    kept = np.zeros(sums.size, np.uint8)
    kept[np.argpartition(sums.reshape(-1), sums.size - limit)[sums.size - limit :]] = 1
    height, width = mask.shape
    size = (sums.shape[1] * tile, sums.shape[0] * tile)
    pixels = cv2.resize(kept.reshape(sums.shape), size, interpolation=cv2.INTER_NEAREST)
    return mask & pixels[:height, :width].astype(bool)


def _sums(values: NDArray[Any], tile: int) -> NDArray[np.float32]:
    height, width = values.shape
    padded = np.pad(values, ((0, -height % tile), (0, -width % tile)))
    return np.asarray(padded.reshape(padded.shape[0] // tile, tile, -1, tile).sum(axis=(1, 3)), np.float32)
