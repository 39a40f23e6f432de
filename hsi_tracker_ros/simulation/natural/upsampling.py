"""Spectra of colors: smooth reflectances from linear colors, and what real materials of a color add.

A reflectance is linear in the color, as in Mallett and Yuksel, "Spectral Primary Decomposition for Rendering
with sRGB Reflectance" (2019). The three basis spectra are the Wiener estimate (Pratt and Mancill, 1976) from
measured reflectances: of all spectra with a color the one of the least mean squared error. Under even light
each spectrum has exactly its color.

Real materials of one color differ in their spectra. A material adds its deviation from the estimate, relative
to its luminance. The deviation is that of a measured reflectance of a similar color and has no color itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.false_color import make_false_color_matrix
from hsi_tracker_ros.cubes.spectral_angles import compute_spectral_angles
from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.spectra import GRID_NM
from tracking_runtime.spectral_info import SpectralInfo

LUMINANCE = np.array([0.0722, 0.7152, 0.2126])
"""Weights of linear blue, green and red in the luminance (ITU-R BT.709)."""

_NUM_GENERATED = 60  # generated plants, and as many soils, beside the measured surfaces
_MIN_COLOR = 5e-3  # lower bound of a color before its logarithm
_LUMINANCE_WEIGHT = 0.3  # of differences in luminance between similar colors, relative to those in hue
_MIN_LUMINANCE = 0.02  # luminance of a material below which its spectrum is not used
_SIMILAR_MATERIALS = 24  # number of materials of the most similar colors of which one is chosen
_LOOK_ALIKE_TRIES = 4  # number of materials of which the least similar one becomes a look-alike
_REGION_SHARPNESS = np.float32(8.0)  # of the borders between materials; higher: less mixing
_MIN_REFLECTANCE, _MAX_REFLECTANCE = 0.005, 1.2  # above 1: highlights of a photograph

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MaterialLibrary:
    """Reflectances of materials, and their colors under even light.

    Attributes:
        reflectances: reflectances `(materials, wavelengths)` at `GRID_NM`.
        colors: linear blue, green and red `(materials, 3)`.
    """

    reflectances: Floats
    colors: Floats

    @property
    def luminances(self) -> Floats:
        """Luminance of each material, `(materials,)`."""
        return self.colors @ LUMINANCE


def _make_color_matrix() -> Floats:
    """Return the weights `(3, wavelengths)` of reflectances at `GRID_NM` in linear blue, green and red."""
    return make_false_color_matrix(tuple(GRID_NM.tolist())).T.astype(np.float64)


@lru_cache(maxsize=1)
def load_materials() -> MaterialLibrary:
    """Return the measured surfaces of colour-science, and generated plants and soils.

    Raises:
        SourceError: the package colour-science is not installed.
    """
    rng = np.random.default_rng(3)
    reflectances = np.concatenate(
        [
            spectra.load_measured_reflectances(),
            spectra.make_vegetation(rng, _NUM_GENERATED),
            spectra.make_ground_spectra(rng, _NUM_GENERATED),
        ]
    ).astype(np.float64)
    colors = reflectances @ _make_color_matrix().T
    is_usable = (colors @ LUMINANCE > _MIN_LUMINANCE) & (colors > 0).all(axis=1)
    return MaterialLibrary(reflectances[is_usable], colors[is_usable])


def _estimate_basis(weights: Floats, reflectances: Floats) -> Floats:
    """Return the basis `(wavelengths, 3)` of the reflectances of least error with given values `(3,)`.

    Args:
        weights: weights `(3, wavelengths)` of the reflectance in the values.
        reflectances: reflectances `(materials, wavelengths)` to estimate from.
    """
    moments = reflectances.T @ reflectances / len(reflectances)
    moments += 1e-6 * np.trace(moments) / len(moments) * np.eye(len(moments))
    crossed = moments @ weights.T
    basis: Floats = crossed @ np.linalg.pinv(weights @ crossed)
    return basis


class SpectralUpsampling:
    """Conversion of linear colors to the reflectances in a camera's bands.

    Args:
        camera: camera of the bands.
    """

    def __init__(self, camera: SpectralInfo) -> None:
        self._materials = load_materials()
        self._camera = camera
        self._responses = spectra.compute_band_responses(camera).astype(np.float64)
        weights = _make_color_matrix()
        reflectances, colors = self._materials.reflectances, self._materials.colors
        self._basis = _estimate_basis(weights, reflectances)
        self._deviations = (reflectances - colors @ self._basis.T) / self._materials.luminances[:, None]

    def upsample(
        self, image: NDArray[np.float32], fractions: NDArray[np.float32], materials: NDArray[np.int_]
    ) -> NDArray[np.float32]:
        """Return the reflectances `(height, width, bands)` of an image.

        Args:
            image: linear colors `(height, width, 3)`: blue, green, red.
            fractions: fractions `(height, width, materials)` of the materials at each pixel.
            materials: number of each material, from `choose_materials`.
        """
        height, width = image.shape[:2]
        colors = image.reshape(-1, 3)
        smooth = (self._responses @ self._basis).astype(np.float32)
        deviations = (self._deviations[materials] @ self._responses.T).astype(np.float32)
        luminances = colors @ LUMINANCE.astype(np.float32)
        cube = colors @ smooth.T
        cube += luminances[:, None] * (fractions.reshape(len(colors), -1) @ deviations)
        np.clip(cube, _MIN_REFLECTANCE, _MAX_REFLECTANCE, out=cube)
        return cube.reshape(height, width, -1)

    def choose_materials(self, colors: Floats, rng: np.random.Generator) -> NDArray[np.int_]:
        """Choose a material of a similar color for each color `(n, 3)` and return their numbers `(n,)`."""
        similar = self._find_similar(colors)
        return similar[np.arange(len(colors)), rng.integers(0, similar.shape[1], len(colors))]

    def make_look_alike(
        self, cube: NDArray[np.float32], light: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return reflectances with the false colors of a cube under a light, of another material.

        The material has a color similar to the cube's. Of some such materials it is the one with the largest
        angle between the spectra.

        Args:
            cube: reflectances `(height, width, bands)` of the target.
            light: value of a white surface in each band, `(bands,)`.
            rng: random generator of the material.
        """
        weights = make_false_color_matrix(self._camera.wavelengths_nm).T * np.asarray(light, np.float64)
        reflectances = self._materials.reflectances @ self._responses.T
        basis = _estimate_basis(weights, reflectances)
        brightness = weights.mean(axis=0)
        mean = cube.mean(axis=(0, 1), dtype=np.float64)
        own = mean / (mean @ brightness)
        others = reflectances / (reflectances @ brightness)[:, None]
        hues = np.linalg.norm((others - own) @ weights.T, axis=1)
        similar = rng.choice(np.argsort(hues, kind="stable")[:_SIMILAR_MATERIALS], _LOOK_ALIKE_TRIES)
        changes = others[similar] - own
        changes -= changes @ weights.T @ basis.T
        angles = compute_spectral_angles(own + changes, own[None])[:, 0]
        change = changes[angles.argmax()]
        twin = cube + (cube @ brightness)[..., None] * change
        return np.clip(twin, _MIN_REFLECTANCE, _MAX_REFLECTANCE).astype(np.float32)

    def _find_similar(self, colors: Floats) -> NDArray[np.int_]:
        """Return the numbers `(n, similar)` of the materials with the most similar colors.

        Colors are compared by the logarithms of their ratios, and with less weight of their luminances.
        """
        wanted, own = (_compute_color_features(each) for each in (colors, self._materials.colors))
        distances = np.square(wanted[:, None] - own).sum(axis=2)
        return np.argsort(distances, axis=1, kind="stable")[:, :_SIMILAR_MATERIALS]


def _compute_color_features(colors: Floats) -> Floats:
    """Return the features `(n, 3)` by which colors are compared: two ratios, and the luminance."""
    blue, green, red = np.log(np.maximum(colors, _MIN_COLOR)).T
    luminance = np.log(np.maximum(colors @ LUMINANCE, _MIN_COLOR))
    return np.stack([blue - green, red - green, _LUMINANCE_WEIGHT * luminance], axis=1)


def divide_into_materials(
    image: NDArray[np.float32], rng: np.random.Generator, num_materials: int
) -> tuple[NDArray[np.float32], Floats]:
    """Divide an image into regions of similar color, each of one material.

    Args:
        image: linear colors `(height, width, 3)`.
        rng: random generator of the regions.
        num_materials: number of materials.

    Returns:
        Fractions of the materials at each pixel, `(height, width, materials)`, and the color of each,
        `(materials, 3)`.
    """
    height, width = image.shape[:2]
    logarithms = np.log(np.maximum(image, np.float32(_MIN_LUMINANCE)))
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    features = np.concatenate([logarithms, x[..., None], y[..., None]], axis=2).reshape(-1, 5)
    seeds = features[rng.integers(0, len(features), num_materials)]
    distances = np.square(features).sum(axis=1)[:, None] - 2 * features @ seeds.T
    distances += np.square(seeds).sum(axis=1)
    weights = np.exp(-_REGION_SHARPNESS * (distances - distances.min(axis=1, keepdims=True)))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.reshape(height, width, -1), np.exp(seeds[:, :3].astype(np.float64))
