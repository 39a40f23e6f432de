"""What the bands of a spectral camera are, apart from ROS (the message SpectralInfo says the same)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntFlag


class Calibration(IntFlag):
    """What has already been done to the images; values as in SpectralInfo.msg."""

    NONE = 0
    DARK = 1
    FLAT = 2
    SPECTRAL_CORRECTION = 4
    REFLECTANCE = 8


@dataclass(frozen=True)
class SpectralInfo:
    """The bands of a camera, in the order of its cubes' channels.

    Attributes:
        wavelengths_nm: centre of each band.
        fwhm_nm: full width at half maximum of each band; empty if unknown.
        mosaic: filter rows and columns of the mosaic; None if images are cubes.
        band_order: cube channel of each filter of the mosaic, row by row; empty: row * columns + column.
        bit_depth: significant bits of a sample; 0: all bits of the encoding.
        black_level: digital number of no light.
        saturation_level: digital number at and above which samples are clipped; 0: the encoding's largest.
        calibration: what has already been applied to the images.

    Raises:
        ValueError: a field is impossible, or two contradict each other.
    """

    wavelengths_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...] = ()
    mosaic: tuple[int, int] | None = None
    band_order: tuple[int, ...] = ()
    bit_depth: int = 0
    black_level: float = 0.0
    saturation_level: float = 0.0
    calibration: Calibration = Calibration.NONE

    def __post_init__(self) -> None:
        bands = len(self.wavelengths_nm)
        if not bands:
            raise ValueError("no wavelengths")
        if not all(0 < nm < math.inf for nm in self.wavelengths_nm):
            raise ValueError(f"wavelengths are numbers above 0, in nm, not {self.wavelengths_nm}")
        if not all(0 <= nm < math.inf for nm in self.fwhm_nm):
            raise ValueError(f"widths are numbers from 0, in nm, not {self.fwhm_nm}")
        if not all(map(math.isfinite, (self.black_level, self.saturation_level))):
            raise ValueError(f"a black level of {self.black_level}, a saturation of {self.saturation_level}")
        if self.mosaic is not None and min(self.mosaic) < 1:
            raise ValueError(f"a mosaic of {self.mosaic[0]} rows and {self.mosaic[1]} columns of filters")
        if self.fwhm_nm and len(self.fwhm_nm) != bands:
            raise ValueError(f"{bands} wavelengths but {len(self.fwhm_nm)} values of fwhm")
        if self.mosaic is not None:
            filters = self.mosaic[0] * self.mosaic[1]
            if self.band_order and len(self.band_order) != filters:
                entries = len(self.band_order)
                raise ValueError(f"band_order has {entries} entries, the mosaic {filters} filters")
            if not self.band_order and bands != filters:
                raise ValueError(f"{bands} wavelengths but the mosaic has {filters} filters; give band_order")
