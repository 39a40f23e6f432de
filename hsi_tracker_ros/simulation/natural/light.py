"""Light of a natural scene: sun and sky under rolling clouds, or lamps that flicker; automatic exposure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.illumination import make_sensitivity
from hsi_tracker_ros.simulation.textures import make_fractal_noise, make_smooth_walk
from tracking_runtime.spectral_info import SpectralInfo

_OUTDOORS_FRACTION = 0.7
_SKY_FRACTIONS = (0.12, 0.3)  # of the light on a surface in the sun that comes from the blue sky
_SUNS = slice(1, 4)  # daylights of 5000 to 6500 K
_SKIES = slice(4, 7)  # daylights of 7500 to 12000 K
_CLOUD_VIEW = 64  # columns of the cloud field over an image
_CLOUD_ROWS = 32
_FLICKER_HZ = (100.0, 120.0)  # of lamps at 50 and 60 Hz
_FLICKER_DEPTHS = (0.02, 0.25)
_CLOCK_ERROR = 2e-3  # largest relative error of the camera's clock, by which the bands of a flicker roll
_EXPOSURE_RATE = 0.15  # of the automatic exposure: weight of the newest frame
_EXPOSURE_STRENGTH = 0.8  # fraction of a change of the light that the exposure removes in the end

Series = NDArray[np.float64]


@dataclass(frozen=True)
class NaturalLight:
    """The light of a scene in a sensor's bands, see `SceneIllumination`.

    Attributes:
        direct: light of the sun or of a lamp, `(bands,)`, with the sensor's sensitivity.
        ambient: light of the sky or of the room, `(bands,)`.
        exposure: relative exposure of each frame.
        transmission: fraction of the direct light that arrives in each frame.
        vignette: fraction of light that the lens transmits, `(height, width)`.
        clouds: fraction of the direct light under moving clouds, `(rows, columns)`; None: none.
        cloud_speed: columns that the clouds move per frame.
        flicker_depth: amplitude of the flicker of a lamp, relative to its mean; 0: none.
        flicker_phases: phase in radians of the flicker in the first row of each frame.
        flicker_rows: radians of the flicker from the first to the last row; 0: a global shutter.
    """

    direct: NDArray[np.float32]
    ambient: NDArray[np.float32]
    exposure: Series
    transmission: Series
    vignette: NDArray[np.float32]
    clouds: NDArray[np.float32] | None
    cloud_speed: float
    flicker_depth: float
    flicker_phases: Series
    flicker_rows: float

    @property
    def full(self) -> NDArray[np.float32]:
        """Direct and ambient light, `(bands,)`."""
        return self.direct + self.ambient

    def compute_bands(self, time: int) -> NDArray[np.float32]:
        """Return the digital value of a white surface in full light in a frame, `(bands,)`."""
        light = self.transmission[time] * self.direct + self.ambient
        return np.asarray(self.exposure[time] * light, np.float32)

    def illuminate(self, reflectance: NDArray[np.float32], time: int) -> None:
        """Convert a cube `(height, width, bands)` of reflectances to light, in place."""
        height, width = self.vignette.shape
        fraction = np.full((height, width), self.transmission[time], np.float32)
        if self.clouds is not None:
            left = int(time * self.cloud_speed)
            passing = self.clouds[:, left : left + _CLOUD_VIEW]
            fraction *= cv2.resize(passing, (width, height), interpolation=cv2.INTER_LINEAR)
        if self.flicker_depth:
            rows = self.flicker_phases[time] + self.flicker_rows * np.arange(height) / height
            fraction *= (1 + self.flicker_depth * np.sin(rows)).astype(np.float32)[:, None]
        transmitted = self.vignette * np.float32(self.exposure[time])
        reflectance *= (fraction * transmitted)[..., None] * self.direct + transmitted[
            ..., None
        ] * self.ambient


def make_natural_light(
    rng: np.random.Generator,
    camera: SpectralInfo,
    length: int,
    size: tuple[int, int],
    rate_hz: float,
    *,
    varies: bool,
) -> NaturalLight:
    """Return the light of `length` frames.

    Args:
        rng: random generator. The number of draws does not depend on the camera.
        camera: camera whose bands receive the light.
        length: number of frames.
        size: width and height of the image in pixels.
        rate_hz: frames per second.
        varies: True if clouds pass or lamps flicker strongly.
    """
    lights = spectra.make_illuminants()
    is_outdoors = rng.random() < _OUTDOORS_FRACTION
    daylights = lights[: spectra.NUM_DAYLIGHTS]
    lamps = lights[spectra.NUM_DAYLIGHTS :]
    direct, ambient = (
        pool[int(rng.integers(len(pool)))]
        for pool in ((daylights[_SUNS], daylights[_SKIES]) if is_outdoors else (lamps, lights))
    )
    sky = float(rng.uniform(*_SKY_FRACTIONS))
    to_bands = spectra.compute_band_responses(camera).T
    sensitivity = make_sensitivity(rng, camera)
    both = np.stack([(1 - sky) * direct, sky * ambient]) @ to_bands * sensitivity
    both /= both.sum(axis=0).mean()

    depth, period = (rng.uniform(0.4, 0.8), 22) if varies else (rng.uniform(0.0, 0.15), 70)
    walk = make_smooth_walk(rng, length, period)[:, 0]
    transmission = 1 - depth / (1 + np.exp(-3 * (walk - 0.3))) if is_outdoors else np.ones(length)
    clouds, speed = None, float(rng.uniform(0.2, 1.2))
    field = make_fractal_noise(rng, _CLOUD_ROWS, _CLOUD_VIEW + int(speed * length) + 1, 24, 3)
    if varies and is_outdoors:
        clouds = (1 - depth / (1 + np.exp(-5 * field))).astype(np.float32)
    flicker = float(rng.uniform(*_FLICKER_DEPTHS)) * (1.0 if varies else 0.3)
    frequency = float(rng.choice(_FLICKER_HZ))
    seconds = np.arange(length) / (rate_hz * (1 + rng.uniform(-_CLOCK_ERROR, _CLOCK_ERROR)))
    phases = 2 * np.pi * ((frequency * seconds + rng.random()) % 1)
    readout = 2 * np.pi * frequency / rate_hz * (rng.random() < 0.5) * rng.uniform(0.3, 0.9)
    width, height = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - np.float32(rng.uniform(0.05, 0.35)) * (x * x + y * y) / 2
    is_automatic = rng.random() < 0.6
    return NaturalLight(
        direct=both[0].astype(np.float32),
        ambient=both[1].astype(np.float32),
        exposure=_follow_light((1 - sky) * transmission + sky) if is_automatic else np.ones(length),
        transmission=transmission,
        vignette=vignette.astype(np.float32),
        clouds=clouds,
        cloud_speed=speed,
        flicker_depth=0.0 if is_outdoors else flicker,
        flicker_phases=phases,
        flicker_rows=float(readout),
    )


def _follow_light(light: Series) -> Series:
    """Return the relative exposure of each frame by which a camera follows its light with a delay."""
    exposure = np.ones(len(light))
    level = np.log(light[0])
    for frame, value in enumerate(np.log(light)):
        level += _EXPOSURE_RATE * (value - level)
        exposure[frame] = np.exp(-_EXPOSURE_STRENGTH * (level - np.log(light[0])))
    return exposure
