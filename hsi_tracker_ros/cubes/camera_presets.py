"""Cameras known by name.

`vis16` and `nir25` are real 4x4 and 5x5 snapshot sensors, with the strongest peak of each filter row by row
from their maker's calibration files. Their filters are not in order of wavelength. `hot16` is the nominal
grid of 470 to 620 nm by which the HOT benchmark describes `vis16`. `rednir15` and `cms_v9` are nominal too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from hsi_tracker_ros.cubes.sensor import Sensor, SensorArea
from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import SpectralInfo

_ASSUMED_RANGE_NM = (400.0, 1000.0)  # of cubes whose bands nobody describes: range of silicon sensors

_VIS16 = (
    (480.8, 6.8), (484.9, 14.2), (481.0, 7.1), (635.9, 6.0),
    (590.2, 8.8), (600.1, 9.2), (576.1, 7.1), (565.0, 8.1),
    (633.3, 9.6), (487.8, 10.9), (623.7, 18.3), (614.1, 13.3),
    (526.9, 7.1), (539.3, 7.1), (512.2, 8.8), (500.1, 12.2),
)  # fmt: skip
_NIR25 = (
    (915.5, 17.4), (924.2, 19.4), (932.4, 19.8), (940.9, 25.0), (952.7, 19.4),
    (854.5, 15.3), (866.9, 14.2), (881.4, 19.4), (892.1, 19.0), (901.1, 19.4),
    (791.0, 11.2), (805.9, 11.2), (816.4, 12.2), (829.8, 13.3), (844.2, 14.2),
    (728.4, 7.1), (739.5, 8.8), (752.8, 8.5), (767.0, 8.5), (780.4, 9.2),
    (916.7, 25.0), (926.0, 25.0), (688.6, 8.1), (701.6, 8.8), (713.4, 8.5),
)  # fmt: skip


def _make_measured_camera(bands: tuple[tuple[float, float], ...], side: int) -> SpectralInfo:
    centers, widths = zip(*bands, strict=True)
    return SpectralInfo(centers, widths, mosaic=(side, side), bit_depth=10)


def _make_nominal_camera(
    start_nm: float, stop_nm: float, bands: int, fwhm_nm: float, side: int, bit_depth: int
) -> SpectralInfo:
    centers = tuple(float(w) for w in np.linspace(start_nm, stop_nm, bands))
    order = tuple(range(side * side)) if bands != side * side else ()
    return SpectralInfo(
        centers, (fwhm_nm,) * bands, mosaic=(side, side), band_order=order, bit_depth=bit_depth
    )


def _make_cms_v_camera() -> SpectralInfo:
    """Return SILIOS CMS-V: eight narrow bands, nominally 550 to 830 nm, and a panchromatic filter."""
    narrow = tuple(float(w) for w in range(550, 831, 40))
    return SpectralInfo((*narrow, 690.0), (40.0,) * 8 + (300.0,), mosaic=(3, 3), bit_depth=8)


PRESETS: Mapping[str, SpectralInfo] = MappingProxyType(
    {
        "vis16": _make_measured_camera(_VIS16, 4),
        "hot16": _make_nominal_camera(470.0, 620.0, 16, 10.0, 4, 10),
        "nir25": _make_measured_camera(_NIR25, 5),
        "rednir15": _make_nominal_camera(600.0, 850.0, 15, 15.0, 4, 10),
        "cms_v9": _make_cms_v_camera(),
    }
)

SENSORS: Mapping[str, Sensor] = MappingProxyType(
    {"cms_v9": Sensor((1280, 1024), SensorArea(0, 0, 1278, 1023), accepts_crops=True)}
)
"""Sensors of the cameras whose filters always begin at the same pixel."""

_BY_BANDS = {16: "vis16", 25: "nir25", 15: "rednir15", 9: "cms_v9"}


def find_camera_preset(name: str) -> SpectralInfo:
    """Return the camera of a name.

    Raises:
        SourceError: the name is unknown. The message lists the names.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise SourceError(
            f"camera {name} is unknown; known: {', '.join(PRESETS)}. Give one of these or a camera file"
        ) from None


def assume_camera(bands: int) -> tuple[str, SpectralInfo]:
    """Assume the camera of cubes without described bands.

    Returns:
        Name of the assumption for users, and the known camera with this number of bands, or bands in even
        steps over the visible and near infrared range.
    """
    if bands in _BY_BANDS:
        name = _BY_BANDS[bands]
        return f"those of the camera {name}", replace(PRESETS[name], mosaic=None, band_order=())
    first_nm, last_nm = _ASSUMED_RANGE_NM
    text = f"even steps from {first_nm:g} to {last_nm:g} nm"
    return text, SpectralInfo(tuple(float(nm) for nm in np.linspace(first_nm, last_nm, bands)))


def find_camera_preset_by_band_count(bands: int) -> SpectralInfo:
    """Return the known camera with a number of bands.

    Raises:
        SourceError: no known camera has this number of bands.
    """
    if bands not in _BY_BANDS:
        known = ", ".join(f"{count} ({name})" for count, name in sorted(_BY_BANDS.items()))
        raise SourceError(
            f"no known camera has {bands} bands; known: {known}. Give a camera file with wavelengths"
        )
    return PRESETS[_BY_BANDS[bands]]
