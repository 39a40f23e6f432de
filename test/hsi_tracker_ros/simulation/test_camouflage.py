"""Tests of the disguise of real patches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.false_color import make_false_color_matrix, render_false_color
from hsi_tracker_ros.cubes.spectral_angles import compute_spectral_angles
from hsi_tracker_ros.simulation.camouflage import Disguise, disguise_patch

WAVELENGTHS_NM = tuple(np.linspace(450, 650, 16).tolist())


def make_spectra(seed: int, count: int) -> np.ndarray:
    """Return smooth random spectra. Half of them have an addition that false color does not show."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-1, 1, 16)
    smooth = 100 * np.exp(rng.normal(0, 0.3, (count, 1)) * ramp + rng.normal(0, 0.2, (count, 1)))
    *_, rows = np.linalg.svd(np.asarray(make_false_color_matrix(WAVELENGTHS_NM), np.float64).T)
    invisible = rows[-1] / np.abs(rows[-1]).max()
    return smooth + 50 * invisible * (rng.random((count, 1)) < 0.5)


def make_patch(seed: int) -> np.ndarray:
    ramp = np.linspace(-1, 1, 16)
    slopes = np.random.default_rng(seed).normal(0, 0.15, (6, 8, 1))
    return (100 * np.exp(slopes * ramp)).astype(np.float32)


def render(patch: np.ndarray) -> np.ndarray:
    return render_false_color(patch, WAVELENGTHS_NM, white=300.0).astype(float)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_painted_patch_keeps_its_colors_in_another_spectrum(seed: int) -> None:
    patch = make_patch(seed)
    mean = patch.reshape(-1, 16).mean(axis=0, keepdims=True)
    disguise = Disguise(make_spectra(seed, 2000), WAVELENGTHS_NM)

    painted = disguise.paint(patch, disguise.choose_material(patch, mean))

    assert np.abs(render(painted) - render(patch)).mean() < 8
    angle = compute_spectral_angles(painted.reshape(-1, 16).mean(axis=0, keepdims=True), mean)[0, 0]
    assert np.degrees(angle) > 7


def test_painted_pixels_are_real_spectra_at_another_brightness() -> None:
    spectra = make_spectra(1, 500)
    patch = make_patch(2)
    disguise = Disguise(spectra, WAVELENGTHS_NM)

    painted = disguise.paint(patch, disguise.choose_material(patch, patch[0, :1]))

    angles = compute_spectral_angles(painted.reshape(-1, 16), spectra)
    np.testing.assert_allclose(angles.min(axis=1), 0, atol=1e-3)
    assert painted.shape == patch.shape
    assert painted.dtype == np.float32


@pytest.mark.parametrize("count", [1, 3, 50])
def test_disguise_with_few_or_dark_spectra_is_finite(count: int) -> None:
    spectra = make_spectra(3, count)
    patch = make_patch(4)

    for values in (spectra, np.zeros((count, 16))):
        disguise = Disguise(values, WAVELENGTHS_NM)
        assert np.isfinite(disguise.paint(patch, disguise.choose_material(patch, patch[0, :1]))).all()


def test_patch_that_can_be_disguised_best_is_chosen() -> None:
    good = make_patch(5)
    colored = (good * np.linspace(0.1, 8, 16)).astype(np.float32)
    cube = np.concatenate([good, colored])
    disguise = Disguise(make_spectra(6, 2000), WAVELENGTHS_NM)

    target, original, other = disguise_patch([colored, good], disguise, cube, WAVELENGTHS_NM)

    np.testing.assert_array_equal(original, good)
    assert not np.array_equal(target, other)
    assert np.abs(target - good).mean() > 5
