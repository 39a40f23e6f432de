"""Line fit of the time of a frame over its number of active pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fit_cost_line(active_pixels: Sequence[int], milliseconds: Sequence[float]) -> tuple[float, float]:
    """Return the milliseconds without active pixels and the milliseconds per active pixel.

    Args:
        active_pixels: number of active pixels of each frame.
        milliseconds: time of each frame.
    """
    slope, constant = np.polyfit(active_pixels, milliseconds, 1)
    return float(constant), float(slope)
