"""Bands from the texts of headers and options: units of wavelengths, and lists of band numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import Calibration, SpectralInfo

_NANOMETERS_PER_UNIT = {
    "nm": 1.0, "nanometer": 1.0, "nanometers": 1.0, "nanometre": 1.0, "nanometres": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "microns": 1e3, "micrometer": 1e3, "micrometers": 1e3,
    "micrometre": 1e3, "micrometres": 1e3,
    "mm": 1e6, "millimeter": 1e6, "millimeters": 1e6, "cm": 1e7, "centimeters": 1e7, "m": 1e9, "meters": 1e9,
    "angstrom": 0.1, "angstroms": 0.1,
}  # fmt: skip
_WAVENUMBER_UNITS = {"wavenumber", "wavenumbers", "cm-1", "1/cm", "cm^-1"}
_LIGHT_NM_GHZ = 299_792_458.0  # wavelength in nm times frequency in GHz
_UNKNOWN_UNITS = {"", "unknown"}
_MAX_MICROMETERS = 100.0  # numbers of an unknown unit below this are micrometers
_MIN_NANOMETERS = 150.0  # numbers of an unknown unit above this are nanometers
_WAVELENGTH_IN_TEXT = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|um|µm|μm|micromet(?:er|re)s?|microns?)(?![A-Za-z])",
    re.IGNORECASE,
)


def make_spectral_info(
    wavelengths: Sequence[float],
    fwhm: Sequence[float],
    unit: str,
    name: object,
    calibration: Calibration = Calibration.NONE,
) -> SpectralInfo | None:
    """Make the description of bands from the numbers of a header.

    Args:
        wavelengths: center of each band.
        fwhm: full width at half maximum of each band; another number of values than bands: unknown.
        unit: unit of both. Empty or `unknown`: micrometers below 100, nanometers above 150.
        name: file, for messages.
        calibration: corrections that were applied to the samples.

    Returns:
        the bands; None if the unit is not one of wavelength, wavenumber or frequency, as `Index`.

    Raises:
        SourceError: the numbers are not wavelengths.
    """
    try:
        centers = convert_to_nanometers(wavelengths, unit)
        if centers is None:
            return None
        widths: tuple[float, ...] = ()
        if len(fwhm) == len(wavelengths) and unit.strip().lower() not in _WAVENUMBER_UNITS | {"ghz", "mhz"}:
            scale = centers[0] / wavelengths[0]
            widths = tuple(float(width * scale) for width in fwhm)
        return SpectralInfo(centers, widths, calibration=calibration)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise SourceError(f"{name} has unusable wavelengths: {error}; correct or remove them") from error


def convert_to_nanometers(values: Sequence[float], unit: str) -> tuple[float, ...] | None:
    """Convert wavelengths, wavenumbers or frequencies to nanometers; None for another unit.

    Raises:
        ValueError: a value is not above 0, or the unit is unknown and cannot be concluded from the values.
    """
    if not values or not all(0 < value < np.inf for value in values):
        raise ValueError(f"wavelengths must be finite numbers above 0: got {list(values)[:5]}")
    unit = unit.strip().lower()
    if unit in _UNKNOWN_UNITS:
        if max(values) < _MAX_MICROMETERS:
            unit = "um"
        elif min(values) > _MIN_NANOMETERS:
            unit = "nm"
        else:
            raise ValueError(f"their unit is unknown: got {min(values):g} to {max(values):g}; state the unit")
    if unit in _WAVENUMBER_UNITS:
        return tuple(1e7 / float(value) for value in values)
    if unit in ("ghz", "mhz"):
        factor = 1.0 if unit == "ghz" else 1e3
        return tuple(factor * _LIGHT_NM_GHZ / float(value) for value in values)
    if unit not in _NANOMETERS_PER_UNIT:
        return None
    # Rounding removes the binary noise of the factor: 0.45 um is 450 nm.
    return tuple(round(float(value) * _NANOMETERS_PER_UNIT[unit], 6) for value in values)


def find_wavelengths_in_names(names: Sequence[str]) -> tuple[float, ...]:
    """Return the wavelengths in nm that names such as `Band 3 (551.2 nm)` state; empty if one states none."""
    matches = [_WAVELENGTH_IN_TEXT.search(name) for name in names]
    values = [
        float(match[1]) * _NANOMETERS_PER_UNIT[match[2].lower()] for match in matches if match is not None
    ]
    return tuple(round(value, 6) for value in values) if names and len(values) == len(names) else ()


def parse_band_numbers(text: str, num_bands: int) -> tuple[int, ...]:
    """Parse a list of band numbers such as `3-40,45`, from 1, to indices from 0.

    Raises:
        SourceError: the text is not such a list, or names a band that does not exist.
    """
    bands: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part)
        if match is None:
            raise SourceError(f"bands must be numbers as in 3-40,45, or all: got {text!r}")
        first = int(match[1])
        last = int(match[2] or first)
        if not 1 <= first <= last <= num_bands:
            raise SourceError(
                f"bands must be between 1 and {num_bands}, in rising ranges: got {part.strip()!r}"
            )
        bands += range(first - 1, last)
    if len(set(bands)) != len(bands):
        raise SourceError(f"bands must be named once each: got {text!r}")
    return tuple(bands)


def parse_wavelengths(text: str, num_bands: int) -> tuple[float, ...]:
    """Parse wavelengths in nanometers: one for each band, or the first and last of an even row, as `400-700`.

    Raises:
        SourceError: the text is neither, or has another number of wavelengths than bands.
    """
    span = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*", text)
    if span is not None:
        return tuple(float(value) for value in np.linspace(float(span[1]), float(span[2]), num_bands))
    try:
        wavelengths = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise SourceError(f"wavelengths must be as in 400-700 or 450,550,650, in nm: got {text!r}") from error
    if len(wavelengths) != num_bands:
        raise SourceError(f"wavelengths must be one for each of {num_bands} bands: got {len(wavelengths)}")
    return wavelengths
