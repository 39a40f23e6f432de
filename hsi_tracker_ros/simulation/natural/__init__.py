"""Natural scenes: photographs in spectra, with the shake, the light and the noise of real cameras."""

from hsi_tracker_ros.simulation.natural.scene import NaturalScene

__all__ = ["NaturalScene"]
