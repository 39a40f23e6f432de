"""Simulated satellite video: traffic on land, water and in the air, under a drifting platform, with truth."""

from spax_ros.simulation.scene import BENCHMARK_SEEDS, CLASS_NAMES, TRAINING_SEEDS, SatelliteScene

__all__ = ["BENCHMARK_SEEDS", "CLASS_NAMES", "TRAINING_SEEDS", "SatelliteScene"]
