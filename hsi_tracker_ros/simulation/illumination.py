"""Illumination of a scene: two mixed illuminants, a varying level, cloud shadows and vignetting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.textures import make_fractal_noise, make_smooth_walk
from tracking_runtime.spectral_info import SpectralInfo

_CLOUD_VIEW = 64
"""Number of columns of the cloud field over an image."""
_CLOUD_SPEED = 0.7
"""Number of columns that the cloud field moves per frame."""


class SceneIllumination(Protocol):
    """The light of a scene in a sensor's bands."""

    @property
    def full(self) -> NDArray[np.float32]:
        """Full light, `(bands,)`, under which spectral look-alikes have equal false colors."""

    def compute_bands(self, time: int) -> NDArray[np.float32]:
        """Return the digital value of a white surface in full light in a frame, `(bands,)`."""

    def illuminate(self, reflectance: NDArray[np.float32], time: int) -> None:
        """Convert a cube `(height, width, bands)` of reflectances to light, in place."""


@dataclass(frozen=True)
class Illumination:
    """The illumination that converts reflectances to the light in a sensor's bands.

    Attributes:
        pair: the two illuminants in the bands, with the sensor's sensitivity, `(2, bands)`.
        mix: fraction of the first illuminant in each frame.
        level: brightness of each frame.
        vignette: fraction of light that the lens transmits, `(height, width)`.
        clouds: fraction of light under moving clouds, `(rows, columns)`; None: a clear sky.
    """

    pair: NDArray[np.float32]
    mix: NDArray[np.float64]
    level: NDArray[np.float64]
    vignette: NDArray[np.float32]
    clouds: NDArray[np.float32] | None

    @property
    def full(self) -> NDArray[np.float32]:
        """Light of the first illuminant, `(bands,)`."""
        return self.pair[0]

    def compute_bands(self, time: int) -> NDArray[np.float32]:
        """Return the digital value of a white surface in full light, without vignetting, `(bands,)`."""
        mixed = self.mix[time] * self.pair[0] + (1 - self.mix[time]) * self.pair[1]
        return (self.level[time] * mixed).astype(np.float32)

    def illuminate(self, reflectance: NDArray[np.float32], time: int) -> None:
        """Convert a cube `(height, width, bands)` of reflectances to light, in place."""
        height, width = self.vignette.shape
        reflectance *= self.compute_bands(time)
        shade = self.vignette
        if self.clouds is not None:
            left = int(time * _CLOUD_SPEED)
            passing = self.clouds[:, left : left + _CLOUD_VIEW]
            shade = shade * cv2.resize(passing, (width, height), interpolation=cv2.INTER_LINEAR)
        reflectance *= shade[..., None]


def make_illumination(
    rng: np.random.Generator, camera: SpectralInfo, length: int, size: tuple[int, int], *, varies: bool
) -> Illumination:
    """Return daylight or lamps for `length` frames.

    Args:
        rng: random generator. The number of draws does not depend on the camera.
        camera: camera whose bands receive the light.
        length: number of frames.
        size: width and height of the image in pixels.
        varies: True if level and color change strongly and clouds move.
    """
    lights = spectra.make_illuminants()
    outdoors = rng.random() < 0.75
    chosen = rng.integers(0, spectra.NUM_DAYLIGHTS if outdoors else len(lights), 2)
    pair = lights[chosen] @ spectra.compute_band_responses(camera).T * make_sensitivity(rng, camera)
    swing, period = (0.5, 25) if varies else (0.08, 60)
    level = np.exp(swing * np.clip(make_smooth_walk(rng, length, period)[:, 0], -2, 1.2))
    drift = 0.5 + 0.5 * np.tanh(make_smooth_walk(rng, length, 40)[:, 0])
    width, height = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - np.float32(rng.uniform(0.0, 0.3)) * (x * x + y * y) / 2
    clouds = None
    if varies:
        field = make_fractal_noise(rng, 32, _CLOUD_VIEW + int(_CLOUD_SPEED * length) + 1, 24, 3)
        clouds = (1 - rng.uniform(0.3, 0.6) / (1 + np.exp(-4 * field))).astype(np.float32)
    return Illumination(
        (pair / pair[0].mean()).astype(np.float32),
        drift if varies else np.ones(length),
        level,
        vignette.astype(np.float32),
        clouds,
    )


def make_sensitivity(rng: np.random.Generator, camera: SpectralInfo) -> NDArray[np.float64]:
    """Return the relative sensitivity of a random silicon sensor in each band, `(bands,)`."""
    nm = np.array(camera.wavelengths_nm)
    ripple = 1 + 0.15 * np.sin(nm / rng.uniform(4, 12) + rng.uniform(0, 6))
    sensitivity: NDArray[np.float64] = np.exp(-0.5 * ((nm - rng.uniform(560, 680)) / 220) ** 2) * ripple
    return sensitivity
