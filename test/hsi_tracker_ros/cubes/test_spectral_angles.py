"""Tests of the angles between spectra."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.spectral_angles import compute_spectral_angles


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_spectral_angle_ignores_brightness(seed: int, factor: float) -> None:
    spectra = np.random.default_rng(seed).uniform(0.1, 1, (5, 7))

    angles = compute_spectral_angles(spectra * factor, spectra)

    np.testing.assert_allclose(angles, compute_spectral_angles(spectra, spectra), atol=1e-6)
    np.testing.assert_allclose(angles, angles.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(angles), 0, atol=1e-6)


def test_spectral_angle_of_known_vectors_is_exact() -> None:
    spectra = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, -1.0]])

    angles = compute_spectral_angles(spectra, np.array([[0.0, 2.0]]))

    np.testing.assert_allclose(np.degrees(angles[:, 0]), [90, 45, 90, 180])
