"""Statistics of real road traffic, measured on the published ground truth of a SkySat video of Las Vegas.

Two regions of 700 frames with 328 vehicles of at least 40 frames. Speeds and sizes are quantiles over the
vehicles. A vehicle's speed is the 80th percentile of its speed over 12 frames. A stop is slower than 0.15
pixels a frame for at least 5 frames. Contrasts need images: they are those of the long tracks of `spax_small`
in a real clip of 200 frames (car-0001 of the CoCRF-TrackNet repository). The data are not in this package.

    python -m spax_ros.simulation.traffic_statistics 001.csv 002.csv --frames car-0001/img

prints these numbers (the median stop as 93 frames).
"""

from __future__ import annotations

import numpy as np

QUANTILES = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 1.0)
SPEEDS_PX = (0.10, 0.56, 0.62, 0.94, 1.18, 1.32, 1.40, 1.48, 1.58)  # pixels a frame
LENGTHS_PX = (5.0, 7.0, 8.0, 8.0, 9.0, 11.0, 12.0, 14.65, 33.0)  # longer side of the box, blur included
WIDTHS_PX = (5.0, 5.0, 5.0, 5.0, 6.0, 6.0, 7.0, 7.65, 14.0)  # shorter side of the box, blur included
STOP_FRAMES = (18.0, 19.2, 22.0, 33.0, 94.0, 123.5, 274.0, 302.7, 318.0)
STOPS_PER_FRAME = 3.1e-4  # stops that begin per frame of a moving vehicle
GAP_FRAMES = (2.05, 22.9, 29.0, 38.9, 57.4, 86.1, 111.0, 136.0, 421.0)  # to the place of the vehicle ahead
FOLLOWERS = 0.514  # fraction of the moving vehicles with a vehicle ahead in their lane, within 150 pixels
TURNS_PER_PX = 2.48e-4  # turns of more than 30 degrees per pixel of path
CONTRASTS = (-6.44, -4.22, 23.3, 62.5, 90.9, 116.0, 127.0, 131.0, 133.0)  # gray levels above the ground
BOX_MARGIN_PX = 2.0  # blur that a box contains on both sides together


def choose_speed(rng: np.random.Generator) -> float:
    """Choose a vehicle's cruising speed in pixels a frame."""
    return _draw(rng, SPEEDS_PX)


def choose_size(rng: np.random.Generator) -> tuple[float, float]:
    """Choose a vehicle's length and width in pixels, without blur."""
    length, width = _draw(rng, LENGTHS_PX), _draw(rng, WIDTHS_PX)
    return max(length, width) - BOX_MARGIN_PX, min(length, width) - BOX_MARGIN_PX


def choose_wait(rng: np.random.Generator) -> int:
    """Choose the number of frames of a stop."""
    return round(_draw(rng, STOP_FRAMES))


def choose_gap(rng: np.random.Generator) -> float:
    """Choose the number of frames by which a vehicle follows the one ahead."""
    return _draw(rng, GAP_FRAMES)


def choose_contrast(rng: np.random.Generator) -> float:
    """Choose a vehicle's contrast to the ground in gray levels."""
    return _draw(rng, CONTRASTS)


def compute_stop_rate(speed: float, path_px: float, num_junctions: int) -> float:
    """Return the probability of a stop at a junction that gives the measured number of stops a frame.

    Args:
        speed: speed of the vehicle in pixels a frame.
        path_px: length of its path in pixels.
        num_junctions: number of junctions on the path.
    """
    return min(1.0, STOPS_PER_FRAME * path_px / speed / max(num_junctions, 1))


def _draw(rng: np.random.Generator, values: tuple[float, ...]) -> float:
    """Draw a value from the distribution with these values at `QUANTILES`, linear between them."""
    return float(np.interp(rng.random(), QUANTILES, values))
