"""False colour: what the eye would see of a cube, as one matrix from bands to blue, green and red."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_XYZ_TO_SRGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]], dtype=np.float64
)
_WHITE_XYZ = np.linalg.inv(_XYZ_TO_SRGB).sum(axis=1)
_VISIBLE_THIRDS_NM = ((430.0, 500.0), (500.0, 575.0), (575.0, 680.0))
_GAMMA_STEPS = 4096


def color_matching(wavelengths_nm: ArrayLike) -> NDArray[np.float64]:
    """CIE 1931 colour-matching functions x, y, z at each wavelength, ``(n, 3)``.

    The multi-lobe fit of Wyman, Sloan and Shirley, "Simple Analytic Approximations to the CIE XYZ Color
    Matching Functions", JCGT 2(2), 2013, table 1.
    """
    nm = np.asarray(wavelengths_nm, dtype=np.float64)

    def lobe(height: float, centre: float, below: float, above: float) -> NDArray[np.float64]:
        return height * np.exp(-0.5 * ((nm - centre) * np.where(nm < centre, below, above)) ** 2)

    x = (
        lobe(0.362, 442.0, 0.0624, 0.0374)
        + lobe(1.056, 599.8, 0.0264, 0.0323)
        - lobe(0.065, 501.1, 0.0490, 0.0382)
    )
    y = lobe(0.821, 568.8, 0.0213, 0.0247) + lobe(0.286, 530.9, 0.0613, 0.0322)
    z = lobe(1.217, 437.0, 0.0845, 0.0278) + lobe(0.681, 459.0, 0.0385, 0.0725)
    return np.stack([x, y, z], axis=-1)


@lru_cache(maxsize=64)
def false_color_matrix(wavelengths_nm: tuple[float, ...]) -> NDArray[np.float32]:
    """Weights ``(n, 3)`` of the bands in linear blue, green and red; an even spectrum gives equal parts.

    Bands that reach all of the visible give colours by the CIE colour-matching functions. Others give
    pseudo-colours: the bands in three equal groups, the longest wavelengths red, the shortest blue.
    """
    nm = np.array(wavelengths_nm, dtype=np.float64)
    visible = all(((nm >= low) & (nm < high)).any() for low, high in _VISIBLE_THIRDS_NM)
    matrix = _natural(nm) if visible else _pseudo(nm)
    matrix.setflags(write=False)
    return matrix


def _natural(nm: NDArray[np.float64]) -> NDArray[np.float32]:
    xyz = color_matching(nm) * _band_widths(nm)[:, None]
    xyz *= _WHITE_XYZ / xyz.sum(axis=0)
    return np.ascontiguousarray((xyz @ _XYZ_TO_SRGB.T)[:, ::-1], dtype=np.float32)


def _band_widths(nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """The stretch of spectrum that each band stands for: half-way to its neighbours; equal bands share it."""
    unique, index, count = np.unique(np.round(nm, 1), return_inverse=True, return_counts=True)
    if len(unique) == 1:
        return np.ones(len(nm))
    return (np.gradient(unique) / count)[index]


def _pseudo(nm: NDArray[np.float64]) -> NDArray[np.float32]:
    matrix = np.zeros((len(nm), 3), dtype=np.float32)
    order = np.argsort(nm, kind="stable")
    for channel in range(3):
        low = min(channel * len(nm) // 3, len(nm) - 1)
        high = max((channel + 1) * len(nm) // 3, low + 1)
        matrix[order[low:high], channel] = 1 / (high - low)
    return matrix


@lru_cache(maxsize=1)
def _gamma_table() -> NDArray[np.uint8]:
    linear = np.linspace(0, 1, _GAMMA_STEPS)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


def white_level(cube: NDArray[Any], black: float = 0.0) -> float:
    """A digital number above black to be shown white: the 99.5th percentile of pixels' brightest bands."""
    step = max(1, int(np.sqrt(cube.shape[0] * cube.shape[1] / 4096)))
    sample = cube[::step, ::step].max(axis=2).astype(np.float32)
    return max(float(np.percentile(sample, 99.5)) - black, 1e-6)


def false_color(
    cube: NDArray[Any], wavelengths_nm: tuple[float, ...], *, white: float, black: float = 0.0
) -> NDArray[np.uint8]:
    """A cube or a crop of one as 8-bit sRGB, channels blue, green, red.

    Args:
        cube: ``(height, width, bands)`` in digital numbers.
        wavelengths_nm: centre of each band.
        white: digital number above black that is shown white.
        black: digital number of no light.

    Returns:
        ``(height, width, 3)`` uint8.
    """
    height, width, bands = cube.shape
    matrix = false_color_matrix(wavelengths_nm)
    scale = (_GAMMA_STEPS - 1) / white
    linear = cube.reshape(-1, bands).astype(np.float32, copy=False) @ (matrix * np.float32(scale))
    linear -= np.float32(black * scale)
    np.clip(linear, 0, _GAMMA_STEPS - 1, out=linear)
    return _gamma_table()[linear.astype(np.uint16)].reshape(height, width, 3)
