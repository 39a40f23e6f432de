"""Tests of the choice of camouflaged targets and look-alikes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.simulation.camouflage import (
    choose_camouflaged,
    choose_look_alike,
    compute_patch_means,
    compute_spectral_angles,
    render_patch_colors,
)

RNG = np.random.default_rng(0)


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_spectral_angle_ignores_brightness(seed: int, factor: float) -> None:
    spectra = np.random.default_rng(seed).uniform(0.1, 1, (5, 7))

    angles = compute_spectral_angles(spectra * factor, spectra)

    np.testing.assert_allclose(angles, compute_spectral_angles(spectra, spectra), atol=1e-7)
    np.testing.assert_allclose(angles, angles.T, atol=1e-7)
    np.testing.assert_allclose(np.diag(angles), 0, atol=1e-6)


def test_spectral_angle_of_known_vectors_is_exact() -> None:
    spectra = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])

    angles = compute_spectral_angles(spectra, np.array([[0.0, 2.0]]))

    np.testing.assert_allclose(np.degrees(angles[:, 0]), [90, 45, 90])


def test_patch_means_are_those_of_the_pixels() -> None:
    cube = RNG.integers(0, 255, (10, 12, 5), np.uint8)

    means = compute_patch_means(cube, np.array([[3, 2], [0, 0]]), (4, 3))

    np.testing.assert_allclose(means[0], cube[2:5, 3:7].reshape(-1, 5).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(means[1], cube[:3, :4].reshape(-1, 5).mean(axis=0), rtol=1e-6)


def test_camouflaged_patch_has_common_color_and_rare_spectrum() -> None:
    scene = np.tile([1.0, 1.0, 1.0, 1.0], (50, 1))
    gray = np.tile([100.0, 100.0, 100.0], (50, 1))
    spectra = np.array([[1, 1, 1, 1.1], [1, 3, 1, 3], [9, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    colors = np.array([[100, 100, 100], [101, 100, 100], [200, 0, 0], [150, 150, 0], [0, 90, 0], [0, 0, 0.0]])

    assert choose_camouflaged(spectra, colors, scene, gray) == 1


def test_look_alike_has_similar_color_and_other_spectrum() -> None:
    spectra = np.ones((40, 4))
    colors = RNG.uniform(150, 255, (40, 3))
    colors[:5] = 100.0
    spectra[3] = [1, 5, 1, 5]
    spectra[20] = [9, 0, 0, 0]
    none = np.zeros(40, bool)

    assert choose_look_alike(spectra, colors, 0, none) == 3
    none[3] = True
    assert choose_look_alike(spectra, colors, 0, none) != 3


@pytest.mark.parametrize("bands", [4, 16, 150])
def test_patch_colors_are_those_of_a_rendering(bands: int) -> None:
    cube = RNG.uniform(0, 200, (20, 20, bands)).astype(np.float32)
    wavelengths_nm = tuple(np.linspace(450, 700, bands).tolist())

    colors = render_patch_colors(cube.reshape(-1, bands), cube, wavelengths_nm)

    assert colors.shape == (400, 3)
    assert colors.min() >= 0
    assert colors.max() <= 255
