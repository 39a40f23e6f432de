"""Budget of active tiles: bucket sizes for static shapes, and the selection of tiles over the budget."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.mask import compute_cell_maxima

MAX_TILES = 6144  # tiles of the largest bucket


def round_to_bucket(num_tiles: int, smallest: int = 64) -> int:
    """Round up to a bucket size: `smallest` times 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, ..."""
    num_doublings = max(0, (max(num_tiles, 1) - 1) // smallest).bit_length()
    step = max(smallest << num_doublings >> 3, smallest // 4)
    return max(smallest, -(-num_tiles // step) * step)


def list_bucket_sizes(max_tiles: int = MAX_TILES) -> list[int]:
    """Return all bucket sizes, up to the one that has at least `max_tiles`."""
    sizes = [round_to_bucket(1)]
    while sizes[-1] < max_tiles:
        sizes.append(round_to_bucket(sizes[-1] + 1))
    return sizes


def count_active_tiles(mask: NDArray[np.bool_], tile_px: int) -> int:
    """Return the number of tiles of a mask ``(H, W)`` that contain active pixels."""
    return int(np.count_nonzero(compute_cell_maxima(mask.view(np.uint8), tile_px)))


def select_strongest_tiles(
    mask: NDArray[np.bool_], energy: NDArray[np.float32], tile_px: int, max_tiles: int
) -> NDArray[np.bool_]:
    """Return the mask with at most `max_tiles` active tiles, those with the highest total energy.

    Args:
        mask: active pixels, ``(H, W)``.
        energy: energy of the pixels, ``(H, W)``, not negative.
        tile_px: side of a tile in pixels.
        max_tiles: tiles that may stay active.
    """
    if count_active_tiles(mask, tile_px) <= max_tiles:
        return mask
    is_active = _sum_tiles(mask, tile_px) > 0
    energies = np.where(is_active, _sum_tiles(np.where(mask, energy, 0), tile_px), -1)
    is_kept = np.zeros(energies.size, np.uint8)
    num_dropped = energies.size - max_tiles
    is_kept[np.argpartition(energies.reshape(-1), num_dropped)[num_dropped:]] = 1
    height, width = mask.shape
    size = (energies.shape[1] * tile_px, energies.shape[0] * tile_px)
    pixels = cv2.resize(is_kept.reshape(energies.shape), size, interpolation=cv2.INTER_NEAREST)
    return mask & pixels[:height, :width].astype(bool)


def _sum_tiles(values: NDArray[Any], tile_px: int) -> NDArray[np.float32]:
    height, width = values.shape
    padded = np.pad(values, ((0, -height % tile_px), (0, -width % tile_px)))
    tiles = padded.reshape(padded.shape[0] // tile_px, tile_px, -1, tile_px)
    return np.asarray(tiles.sum(axis=(1, 3)), np.float32)
