"""Hyperspectral video with exact ground truth: simulated from a seed, or a window that pans over a cube."""

from hsi_tracker_ros.simulation.panned_cube import PannedCube
from hsi_tracker_ros.simulation.scene import (
    ATTRIBUTES,
    BENCHMARK_SEEDS,
    TRAINING_SEEDS,
    HyperspectralScene,
    Rendering,
)
from hsi_tracker_ros.simulation.sensor import make_random_camera

__all__ = [
    "ATTRIBUTES",
    "BENCHMARK_SEEDS",
    "TRAINING_SEEDS",
    "HyperspectralScene",
    "PannedCube",
    "Rendering",
    "make_random_camera",
]
