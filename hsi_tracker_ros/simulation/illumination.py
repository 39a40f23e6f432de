"""The light on a scene: two illuminants that mix, a level that varies, cloud shadows, the lens's vignette."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.textures import fractal_noise, smooth_walk
from tracking_runtime.spectral_info import SpectralInfo

_CLOUD_VIEW = 64
"""Columns of the cloud field that lie over an image."""
_CLOUD_SPEED = 0.7
"""Columns of the cloud field that pass in a frame."""


@dataclass(frozen=True)
class Light:
    """What turns reflectances into what a sensor's bands collect.

    Attributes:
        pair: ``(2, bands)`` the two illuminants as the bands see them, the sensor's sensitivity included.
        mix: share of the first, frame by frame.
        level: brightness, frame by frame.
        vignette: ``(height, width)`` share of light that the lens lets through.
        clouds: ``(rows, columns)`` share of light under passing clouds; None: a clear sky.
    """

    pair: NDArray[np.float32]
    mix: NDArray[np.float64]
    level: NDArray[np.float64]
    vignette: NDArray[np.float32]
    clouds: NDArray[np.float32] | None

    def bands(self, time: int) -> NDArray[np.float32]:
        """``(bands,)`` digital value of a white surface in full light at a frame, before vignette."""
        mixed = self.mix[time] * self.pair[0] + (1 - self.mix[time]) * self.pair[1]
        return (self.level[time] * mixed).astype(np.float32)

    def shine_on(self, reflectance: NDArray[np.float32], time: int) -> None:
        """Turn a cube ``(height, width, bands)`` of reflectances into light, in place."""
        height, width = self.vignette.shape
        reflectance *= self.bands(time)
        shade = self.vignette
        if self.clouds is not None:
            left = int(time * _CLOUD_SPEED)
            passing = self.clouds[:, left : left + _CLOUD_VIEW]
            shade = shade * cv2.resize(passing, (width, height), interpolation=cv2.INTER_LINEAR)
        reflectance *= shade[..., None]


def make_light(
    rng: np.random.Generator, camera: SpectralInfo, length: int, size: tuple[int, int], *, varies: bool
) -> Light:
    """Daylight or lamps for ``length`` frames.

    Args:
        rng: source of chance; draws the same number of times whatever the camera.
        camera: whose bands see it.
        length: frames.
        size: width and height of the image in pixels.
        varies: whether level and colour change much and clouds pass.
    """
    lights = spectra.illuminants()
    outdoors = rng.random() < 0.75
    chosen = rng.integers(0, spectra.DAYLIGHTS if outdoors else len(lights), 2)
    nm = np.array(camera.wavelengths_nm)
    ripple = 1 + 0.15 * np.sin(nm / rng.uniform(4, 12) + rng.uniform(0, 6))
    sensitivity = np.exp(-0.5 * ((nm - rng.uniform(560, 680)) / 220) ** 2) * ripple
    pair = lights[chosen] @ spectra.band_responses(camera).T * sensitivity
    swing, period = (0.5, 25) if varies else (0.08, 60)
    level = np.exp(swing * np.clip(smooth_walk(rng, length, period)[:, 0], -2, 1.2))
    drift = 0.5 + 0.5 * np.tanh(smooth_walk(rng, length, 40)[:, 0])
    width, height = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - np.float32(rng.uniform(0.0, 0.3)) * (x * x + y * y) / 2
    clouds = None
    if varies:
        field = fractal_noise(rng, 32, _CLOUD_VIEW + int(_CLOUD_SPEED * length) + 1, 24, 3)
        clouds = (1 - rng.uniform(0.3, 0.6) / (1 + np.exp(-4 * field))).astype(np.float32)
    return Light(
        (pair / pair[0].mean()).astype(np.float32),
        drift if varies else np.ones(length),
        level,
        vignette.astype(np.float32),
        clouds,
    )
