"""Hyperspectral video made from a seed, and real cubes that a virtual camera pans over; both with exact truth."""

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
    "Rendering",
    "random_camera",
]
