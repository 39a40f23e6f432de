"""False color of cubes: a matrix from bands to blue, green and red."""

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


def compute_color_matching(wavelengths_nm: ArrayLike) -> NDArray[np.float64]:
    """Return the CIE 1931 color matching functions x, y, z at each wavelength, `(n, 3)`.

    The multi-lobe fit of Wyman, Sloan and Shirley, "Simple Analytic Approximations to the CIE XYZ Color
    Matching Functions", JCGT 2(2), 2013, table 1.
    """
    nm = np.asarray(wavelengths_nm, dtype=np.float64)

    def lobe(height: float, center: float, below: float, above: float) -> NDArray[np.float64]:
        return height * np.exp(-0.5 * ((nm - center) * np.where(nm < center, below, above)) ** 2)

    x = (
        lobe(0.362, 442.0, 0.0624, 0.0374)
        + lobe(1.056, 599.8, 0.0264, 0.0323)
        - lobe(0.065, 501.1, 0.0490, 0.0382)
    )
    y = lobe(0.821, 568.8, 0.0213, 0.0247) + lobe(0.286, 530.9, 0.0613, 0.0322)
    z = lobe(1.217, 437.0, 0.0845, 0.0278) + lobe(0.681, 459.0, 0.0385, 0.0725)
    return np.stack([x, y, z], axis=-1)


@lru_cache(maxsize=64)
def make_false_color_matrix(wavelengths_nm: tuple[float, ...]) -> NDArray[np.float32]:
    """Return weights `(n, 3)` of the bands in linear blue, green and red. An even spectrum is gray.

    Bands over the whole visible range give the colors of the CIE color matching functions. Other bands give
    pseudo-color: three equal groups of bands, the longest wavelengths red, the shortest blue.
    """
    nm = np.array(wavelengths_nm, dtype=np.float64)
    is_visible = all(((nm >= low) & (nm < high)).any() for low, high in _VISIBLE_THIRDS_NM)
    matrix = _make_natural_matrix(nm) if is_visible else _make_pseudo_color_matrix(nm)
    matrix.setflags(write=False)
    return matrix


def _make_natural_matrix(nm: NDArray[np.float64]) -> NDArray[np.float32]:
    xyz = compute_color_matching(nm) * _compute_band_widths(nm)[:, None]
    xyz *= _WHITE_XYZ / xyz.sum(axis=0)
    return np.ascontiguousarray((xyz @ _XYZ_TO_SRGB.T)[:, ::-1], dtype=np.float32)


def _compute_band_widths(nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the width of spectrum of each band: half-way to its neighbors, shared by equal bands."""
    unique, index, count = np.unique(np.round(nm, 1), return_inverse=True, return_counts=True)
    if len(unique) == 1:
        return np.ones(len(nm))
    return (np.gradient(unique) / count)[index]


def _make_pseudo_color_matrix(nm: NDArray[np.float64]) -> NDArray[np.float32]:
    matrix = np.zeros((len(nm), 3), dtype=np.float32)
    order = np.argsort(nm, kind="stable")
    for channel in range(3):
        low = min(channel * len(nm) // 3, len(nm) - 1)
        high = max((channel + 1) * len(nm) // 3, low + 1)
        matrix[order[low:high], channel] = 1 / (high - low)
    return matrix


@lru_cache(maxsize=1)
def _make_gamma_table() -> NDArray[np.uint8]:
    linear = np.linspace(0, 1, _GAMMA_STEPS)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


def find_white_level(cube: NDArray[Any], black: float = 0.0) -> float:
    """Return the white level of a cube: the 99.5th percentile of the pixels' brightest bands.

    Args:
        cube: cube (H, W, bands) in digital numbers.
        black: black level in digital numbers.

    Returns:
        digital number above black, at least 1e-6.
    """
    step = max(1, int(np.sqrt(cube.shape[0] * cube.shape[1] / 4096)))
    sample = cube[::step, ::step].max(axis=2).astype(np.float32)
    return max(float(np.percentile(sample, 99.5)) - black, 1e-6)


def render_false_color(
    cube: NDArray[Any], wavelengths_nm: tuple[float, ...], *, white: float, black: float = 0.0
) -> NDArray[np.uint8]:
    """Convert a cube to 8-bit sRGB with channels blue, green, red.

    Args:
        cube: the cube, `(height, width, bands)` in digital numbers.
        wavelengths_nm: center of each band in nm.
        white: digital number above black that becomes white.
        black: digital number without light.

    Returns:
        The image, `(height, width, 3)` uint8.
    """
    height, width, bands = cube.shape
    matrix = make_false_color_matrix(wavelengths_nm)
    scale = (_GAMMA_STEPS - 1) / white
    linear = cube.reshape(-1, bands).astype(np.float32, copy=False) @ (matrix * np.float32(scale))
    linear -= np.float32(black * scale)
    np.clip(linear, 0, _GAMMA_STEPS - 1, out=linear)
    return _make_gamma_table()[linear.astype(np.uint16)].reshape(height, width, 3)
