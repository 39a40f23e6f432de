"""Simulated satellite video with exact ground truth: traffic on land, water and in the air."""

from spax_ros.simulation.scene import BENCHMARK_SEEDS, CLASS_NAMES, TRAINING_SEEDS, SatelliteScene

__all__ = ["BENCHMARK_SEEDS", "CLASS_NAMES", "TRAINING_SEEDS", "SatelliteScene"]
