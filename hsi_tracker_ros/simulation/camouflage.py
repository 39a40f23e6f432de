"""Disguise of real patches: the colors of one part of a scene, in real spectra of another part."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.false_color import find_white_level, make_false_color_matrix, render_false_color
from hsi_tracker_ros.cubes.spectral_angles import compute_spectral_angles

_SIMILAR_FRACTION = 0.02
"""Fraction of the spectra, of the most similar hues, among which a pixel's spectrum is chosen."""
_MIN_SIMILAR = 8
"""Number of spectra among which a pixel's spectrum is chosen at least."""
_MATERIAL_FRACTION = 0.1
"""Fraction of the spectra, of the most similar hues, among which a material is chosen."""
_MIN_BRIGHTNESS = 0.1
"""Brightness of a usable spectrum, relative to the median; darker ones consist of noise."""
_UNNOTICED_LEVELS = 4.0
"""Mean difference of sRGB levels, of 255, that a disguise may have without being worse."""
_MAX_SCALE = 2.0
"""Largest factor, or its inverse, by which the brightness of a spectrum is changed."""

Floats = NDArray[np.float64]


class Disguise:
    """Real spectra with which patches are painted in their own colors.

    Args:
        spectra: spectra `(n, bands)` to paint with.
        wavelengths_nm: center of each band in nm, which determines the false color.
    """

    def __init__(self, spectra: NDArray[Any], wavelengths_nm: tuple[float, ...]) -> None:
        self._matrix = make_false_color_matrix(wavelengths_nm).astype(np.float64)
        values = np.asarray(spectra, np.float64)
        brightness = self._compute_brightness(values)
        self._spectra = values[brightness > _MIN_BRIGHTNESS * np.median(brightness)]
        if not len(self._spectra):
            self._spectra = values
        self._hues = self._compute_hues(self._spectra)

    def choose_material(self, patch: NDArray[Any], avoided: NDArray[Any]) -> Floats:
        """Return the spectrum `(bands,)` with about the mean hue of a patch that differs most from others.

        Args:
            patch: patch `(height, width, bands)`.
            avoided: spectra `(m, bands)`; the smallest angle to them is as large as possible.
        """
        mean = patch.reshape(-1, patch.shape[2]).mean(axis=0, dtype=np.float64)
        distances = np.linalg.norm(self._hues - self._compute_hues(mean[None]), axis=1)
        similar = np.argsort(distances, kind="stable")[: self._count(_MATERIAL_FRACTION)]
        angles = compute_spectral_angles(self._spectra[similar], avoided).min(axis=1)
        material: Floats = self._spectra[similar[angles.argmax()]]
        return material

    def paint(self, patch: NDArray[Any], material: Floats) -> NDArray[np.float32]:
        """Return a patch `(height, width, bands)` in its own colors and other spectra.

        Each pixel gets a spectrum of about its hue, scaled to its brightness: of the spectra with this hue,
        the one nearest to the material.

        Args:
            patch: patch `(height, width, bands)`.
            material: spectrum `(bands,)` from `choose_material`.
        """
        pixels = patch.reshape(-1, patch.shape[2]).astype(np.float64)
        squares = np.square(self._hues).sum(axis=1)
        distances = squares - 2 * self._compute_hues(pixels) @ self._hues.T
        count = self._count(_SIMILAR_FRACTION)
        similar = np.argpartition(distances, count - 1, axis=1)[:, :count]
        angles = compute_spectral_angles(self._spectra, material[None])[:, 0]
        chosen = np.take_along_axis(similar, angles[similar].argmin(axis=1)[:, None], axis=1)[:, 0]
        painted = self._spectra[chosen]
        scale = self._compute_brightness(pixels) / np.maximum(self._compute_brightness(painted), 1e-9)
        painted = painted * np.clip(scale, 1 / _MAX_SCALE, _MAX_SCALE)[:, None]
        return painted.reshape(patch.shape).astype(np.float32)

    def _count(self, fraction: float) -> int:
        return min(max(round(fraction * len(self._spectra)), _MIN_SIMILAR), len(self._spectra))

    def _compute_hues(self, spectra: Floats) -> Floats:
        """Return the linear colors `(n, 3)` divided by their brightness."""
        hues: Floats = (spectra @ self._matrix) / np.maximum(self._compute_brightness(spectra), 1e-9)[:, None]
        return hues

    def _compute_brightness(self, spectra: Floats) -> Floats:
        brightness: Floats = np.maximum(spectra @ self._matrix, 0).mean(axis=1)
        return brightness


def disguise_patch(
    patches: list[NDArray[np.float32]],
    disguise: Disguise,
    cube: NDArray[Any],
    wavelengths_nm: tuple[float, ...],
) -> list[NDArray[np.float32]]:
    """Return the patch that can be disguised best, painted in two other materials, and the patch itself.

    A disguise is good if the spectra differ much and the colors little.

    Args:
        patches: patches `(height, width, bands)` to choose from.
        disguise: spectra to paint with.
        cube: cube of the patches, which determines the brightness of its false color.
        wavelengths_nm: center of each band in nm.
    """
    render = partial(render_false_color, wavelengths_nm=wavelengths_nm, white=find_white_level(cube))
    best, best_score = (patches[0], patches[0]), -1.0
    for patch in patches:
        mean = _compute_mean(patch)
        painted = disguise.paint(patch, disguise.choose_material(patch, mean))
        error = np.abs(render(patch).astype(np.float64) - render(painted)).mean()
        angle = compute_spectral_angles(_compute_mean(painted), mean)[0, 0]
        score = float(angle / (error + _UNNOTICED_LEVELS))
        if score > best_score:
            best, best_score = (patch, painted), score
    patch, painted = best
    avoided = np.concatenate([_compute_mean(patch), _compute_mean(painted)])
    return [painted, patch, disguise.paint(patch, disguise.choose_material(patch, avoided))]


def _compute_mean(patch: NDArray[Any]) -> Floats:
    """Return the mean spectrum `(1, bands)` of a patch."""
    return patch.reshape(-1, patch.shape[2]).mean(axis=0, dtype=np.float64, keepdims=True)
