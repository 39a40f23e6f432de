"""Simulated satellite video: drifting platform, parallax, weather, sensor; vehicles, ships, aircraft, trains."""

from spax_ros.simulation.scene import BENCHMARK_SEEDS, CLASS_NAMES, TRAINING_SEEDS, SatelliteScene

__all__ = ["BENCHMARK_SEEDS", "CLASS_NAMES", "TRAINING_SEEDS", "SatelliteScene"]
