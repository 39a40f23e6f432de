"""Hyperspectral video with exact truth: made from a seed, or a real cube that a window pans over."""

from hsi_tracker_ros.simulation.panned_cube import PannedCube
from hsi_tracker_ros.simulation.scene import (
    ATTRIBUTES,
    BENCHMARK_SEEDS,
    TRAINING_SEEDS,
    HyperspectralScene,
    Rendering,
)
from hsi_tracker_ros.simulation.sensor import random_camera

__all__ = [
    "ATTRIBUTES",
    "BENCHMARK_SEEDS",
    "TRAINING_SEEDS",
    "HyperspectralScene",
    "PannedCube",
    "Rendering",
    "random_camera",
]
