"""Tests of the matched filter: invariances, closed forms, and degenerate backgrounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.spectral_angles import compute_spectral_angles
from hsi_tracker_ros.tracker.matched_filter import Background, estimate_shrunk_covariance

SEEDS = st.integers(0, 10_000)
BANDS = st.integers(2, 40)


def draw_spectra(seed: int, count: int, bands: int) -> np.ndarray:
    """Return correlated spectra of different variances."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(bands, bands)) * np.geomspace(1, 0.05, bands)
    return rng.normal(size=(count, bands)) @ mixing + rng.normal(size=bands)


@given(SEEDS, BANDS, st.integers(1, 60))
def test_shrunk_covariance_is_symmetric_and_keeps_the_trace(seed: int, bands: int, count: int) -> None:
    spectra = draw_spectra(seed, count, bands)

    covariance = estimate_shrunk_covariance(spectra)

    np.testing.assert_allclose(covariance, covariance.T, atol=1e-9)
    assert covariance.trace() == pytest.approx(spectra.var(axis=0).sum(), abs=1e-9)
    assert np.linalg.eigvalsh(covariance).min() >= -1e-9 * max(covariance.trace(), 1)


@given(SEEDS, st.integers(2, 12), st.floats(0.01, 100))
def test_shrunk_covariance_scales_with_the_spectra(seed: int, bands: int, factor: float) -> None:
    spectra = draw_spectra(seed, 30, bands)

    scaled = estimate_shrunk_covariance(factor * spectra)

    np.testing.assert_allclose(scaled, factor**2 * estimate_shrunk_covariance(spectra), rtol=1e-6)


@given(SEEDS, st.integers(2, 12))
def test_shrunk_covariance_turns_with_the_spectra(seed: int, bands: int) -> None:
    spectra = draw_spectra(seed, 30, bands)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(bands, bands)))

    turned = estimate_shrunk_covariance(spectra @ rotation.T)

    expected = rotation @ estimate_shrunk_covariance(spectra) @ rotation.T
    np.testing.assert_allclose(turned, expected, atol=1e-8 * max(expected.trace(), 1))


def test_shrunk_covariance_of_known_spectra_is_exact() -> None:
    spectra = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])

    covariance = estimate_shrunk_covariance(spectra)

    # Sample covariance diag(2, 0.5); distance (2 - 1.25)^2 * 2 = 1.125;
    # error ((16 + 16 + 1 + 1) / 4 - 4.25) / 4 = 1.0625; weight 1.0625 / 1.125.
    weight = 1.0625 / 1.125
    expected = (1 - weight) * np.diag([2.0, 0.5]) + weight * 1.25 * np.eye(2)
    np.testing.assert_allclose(covariance, expected)


def test_many_samples_are_hardly_shrunk_and_few_are_shrunk_much() -> None:
    many, few = draw_spectra(3, 20_000, 5), draw_spectra(3, 6, 5)

    np.testing.assert_allclose(
        estimate_shrunk_covariance(many), np.cov(many.T, bias=True), rtol=0.05, atol=0.01
    )
    sample, shrunk = np.cov(few.T, bias=True), estimate_shrunk_covariance(few)
    assert np.linalg.cond(shrunk) < 0.2 * np.linalg.cond(sample)


@given(SEEDS, BANDS, st.integers(4, 60))
def test_white_space_of_own_covariance_is_white(seed: int, bands: int, count: int) -> None:
    spectra = draw_spectra(seed, count, bands)

    background = Background.estimate(spectra)

    covariance = estimate_shrunk_covariance(spectra) + 1e-6 * np.eye(bands)
    white = background.whitening.T @ covariance @ background.whitening
    np.testing.assert_allclose(white, np.eye(bands), atol=1e-4)


@given(SEEDS, BANDS)
def test_angle_far_from_the_mean_ignores_contrast(seed: int, bands: int) -> None:
    background = Background.estimate(draw_spectra(seed, 50, bands))
    directions = draw_spectra(seed + 1, 4, bands) - background.mean

    near = background.compute_angles(background.mean + 1e4 * directions, background.mean + 1e4 * directions)
    far = background.compute_angles(background.mean + 1e7 * directions, background.mean + 1e4 * directions)

    np.testing.assert_allclose(far, near, atol=1e-2)


@given(SEEDS, BANDS)
def test_angles_are_symmetric_and_zero_for_equal_spectra(seed: int, bands: int) -> None:
    background = Background.estimate(draw_spectra(seed, 50, bands))
    spectra = draw_spectra(seed + 1, 4, bands)

    angles = background.compute_angles(spectra, spectra)

    np.testing.assert_allclose(angles, angles.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(angles), 0, atol=1e-6)
    assert ((angles >= 0) & (angles <= np.pi)).all()


@given(SEEDS, st.integers(2, 10))
def test_angle_ignores_shifts_and_scales_of_all_spectra(seed: int, bands: int) -> None:
    around, spectra = draw_spectra(seed, 60, bands), draw_spectra(seed + 1, 4, bands)
    offset = np.random.default_rng(seed).normal(size=bands)

    angles = Background.estimate(around).compute_angles(spectra, spectra)
    moved = Background.estimate(3 * around + offset).compute_angles(
        3 * spectra + offset, 3 * spectra + offset
    )

    np.testing.assert_allclose(moved, angles, atol=1e-3)


def test_angle_is_large_in_a_quiet_band_and_small_in_a_noisy_one() -> None:
    around = np.random.default_rng(0).normal(0, [1.0, 0.05, 0.05], (5000, 3))
    background = Background.estimate(around)
    target = np.array([[0.5, 0.5, 0.0]])

    spectra = target + np.array([[0.3, 0, 0], [0, 0, 0.3]])

    in_noisy, in_quiet = background.compute_angles(spectra, target)[:, 0]

    assert in_quiet > 10 * in_noisy


def test_spectra_near_the_mean_have_small_angles() -> None:
    background = Background.estimate(np.random.default_rng(0).normal(size=(5000, 4)))
    spectra = background.mean + np.array([[0.1, 0, 0, 0], [-0.1, 0, 0, 0], [3, 0, 0, 0], [-3, 0, 0, 0]])

    angles = np.degrees(background.compute_angles(spectra, spectra))

    # Two vectors (+-x, 1) have the angle 2 arctan x.
    assert angles[0, 1] == pytest.approx(2 * np.degrees(np.arctan(0.1)), rel=0.05)
    assert angles[2, 3] == pytest.approx(2 * np.degrees(np.arctan(3)), rel=0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_constant_background_has_no_preferred_direction(count: int) -> None:
    background = Background.estimate(np.full((count, 6), 3.0))
    spectra = draw_spectra(1, 4, 6)

    angles = background.compute_angles(spectra, spectra)

    np.testing.assert_allclose(angles, compute_spectral_angles(spectra - 3, spectra - 3), atol=1e-2)


@given(SEEDS)
def test_fewer_pixels_than_bands_give_finite_angles(seed: int) -> None:
    background = Background.estimate(draw_spectra(seed, 5, 200))
    spectra = draw_spectra(seed + 1, 3, 200)

    assert np.isfinite(background.compute_angles(spectra, spectra)).all()


def test_spectra_that_are_not_finite_are_left_out() -> None:
    spectra = draw_spectra(1, 30, 4)
    dirty = np.concatenate([spectra, [[np.nan, 1, 1, 1], [np.inf, 1, 1, 1]]])

    np.testing.assert_array_equal(
        Background.estimate(dirty).whitening, Background.estimate(spectra).whitening
    )
    with pytest.raises(ValueError, match="must contain a finite spectrum: got 2 without one"):
        Background.estimate(np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match="got 0 without one"):
        Background.estimate(np.zeros((0, 4)))


def test_hidden_target_stands_out_of_correlated_background() -> None:
    rng = np.random.default_rng(0)
    around = rng.normal(size=(2000, 1)) @ np.ones((1, 16)) + rng.normal(0, 0.02, (2000, 16))
    target = np.where(np.arange(16) % 2, 0.1, -0.1)
    hidden = around[:50] + target

    background = Background.estimate(around)

    found = background.compute_angles(hidden, target[None])[:, 0]
    others = background.compute_angles(around[50:], target[None])[:, 0]
    assert found.max() < others.min()
    assert (
        compute_spectral_angles(hidden, target[None]).max()
        > compute_spectral_angles(around, target[None]).min()
    )
