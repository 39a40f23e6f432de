"""Shake of a real camera, synthesized from the power spectrum of measured camera motion.

Positions have a power spectrum of a power of the frequency. Exponent and amplitudes are those of 27 handheld
and airborne color videos of 130 frames (OTB, UAV123, DTB70, UAVDT, TLD, TinyTLP, VOT): phase correlation of
successive frames, summed, without a cubic trend. The power falls with the fourth power of the frequency from
1 to 5 Hz.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.textures import make_smooth_walk
from hsi_tracker_ros.simulation.trajectories import CameraPath

SLOWEST_HZ = 1.0
"""Frequency below which motion is a pan, not shake."""

_EXPONENT = 2.0  # of the frequency in the amplitude spectrum of the position
_MEDIAN_RMS = 0.0025  # median over videos of the position's standard deviation, in widths of the image
_RMS_SPREAD = 1.4  # standard deviation of its logarithm over videos
_MAX_RMS = 0.02  # largest measured standard deviation, in widths of the image
_TURN_PER_SHIFT = 0.35  # radians of roll per shift in widths of the image
_ZOOM = 0.02
_PERIODS = 4  # length of the synthesized series in lengths of the video, so that its ends differ


def make_shaken_path(
    rng: np.random.Generator,
    length: int,
    size: tuple[int, int],
    max_shift: tuple[float, float],
    rate_hz: float,
) -> CameraPath:
    """Return a camera that pans up to `max_shift` pixels either way and shakes like a real one.

    Args:
        rng: random generator.
        length: number of frames.
        size: width and height of the image in pixels.
        max_shift: largest pan in x and y in pixels.
        rate_hz: frames per second.
    """
    pan = np.tanh(0.6 * make_smooth_walk(rng, length, rng.uniform(60, 200), 2)) * max_shift
    pan -= pan[0] * rng.uniform(0, 1)
    rms = min(_MEDIAN_RMS * float(np.exp(rng.normal(0, _RMS_SPREAD))), _MAX_RMS)
    shake = np.stack([synthesize_shake(rng, length, rate_hz) for _ in range(3)], axis=1) * rms
    limit = np.array(max_shift) * 1.2 + 1
    return CameraPath(
        shift=np.clip(pan + shake[:, :2] * size[0], -limit, limit),
        zoom=1 + _ZOOM * np.tanh(make_smooth_walk(rng, length, 80)[:, 0]),
        angle=_TURN_PER_SHIFT * shake[:, 2] + 0.01 * np.tanh(make_smooth_walk(rng, length, 60)[:, 0]),
        center=(size[0] / 2, size[1] / 2),
    )


def synthesize_shake(rng: np.random.Generator, length: int, rate_hz: float) -> NDArray[np.float64]:
    """Return positions `(length,)` of zero expectation and unit standard deviation."""
    count = max(_PERIODS * length, 64)
    frequencies = np.fft.rfftfreq(count, 1 / rate_hz)
    amplitudes = np.where(frequencies >= SLOWEST_HZ, np.maximum(frequencies, SLOWEST_HZ) ** -_EXPONENT, 0.0)
    spectrum = amplitudes * (rng.standard_normal(len(amplitudes)) + 1j * rng.standard_normal(len(amplitudes)))
    series = np.fft.irfft(spectrum, count)
    deviation = np.sqrt(4 * np.square(amplitudes).sum()) / count if amplitudes.any() else 1.0
    return np.asarray(series[:length] / max(float(deviation), 1e-12), np.float64)
