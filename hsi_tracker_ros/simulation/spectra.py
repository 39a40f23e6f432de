"""Measured reflectances and illuminants, and their values in a camera's bands.

Spectra are sampled at `GRID_NM`. Most measured reflectances end at 700 to 830 nm. Beyond its last sample a
spectrum is extrapolated: its slope decays over 40 nm, and a random rise is added, because most dyes and
pigments become transparent in the near infrared. The extrapolation is plausible, not measured. The vegetation
is generated too: leaf spectra of the published shape (chlorophyll absorption around 430 and 670 nm, green
peak at 550 nm, red edge between 690 and 740 nm, near-infrared plateau) from a few parameters.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.false_color import make_false_color_matrix
from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import SpectralInfo

GRID_NM = np.arange(400.0, 1001.0, 5.0)
_METAMER_TRIES = 12
_BUMPS = 16
_DARKEST, _BRIGHTEST = 0.015, 0.98

Spectra = NDArray[np.float32]


def _import_color_science() -> Any:
    try:
        import colour as color_science
    except ImportError as error:
        raise SourceError(
            "simulated hyperspectral scenes need the measured spectra of colour-science: "
            "pip install 'remote_sensing_tracking[simulation]'"
        ) from error
    return color_science


@lru_cache(maxsize=1)
def load_measured_reflectances() -> Spectra:
    """Return the more than 400 measured surfaces of colour-science, `(n, len(GRID_NM))`.

    Color checkers, color rendering test samples, the CIE 2017 set and the 190 AMPAS training patches.
    """
    color_science = _import_color_science()
    from colour.characterisation.aces_it import read_training_data_rawtoaces_v1
    from colour.quality.cfi2017 import load_TCS_CIE2017

    spectra: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for charts in (
        color_science.SDS_COLOURCHECKERS,
        color_science.quality.SDS_TCS,
        color_science.quality.SDS_VS,
    ):
        for chart in {id(chart): chart for chart in charts.values()}.values():
            spectra += [(sd.wavelengths, sd.values) for sd in chart.values()]
    for table in (
        read_training_data_rawtoaces_v1(),
        load_TCS_CIE2017(color_science.SpectralShape(380, 780, 5)),
    ):
        spectra += [(table.wavelengths, values) for values in table.values.T]
    rng = np.random.default_rng(20_17)
    result = np.array([_extrapolate(nm, values, rng) for nm, values in spectra], dtype=np.float32)
    result.setflags(write=False)
    return result


def _extrapolate(nm: NDArray[Any], values: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
    inside = np.interp(GRID_NM, nm, values)
    last = nm[-1]
    tail = nm > last - 30
    slope = np.polyfit(nm[tail], values[tail], 1)[0]
    beyond = np.clip(GRID_NM - last, 0, None)
    rise = (
        rng.uniform(-0.1, 0.7)
        * (1 - values[-1])
        / (1 + np.exp(-(beyond - rng.uniform(30, 150)) / rng.uniform(15, 40)))
    )
    rise -= rise[0]
    return np.clip(inside + slope * 40 * (1 - np.exp(-beyond / 40)) + rise, 0.025, 0.93)


def make_vegetation(rng: np.random.Generator, count: int) -> Spectra:
    """Return `count` leaf spectra, from lush to dry."""
    nm = GRID_NM[None]
    chlorophyll = rng.uniform(0.25, 1.0, (count, 1))
    plateau = rng.uniform(0.3, 0.6, (count, 1))
    visible = rng.uniform(0.08, 0.25, (count, 1))
    edge = 1 / (1 + np.exp(-(nm - rng.uniform(700, 725, (count, 1))) / rng.uniform(8, 14, (count, 1))))
    blue = np.exp(-0.5 * ((nm - 430) / 50) ** 2)
    red = np.exp(-0.5 * ((nm - 670) / 28) ** 2)
    carotene = np.exp(-0.5 * ((nm - 485) / 25) ** 2)
    absorbed = 1 - chlorophyll * np.clip(0.85 * blue + 0.8 * red + 0.55 * carotene + 0.25, 0, 0.95)
    dry = (1 - chlorophyll) * (nm - 400) / 600 * 0.3
    return np.clip(visible * absorbed * 1.6 * (1 - edge) + plateau * edge + dry, _DARKEST, _BRIGHTEST).astype(
        np.float32
    )


def make_ground_spectra(rng: np.random.Generator, count: int) -> Spectra:
    """Return `count` smooth, rising spectra of soil, gravel, asphalt and concrete."""
    nm = GRID_NM[None]
    level = rng.uniform(0.04, 0.35, (count, 1))
    reddish = rng.uniform(0.0, 0.9, (count, 1))
    iron = rng.uniform(0.0, 0.25, (count, 1)) * np.exp(-0.5 * ((nm - 500) / 60) ** 2)
    rising = 1 - np.exp(-(nm - 380) / rng.uniform(120, 320, (count, 1)))
    return np.clip(level * (1 - reddish + reddish * rising) * (1 - iron), _DARKEST, _BRIGHTEST).astype(
        np.float32
    )


@lru_cache(maxsize=1)
def make_illuminants() -> Spectra:
    """Return the spectra of illuminants with a mean of 1, `(n, len(GRID_NM))`.

    They are daylight of 4200 to 12000 K and incandescent light of 2700 to 3400 K. Daylight is the CIE D
    series, beyond 780 nm the black body of the same temperature.
    """
    color_science = _import_color_science()
    shape = color_science.SpectralShape(400, 1000, 5)

    def compute_black_body(kelvin: float) -> NDArray[Any]:
        return np.asarray(color_science.sd_blackbody(kelvin, shape).values)

    result = []
    for kelvin in (4200.0, 5000.0, 5500.0, 6500.0, 7500.0, 9000.0, 12000.0):
        xy = color_science.temperature.CCT_to_xy_CIE_D(kelvin)
        day = color_science.sd_CIE_illuminant_D_series(xy)
        values = np.interp(GRID_NM, day.wavelengths, day.values)
        body = compute_black_body(kelvin)
        seam = int(np.searchsorted(GRID_NM, 780))
        values[seam:] = body[seam:] * values[seam] / body[seam]
        result.append(values / values.mean())
    for kelvin in (2700.0, 2856.0, 3400.0):
        body = compute_black_body(kelvin)
        result.append(body / body.mean())
    array = np.array(result, dtype=np.float32)
    array.setflags(write=False)
    return array


NUM_DAYLIGHTS = 7
"""Number of daylight spectra, the first rows of `make_illuminants()`, by rising temperature."""


def compute_band_responses(camera: SpectralInfo) -> Spectra:
    """Return the Gaussian response of each band over `GRID_NM`, `(bands, len(GRID_NM))`, each with sum 1.

    A band of unknown width is as wide as the mean distance between neighboring bands.
    """
    centers = np.array(camera.wavelengths_nm)[:, None]
    if camera.fwhm_nm:
        widths = np.array(camera.fwhm_nm)[:, None]
    else:
        widths = np.full_like(centers, max(np.ptp(centers) / max(len(centers) - 1, 1), 5.0))
    sigma = np.maximum(widths / 2.355, 2.5)
    response = np.exp(-0.5 * ((GRID_NM[None] - centers) / sigma) ** 2)
    return (response / response.sum(axis=1, keepdims=True)).astype(np.float32)


def make_metamer(
    reflectance: Spectra, light: NDArray[np.float32], camera: SpectralInfo, rng: np.random.Generator
) -> Spectra:
    """Return a reflectance with equal false color under a light and the most different spectrum.

    A random sum of smooth bumps is projected on the null space of false-color matrix times band light times
    band response, and added with the largest weight that keeps the reflectance physical.

    Args:
        reflectance: the reflectance, `(len(GRID_NM),)`.
        light: value of a white surface in each band, `(bands,)`.
        camera: camera of the bands and of the false color.
        rng: random generator of the directions.

    Returns:
        The metamer, `(len(GRID_NM),)`: of some random directions the one that changes the bands most.
    """
    responses = compute_band_responses(camera)
    constraints = make_false_color_matrix(camera.wavelengths_nm).T @ (responses * light[:, None])
    low, high = min(camera.wavelengths_nm), max(camera.wavelengths_nm)
    best, farthest = reflectance, 0.0
    for _ in range(_METAMER_TRIES):
        centers = rng.uniform(low - 10, high + 10, (_BUMPS, 1))
        widths = rng.uniform(0.04, 0.15, (_BUMPS, 1)) * max(high - low, 60.0)
        bumps = np.exp(-0.5 * ((GRID_NM[None] - centers) / widths) ** 2)
        weights = rng.standard_normal(_BUMPS)
        seen = constraints @ bumps.T
        change = (weights - np.linalg.pinv(seen) @ (seen @ weights)) @ bumps
        for direction in (change, -change):
            candidate = _move_to_physical_limit(reflectance, direction)
            distance = float(np.abs(responses @ (candidate - reflectance)).mean())
            if distance > farthest:
                best, farthest = candidate, distance
    return best


def _move_to_physical_limit(reflectance: Spectra, direction: NDArray[np.float64]) -> Spectra:
    """Move a spectrum in a direction until a value reaches the physical limits of reflectance."""
    room = np.where(direction > 0, _BRIGHTEST - reflectance, reflectance - _DARKEST)
    steps = room / np.maximum(np.abs(direction), 1e-9)
    return (reflectance + direction * max(float(steps.min()), 0.0)).astype(np.float32)
