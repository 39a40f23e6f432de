"""How many pixels may be active: sizes for static shapes, and what happens beyond the largest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def bucket(count: int, smallest: int = 4096) -> int:
    """Rows that ``count`` pixels are rounded up to: ``smallest`` times 1, 1.5, 2, 3, 4, 6, 8, ..."""
    size = smallest
    while size < count:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def most_energetic(mask: NDArray[np.bool_], energy: NDArray[np.float32], limit: int) -> NDArray[np.bool_]:
    """The mask, or where it has more than ``limit`` pixels, those of most energy."""
    active = np.flatnonzero(mask)
    if len(active) <= limit:
        return mask
    strongest = np.argpartition(energy.reshape(-1)[active], len(active) - limit)[len(active) - limit :]
    kept = np.zeros(mask.size, bool)
    kept[active[strongest]] = True
    return kept.reshape(mask.shape)
