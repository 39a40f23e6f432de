"""From light to digital numbers: the sensor of a simulated spectral camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.mosaic import from_cube
from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import SpectralInfo

Kind = Literal["cube", "mosaic"]
Sample = Literal["uint8", "uint16", "float32"]

_FULL_WELL_ELECTRONS = 11_000.0
_READ_NOISE_ELECTRONS = 13.0
_NOISE_BANK = 1 << 22


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.float32]:
    bank = np.random.default_rng(1).standard_normal(_NOISE_BANK, dtype=np.float32)
    bank.setflags(write=False)
    return bank


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Normal noise cut at random places from one large bank, which is ten times as fast as making it."""
    bank = _noise_bank()
    flat = np.empty(int(np.prod(shape)), dtype=np.float32)
    piece = _NOISE_BANK // 4
    for start in range(0, len(flat), piece):
        length = min(piece, len(flat) - start)
        offset = int(rng.integers(0, _NOISE_BANK - length))
        flat[start : start + length] = bank[offset : offset + length]
    return flat.reshape(shape)


@dataclass(frozen=True)
class Sensor:
    """A camera's electronics.

    Attributes:
        camera: its bands.
        kind: whether images are cubes or raw mosaics.
        sample: type of a sample.
    """

    camera: SpectralInfo
    kind: Kind
    sample: Sample

    def __post_init__(self) -> None:
        if self.kind not in ("cube", "mosaic"):
            raise SourceError(f"kind is cube or mosaic, not {self.kind}")
        if self.kind == "mosaic" and self.camera.mosaic is None:
            raise SourceError("images of this camera are cubes: it has no mosaic. Ask for kind=cube")

    @property
    def white(self) -> float:
        """Digital number at which a sample saturates."""
        if self.camera.saturation_level:
            return self.camera.saturation_level
        if self.sample == "float32":
            return 1.0
        bits = self.camera.bit_depth or np.iinfo(self.sample).bits
        return float(2 ** min(bits, np.iinfo(self.sample).bits) - 1)

    @property
    def spectral_info(self) -> SpectralInfo:
        """What the images are, for whoever decodes them."""
        bits = 0 if self.sample == "float32" else min(self.camera.bit_depth, np.iinfo(self.sample).bits)
        info = replace(self.camera, bit_depth=bits, saturation_level=self.white)
        return info if self.kind == "mosaic" else replace(info, mosaic=None, band_order=())

    @property
    def encoding(self) -> str:
        """As in sensor_msgs/Image."""
        if self.kind == "mosaic":
            return {"uint8": "mono8", "uint16": "mono16", "float32": "32FC1"}[self.sample]
        return {"uint8": "8UC", "uint16": "16UC", "float32": "32FC"}[self.sample] + str(
            len(self.camera.wavelengths_nm)
        )

    def expose(self, light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Digital numbers of a cube of light, with shot and read noise, clipped where a sample saturates.

        Args:
            light: ``(height, width, bands)``, 1 saturates; is used up.
            rng: source of the noise.

        Returns:
            the image, a cube or a raw mosaic.
        """
        read = _READ_NOISE_ELECTRONS / _FULL_WELL_ELECTRONS
        noise = _noise(rng, light.shape)
        np.maximum(light, 0, out=light)
        noise *= np.sqrt(light / np.float32(_FULL_WELL_ELECTRONS) + np.float32(read * read))
        light += noise
        black = self.camera.black_level
        light *= np.float32(self.white - black)
        light += np.float32(black + (0.0 if self.sample == "float32" else 0.5))
        np.clip(light, 0, self.white, out=light)
        cube: NDArray[Any] = light if self.sample == "float32" else light.astype(self.sample)
        return from_cube(cube, self.camera) if self.kind == "mosaic" else cube


def random_camera(rng: np.random.Generator) -> tuple[SpectralInfo, Sample]:
    """Some camera: 3 to 40 bands anywhere in 400 to 1000 nm, in any order, of any sample type."""
    bands = int(rng.integers(3, 41))
    span = rng.uniform(120, 600)
    start = rng.uniform(400, 1000 - span)
    centres = np.linspace(start, start + span, bands)
    centres += rng.uniform(-0.3, 0.3, bands) * span / bands
    if rng.random() < 0.3:
        centres = rng.permutation(centres)
    width = float(np.clip(span / bands * rng.uniform(0.6, 2.0), 5, 80))
    sample: Sample = rng.choice(np.array(["uint8", "uint16", "float32"]), p=[0.3, 0.5, 0.2])
    bits = {"uint8": 8, "uint16": int(rng.choice([10, 12, 16])), "float32": 0}[str(sample)]
    black = float(rng.choice([0, 0, rng.uniform(0, 0.05)])) * (2**bits - 1 if bits else 1)
    centres = np.clip(centres, 400, 1000)
    info = SpectralInfo(tuple(float(c) for c in centres), (width,) * bands, bit_depth=bits, black_level=black)
    return info, sample
