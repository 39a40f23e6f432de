"""The sensor of a simulated spectral camera: light to digital numbers."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.mosaic import convert_cube_to_mosaic
from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import SpectralInfo

Kind = Literal["cube", "mosaic"]
Sample = Literal["uint8", "uint16", "float32"]

_NOISE_BANK = 1 << 22


@lru_cache(maxsize=1)
def _make_noise_bank() -> NDArray[np.float32]:
    bank = np.random.default_rng(1).standard_normal(_NOISE_BANK, dtype=np.float32)
    bank.setflags(write=False)
    return bank


def _draw_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return normal noise, cut at random positions from one large bank: ten times as fast as drawing."""
    bank = _make_noise_bank()
    flat = np.empty(int(np.prod(shape)), dtype=np.float32)
    piece = _NOISE_BANK // 4
    for start in range(0, len(flat), piece):
        length = min(piece, len(flat) - start)
        offset = int(rng.integers(0, _NOISE_BANK - length))
        flat[start : start + length] = bank[offset : offset + length]
    return flat.reshape(shape)


@dataclass(frozen=True)
class FixedPattern:
    """The differences between the pixels of a sensor, which are the same in all frames.

    Attributes:
        gain: factor of the light of each sample, `(height, width, bands)`.
        offset: signal without light of each sample, in fractions of saturation.
    """

    gain: NDArray[np.float32]
    offset: NDArray[np.float32]


@dataclass(frozen=True)
class SensorNoise:
    """Noise of a sensor.

    Attributes:
        full_well: electrons at saturation.
        read_noise: standard deviation of the read noise in electrons.
        gain_spread: standard deviation of the pixels' gains, relative to their mean (PRNU).
        offset_spread: standard deviation of the pixels' signals without light in electrons (DSNU).
    """

    full_well: float
    read_noise: float
    gain_spread: float = 0.0
    offset_spread: float = 0.0

    def draw_fixed_pattern(self, shape: tuple[int, ...], rng: np.random.Generator) -> FixedPattern:
        """Return the fixed pattern of a random sensor, for cubes `(height, width, bands)`."""
        gain = 1 + np.float32(self.gain_spread) * _draw_noise(rng, shape)
        offset = np.float32(self.offset_spread / self.full_well) * _draw_noise(rng, shape)
        return FixedPattern(gain, offset)


PROCEDURAL_NOISE = SensorNoise(full_well=11_000.0, read_noise=13.0)
"""Noise of the procedural scenes, near the data sheet of the CMV2000."""

LOW_NOISE = SensorNoise(full_well=11_000.0, read_noise=13.0, gain_spread=0.01, offset_spread=10.0)
"""Noise of cubes of the CMV2000 with 16 and 25 bands.

The variance of their smoothest blocks of 8x8 pixels is 0.6 squared digital numbers at 18 and at 21 of 255, as
that of this full well and read noise.
"""

HIGH_NOISE = SensorNoise(full_well=2_200.0, read_noise=8.0, gain_spread=0.02, offset_spread=8.0)
"""Noise of raw images of SILIOS CMS-V.

The variance of the smoothest blocks of four scenes rises by 0.11 squared digital numbers per digital number,
which is 9 electrons per digital number of 255. The flat field at 114 has a variance of 30, the dark field of
14. The rest above the shot noise is a spread of the gains of 2 %. Blocks near black limit read noise and
offsets together to 1.2 digital numbers.
"""


def draw_measured_noise(rng: np.random.Generator) -> SensorNoise:
    """Return the noise of a random sensor between the two that were measured."""
    weight = float(rng.random())
    low, high = np.array(astuple(LOW_NOISE)), np.array(astuple(HIGH_NOISE))
    return SensorNoise(*np.exp((1 - weight) * np.log(low) + weight * np.log(high)).tolist())


@dataclass(frozen=True)
class SpectralSensor:
    """The electronics of a camera.

    Attributes:
        camera: bands of the camera.
        kind: `cube` or `mosaic`.
        sample: type of a sample.
        noise: noise of the sensor.
        pattern: differences between its pixels; None: all are equal.
    """

    camera: SpectralInfo
    kind: Kind
    sample: Sample
    noise: SensorNoise = PROCEDURAL_NOISE
    pattern: FixedPattern | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("cube", "mosaic"):
            raise SourceError(f"kind must be cube or mosaic: got {self.kind}")
        if self.kind == "mosaic" and self.camera.mosaic is None:
            raise SourceError("kind must be cube for a camera without a mosaic: got mosaic")

    @property
    def white(self) -> float:
        """Digital number at saturation."""
        if self.camera.saturation_level:
            return self.camera.saturation_level
        if self.sample == "float32":
            return 1.0
        bits = self.camera.bit_depth or np.iinfo(self.sample).bits
        return float(2 ** min(bits, np.iinfo(self.sample).bits) - 1)

    @property
    def spectral_info(self) -> SpectralInfo:
        """Bands and digital numbers of the images, for a decoder."""
        bits = 0 if self.sample == "float32" else min(self.camera.bit_depth, np.iinfo(self.sample).bits)
        info = replace(self.camera, bit_depth=bits, saturation_level=self.white)
        return info if self.kind == "mosaic" else replace(info, mosaic=None, band_order=())

    @property
    def encoding(self) -> str:
        """Encoding of the images as in sensor_msgs/Image."""
        if self.kind == "mosaic":
            return {"uint8": "mono8", "uint16": "mono16", "float32": "32FC1"}[self.sample]
        return {"uint8": "8UC", "uint16": "16UC", "float32": "32FC"}[self.sample] + str(
            len(self.camera.wavelengths_nm)
        )

    def expose(self, light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Convert light to digital numbers with shot and read noise, clipped at saturation.

        Args:
            light: light `(height, width, bands)`, 1 at saturation. The array is overwritten.
            rng: random generator of the noise.

        Returns:
            The image, a cube or a raw mosaic.
        """
        full_well = self.noise.full_well
        read = self.noise.read_noise / full_well
        noise = _draw_noise(rng, light.shape)
        np.maximum(light, 0, out=light)
        if self.pattern is not None:
            light *= self.pattern.gain
        noise *= np.sqrt(light / np.float32(full_well) + np.float32(read * read))
        light += noise
        if self.pattern is not None:
            light += self.pattern.offset
        black = self.camera.black_level
        light *= np.float32(self.white - black)
        light += np.float32(black + (0.0 if self.sample == "float32" else 0.5))
        np.clip(light, 0, self.white, out=light)
        cube: NDArray[Any] = light if self.sample == "float32" else light.astype(self.sample)
        return convert_cube_to_mosaic(cube, self.camera) if self.kind == "mosaic" else cube


def make_random_camera(rng: np.random.Generator) -> tuple[SpectralInfo, Sample]:
    """Return a random camera: 3 to 40 bands in 400 to 1000 nm, in any order, with any sample type."""
    bands = int(rng.integers(3, 41))
    span = rng.uniform(120, 600)
    start = rng.uniform(400, 1000 - span)
    centers = np.linspace(start, start + span, bands)
    centers += rng.uniform(-0.3, 0.3, bands) * span / bands
    if rng.random() < 0.3:
        centers = rng.permutation(centers)
    width = float(np.clip(span / bands * rng.uniform(0.6, 2.0), 5, 80))
    sample: Sample = rng.choice(np.array(["uint8", "uint16", "float32"]), p=[0.3, 0.5, 0.2])
    bits = {"uint8": 8, "uint16": int(rng.choice([10, 12, 16])), "float32": 0}[str(sample)]
    black = float(rng.choice([0, 0, rng.uniform(0, 0.05)])) * (2**bits - 1 if bits else 1)
    centers = np.clip(centers, 400, 1000)
    info = SpectralInfo(tuple(float(c) for c in centers), (width,) * bands, bit_depth=bits, black_level=black)
    return info, sample
