import numpy as np
import pytest

from hsi_tracker_ros.tracker.matched_filter import Background
from hsi_tracker_ros.tracker.spectral_signature import (
    FrameStatistics,
    SpectralSignature,
    compute_core_spectra,
    compute_inverse_covariance,
    estimate_background,
    find_spectral_detections,
)


def make_statistics(means, inverse_covariance=None, *, black_level=0.0, saturation=np.inf):
    means = np.asarray(means, np.float32)
    if inverse_covariance is None:
        inverse_covariance = np.eye(len(means))
    return FrameStatistics(black_level, means, np.full(len(means), saturation), inverse_covariance)


def measure_statistics(cube):
    """Measure the statistics of a cube with a mean of 100 in all bands."""
    means = np.full(cube.shape[2], 100, np.float32)
    return make_statistics(means, compute_inverse_covariance(cube[::2, ::2].reshape(-1, len(means)) / means))


def make_signature(*spectrum, background=None):
    """Make the signature of an object with the same spectrum in all parts."""
    return SpectralSignature(np.tile(np.array(spectrum, np.float32), (5, 1)), background)


def test_core_spectra_are_relative_and_of_part_inside():
    cube = np.zeros((20, 30, 2), np.uint16) + np.array([30, 50], np.uint16)
    cube[5:11, 0:6] = (110, 210)
    statistics = make_statistics([20.0, 40.0], black_level=10.0)

    for box in ((0, 5, 6, 6), (-4, 5, 10, 6)):
        spectra = compute_core_spectra(cube, np.array(box, float), statistics)
        assert spectra[0] == pytest.approx(np.array([5, 5]))
    assert not compute_core_spectra(cube, np.array([-40.0, 5, 10, 6]), statistics).any()


@pytest.mark.parametrize("by_angles", [False, True])
@pytest.mark.parametrize("size", [(10.0, 8.0), (3.0, 40.0), (500.0, 400.0)])
def test_best_detection_is_at_object_with_the_spectrum(size, by_angles):
    rng = np.random.default_rng(0)
    cube = rng.integers(90, 110, (64, 96, 4)).astype(np.uint16)
    cube[40:56, 60:76] = (400, 100, 100, 50)
    statistics = measure_statistics(cube)
    background = estimate_background(cube, np.array([60.0, 40, 16, 16]), statistics) if by_angles else None
    signature = make_signature(4, 1, 1, 0.5, background=background)

    positions = find_spectral_detections(cube, np.array(size), signature, statistics, 5)

    assert 1 <= len(positions) <= 5
    if max(size) < 64:
        assert 60 <= positions[0, 0] <= 76
        assert 40 <= positions[0, 1] <= 56


@pytest.mark.parametrize("sample_type", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(3, 12), (26, 9), (41, 33)])
@pytest.mark.parametrize("by_angles", [False, True])
def test_best_detection_is_centered_on_target(sample_type, size, by_angles):
    cube = np.random.default_rng(1).integers(90, 110, (64, 96, 150)).astype(sample_type)
    (x, y), (width, height) = (37, 21), size
    cube[y : y + height, x : x + width, ::2] = 200
    box = np.array([x, y, width, height], float)
    statistics = measure_statistics(cube)
    background = estimate_background(cube, box, statistics) if by_angles else None
    signature = make_signature(*np.where(np.arange(150) % 2, 1, 2), background=background)

    best = find_spectral_detections(cube, box[2:], signature, statistics, 3)[0]

    offset = np.abs(best - (box[:2] + box[2:] / 2))
    assert (offset <= np.maximum(box[2:] / 4, 1.5)).all()


def test_distance_is_small_where_the_frame_varies():
    noise = np.random.default_rng(0).normal(0, [0.3, 0.02], (500, 2))
    statistics = make_statistics(np.ones(2), compute_inverse_covariance(np.exp(noise)))
    spectra = np.exp([[0.2, 0.0], [0.0, 0.2]])

    in_noisy_band, in_quiet_band = make_signature(1, 1).compute_distances(spectra, statistics)
    at_double_brightness = make_signature(2, 2).compute_distances(2 * spectra, statistics)

    assert in_quiet_band > 5 * in_noisy_band
    assert at_double_brightness == pytest.approx([in_noisy_band, in_quiet_band])


def test_saturated_target_has_no_distance():
    bright = np.array([4, 1, 1], np.float32)
    signature = make_signature(*bright)
    saturated = make_statistics(np.ones(3), saturation=2)
    unsaturated = make_statistics(np.ones(3))

    clipped = np.minimum(bright, 2)

    assert signature.compute_distances(clipped[None], saturated) == pytest.approx(0, abs=1e-3)
    assert signature.compute_distances(bright[None], unsaturated) == pytest.approx(0, abs=1e-3)


def test_half_occluded_target_is_nearer_than_other_object():
    cube = np.full((40, 40, 3), 100.0)
    cube[10:30, 10:30] = (200, 100, 50)
    statistics = make_statistics(np.full(3, 100))
    box = np.array([10.0, 10, 20, 20])
    signature = SpectralSignature(compute_core_spectra(cube, box, statistics))

    distances = []
    for occluded_width in (0, 10, 20):
        cube[10:30, 10 : 10 + occluded_width] = (50, 100, 200)
        spectra = compute_core_spectra(cube, box, statistics)
        distances.append(signature.compute_distance(spectra, statistics))

    visible, half_occluded, other_object = distances
    assert visible == pytest.approx(0, abs=1e-3)
    assert half_occluded < 0.3 * other_object


def test_distance_by_angles_ignores_brightness_of_cubes():
    noise = np.random.default_rng(0).normal(0, 0.3, (500, 1)) + np.random.default_rng(1).normal(
        0, 0.02, (500, 3)
    )
    signature = make_signature(1.5, 1.1, 0.8, background=Background.estimate(noise))
    darker, other = 0.7 * np.array([1.5, 1.1, 0.8]), np.array([1.5, 1.1, 1.1])

    same, other = signature.compute_angular_distances(np.stack([darker, other]), make_statistics(np.ones(3)))

    assert other > 3 * same


def test_distance_by_angles_is_small_where_surroundings_vary():
    noise = np.random.default_rng(0).normal(0, [0.3, 0.02, 0.02], (500, 3))
    signature = make_signature(1.5, 1.1, 1, background=Background.estimate(noise))
    spectra = np.array([1.5, 1.1, 1]) * np.exp([[0.1, 0, 0], [0, 0, 0.1]])

    statistics = make_statistics(np.ones(3))
    in_noisy_band, in_quiet_band = signature.compute_angular_distances(spectra, statistics)

    assert in_quiet_band > 2 * in_noisy_band


def test_background_is_that_around_the_box():
    cube = np.random.default_rng(0).integers(90, 110, (60, 200, 4)).astype(np.uint16)
    cube[:, 100:] *= 3
    cube[20:30, 20:30] = 500
    statistics = make_statistics(np.full(4, 100))

    background = estimate_background(cube, np.array([20.0, 20, 10, 10]), statistics)

    assert background.mean == pytest.approx(np.zeros(4), abs=0.03)


@pytest.mark.parametrize("box", [(0, 0, 30, 20), (-200, -200, 600, 500), (29, 19, 1, 1)])
def test_background_without_surroundings_is_the_frame(box):
    cube = np.random.default_rng(0).integers(90, 110, (20, 30, 4)).astype(np.uint16)

    background = estimate_background(cube, np.array(box, float), make_statistics(np.full(4, 100)))

    assert background.mean == pytest.approx(np.zeros(4), abs=0.1)
    assert np.isfinite(background.whitening).all()
