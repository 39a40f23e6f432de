"""Bands of a spectral camera, as in the message SpectralInfo."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag


class Calibration(IntFlag):
    """Corrections that were already applied to the images. The values are those of SpectralInfo.msg."""

    NONE = 0
    DARK = 1
    FLAT = 2
    SPECTRAL_CORRECTION = 4
    REFLECTANCE = 8


@dataclass(frozen=True)
class SpectralInfo:
    """Bands of a camera, in the order of its cubes' channels.

    Attributes:
        wavelengths_nm: center of each band in nanometers.
        fwhm_nm: full width at half maximum of each band in nanometers; empty if unknown.
        mosaic: rows and columns of filters in a period of the mosaic; None if images are cubes.
        band_order: cube channel of each filter of the mosaic, row by row. Empty: row * columns + column.
        bit_depth: significant bits of a sample. 0: all bits of the encoding.
        black_level: digital number of a sample without light.
        saturation_level: digital number from which samples are clipped. 0: the encoding's largest.
        calibration: corrections that were already applied to the images.

    Raises:
        ValueError: a field is out of range, or two fields contradict each other.
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
        for is_valid, format_problem in _RULES:
            if not is_valid(self):
                raise ValueError(format_problem(self))

    @property
    def _num_bands(self) -> int:
        return len(self.wavelengths_nm)

    @property
    def _num_filters(self) -> int:
        return self.mosaic[0] * self.mosaic[1] if self.mosaic else 0


# Condition of a valid description, and the error message if the condition is false.
_RULES: tuple[tuple[Callable[[SpectralInfo], bool], Callable[[SpectralInfo], str]], ...] = (
    (
        lambda info: info._num_bands > 0,
        lambda _: "wavelengths_nm is empty",
    ),
    (
        lambda info: all(0 < nm < math.inf for nm in info.wavelengths_nm),
        lambda info: f"wavelengths_nm must be finite numbers above 0: got {info.wavelengths_nm}",
    ),
    (
        lambda info: all(0 <= nm < math.inf for nm in info.fwhm_nm),
        lambda info: f"fwhm_nm must be finite numbers from 0: got {info.fwhm_nm}",
    ),
    (
        lambda info: math.isfinite(info.black_level) and math.isfinite(info.saturation_level),
        lambda info: (
            "black_level and saturation_level must be finite: "
            f"got {info.black_level}, {info.saturation_level}"
        ),
    ),
    (
        lambda info: info.mosaic is None or min(info.mosaic) >= 1,
        lambda info: "mosaic needs at least 1 row and 1 column: got {} x {}".format(*(info.mosaic or ())),
    ),
    (
        lambda info: not info.fwhm_nm or len(info.fwhm_nm) == info._num_bands,
        lambda info: (
            f"fwhm_nm must have {info._num_bands} values, one per wavelength: got {len(info.fwhm_nm)}"
        ),
    ),
    (
        lambda info: info.mosaic is None or not info.band_order or len(info.band_order) == info._num_filters,
        lambda info: (
            f"band_order must have {info._num_filters} entries, one per filter of the mosaic: "
            f"got {len(info.band_order)}"
        ),
    ),
    (
        lambda info: info.mosaic is None or bool(info.band_order) or info._num_bands == info._num_filters,
        lambda info: (
            f"wavelengths_nm must have {info._num_filters} values, one per filter of the mosaic: "
            f"got {info._num_bands}; set band_order if filters share a band"
        ),
    ),
)
