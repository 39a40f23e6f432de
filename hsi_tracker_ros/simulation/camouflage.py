"""Choice of real patches as camouflaged targets and as look-alikes: near in color, apart in the spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.false_color import find_white_level, render_false_color

_COMMON_FRACTION = 1 / 3
"""Fraction of the patches, of the commonest colors, among which a camouflaged target is chosen."""
_SIMILAR_FRACTION = 0.1
"""Fraction of the patches, of the most similar colors, among which a look-alike is chosen."""
_NEIGHBOR_FRACTION = 0.05
"""Fraction of the surroundings, of the most similar colors, against which a target is camouflaged."""

Floats = NDArray[np.float64]


def compute_spectral_angles(spectra: NDArray[Any], references: NDArray[Any]) -> Floats:
    """Return the spectral angles `(n, m)` in radians between spectra `(n, bands)` and `(m, bands)`.

    The angle to a spectrum of zeros is a right angle.
    """
    cosines = _normalize(spectra) @ _normalize(references).T
    angles: Floats = np.arccos(np.clip(cosines, -1, 1))
    return angles


def _normalize(spectra: NDArray[Any]) -> Floats:
    vectors = np.asarray(spectra, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def compute_patch_means(
    cube: NDArray[Any], corners: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the mean spectra `(n, bands)` of patches.

    Args:
        cube: cube `(height, width, bands)`.
        corners: column and row `(n, 2)` of the first pixel of each patch.
        size: width and height of the patches in pixels.
    """
    width, height = size
    patches = (cube[row : row + height, column : column + width] for column, row in corners)
    return np.stack([patch.mean(axis=(0, 1), dtype=np.float32) for patch in patches])


def render_patch_colors(
    spectra: NDArray[np.float32], cube: NDArray[Any], wavelengths_nm: tuple[float, ...]
) -> Floats:
    """Return spectra `(n, bands)` in false color as in a rendering of their cube, sRGB `(n, 3)`."""
    image = render_false_color(spectra[None], wavelengths_nm, white=find_white_level(cube))
    return image[0].astype(np.float64)


def choose_camouflaged(
    spectra: NDArray[Any], colors: Floats, scene: NDArray[Any], scene_colors: Floats
) -> int:
    """Return the index of the patch that a color camera confuses most with a scene, and a spectrum least.

    Of the patches with the commonest colors, the patch with the largest spectral angle to the parts of the
    scene that have its color.

    Args:
        spectra: mean spectra `(n, bands)` of the patches.
        colors: colors `(n, 3)` of the patches.
        scene: mean spectra `(m, bands)` of the scene.
        scene_colors: colors `(m, 3)` of the scene.
    """
    distances = _compute_color_distances(colors, scene_colors)
    num_neighbors = max(round(_NEIGHBOR_FRACTION * len(scene)), 1)
    neighbors = np.argsort(distances, axis=1, kind="stable")[:, :num_neighbors]
    rarity = np.take_along_axis(distances, neighbors, axis=1).mean(axis=1)
    common = _find_smallest(rarity, _COMMON_FRACTION)
    angles = compute_spectral_angles(spectra[common], scene)
    separation = np.take_along_axis(angles, neighbors[common], axis=1).mean(axis=1)
    return int(common[separation.argmax()])


def choose_look_alike(spectra: NDArray[Any], colors: Floats, index: int, excluded: NDArray[np.bool_]) -> int:
    """Return the index of the patch that looks like another one in color and least in the spectrum.

    Of the patches with the most similar colors, the patch with the largest spectral angle.

    Args:
        spectra: mean spectra `(n, bands)` of the patches.
        colors: colors `(n, 3)` of the patches.
        index: index of the patch to resemble.
        excluded: patches `(n,)` that must not be chosen; at least one patch must remain.
    """
    remaining = np.flatnonzero(~excluded)
    distances = _compute_color_distances(colors[remaining], colors[index][None])[:, 0]
    similar = remaining[_find_smallest(distances, _SIMILAR_FRACTION)]
    angles = compute_spectral_angles(spectra[similar], spectra[index][None])[:, 0]
    return int(similar[angles.argmax()])


def _find_smallest(values: Floats, fraction: float) -> NDArray[np.intp]:
    """Return the indices of a fraction of the values, at least one, smallest first."""
    count = max(round(fraction * len(values)), 1)
    return np.argsort(values, kind="stable")[:count]


def _compute_color_distances(colors: Floats, references: Floats) -> Floats:
    distances: Floats = np.linalg.norm(colors[:, None] - references[None], axis=2)
    return distances
