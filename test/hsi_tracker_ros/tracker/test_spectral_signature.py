import numpy as np
import pytest

from hsi_tracker_ros.tracker.spectral_signature import Signature, core_spectra, frame_precision, likely_places

NO_CEILING = np.float32(np.inf)


def alike(*spectrum):
    """The signature of a thing that is the same all over."""
    return Signature(np.tile(np.array(spectrum, np.float32), (5, 1)))


def test_a_core_is_relative_to_the_frame_and_of_the_part_inside():
    cube = np.zeros((20, 30, 2), np.uint16) + np.array([30, 50], np.uint16)
    cube[5:11, 0:6] = (110, 210)
    means = np.array([20.0, 40.0], np.float32)
    for box in ((0, 5, 6, 6), (-4, 5, 10, 6)):
        assert core_spectra(cube, np.array(box, float), 10.0, means)[0] == pytest.approx(np.array([5, 5]))
    assert not core_spectra(cube, np.array([-40.0, 5, 10, 6]), 10.0, means).any()


@pytest.mark.parametrize("size", [(10.0, 8.0), (3.0, 40.0), (500.0, 400.0)])
def test_likely_places_hold_what_has_the_spectrum(size):
    rng = np.random.default_rng(0)
    cube = rng.integers(90, 110, (64, 96, 4)).astype(np.uint16)
    cube[40:56, 60:76] = (400, 100, 100, 50)
    means = np.full(4, 100, np.float32)
    signature = alike(4, 1, 1, 0.5)
    precision = frame_precision(cube[::2, ::2].reshape(-1, 4) / means)
    places = likely_places(cube, np.array(size), signature, 0.0, means, np.full(4, np.inf), precision, 5)
    assert 1 <= len(places) <= 5
    if max(size) < 64:
        assert 60 <= places[0, 0] <= 76
        assert 40 <= places[0, 1] <= 56


@pytest.mark.parametrize("sample", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(3, 12), (26, 9), (41, 33)])
def test_the_likeliest_place_is_in_the_middle_of_the_target_wherever_it_lies(sample, size):
    cube = np.random.default_rng(1).integers(90, 110, (64, 96, 150)).astype(sample)
    (x, y), (width, height) = (37, 21), size
    cube[y : y + height, x : x + width, ::2] = 200
    means = np.full(150, 100, np.float32)
    signature = alike(*np.where(np.arange(150) % 2, 1, 2))
    box, ceiling = np.array([x, y, width, height], float), np.full(150, np.inf)
    precision = frame_precision(cube[::2, ::2].reshape(-1, 150) / means)
    best = likely_places(cube, box[2:], signature, 0.0, means, ceiling, precision, 3)[0]
    assert (np.abs(best - (box[:2] + box[2:] / 2)) <= np.maximum(box[2:] / 4, 1.5)).all()


def test_distances_count_less_where_the_frame_itself_varies():
    noise = np.random.default_rng(0).normal(0, [0.3, 0.02], (500, 2))
    precision = frame_precision(np.exp(noise))
    off_in_noisy, off_in_quiet = np.exp([0.2, 0.0]), np.exp([0.0, 0.2])
    spectra = np.stack([off_in_noisy, off_in_quiet])
    noisy, quiet = alike(1, 1).distances(spectra, NO_CEILING, precision)
    assert quiet > 5 * noisy
    twice = alike(2, 2).distances(2 * spectra, NO_CEILING, precision)
    assert twice == pytest.approx([noisy, quiet])


def test_what_saturates_is_no_other_spectrum():
    bright, ceiling = np.array([4, 1, 1], np.float32), np.array([2, 2, 2], np.float32)
    signature, seen = alike(*bright), np.minimum(bright, ceiling)
    assert signature.distances(seen[None], ceiling, np.eye(3)) == pytest.approx(0, abs=1e-3)
    assert signature.distances(bright[None], NO_CEILING, np.eye(3)) == pytest.approx(0, abs=1e-3)


def test_a_target_half_covered_is_nearer_than_another():
    cube, means, precision = np.full((40, 40, 3), 100.0), np.full(3, 100, np.float32), np.eye(3)
    box = np.array([10.0, 10, 20, 20])
    cube[10:30, 10:30] = (200, 100, 50)
    signature = Signature(core_spectra(cube, box, 0.0, means))
    distances = []
    for covered in (0, 10, 20):
        cube[10:30, 10 : 10 + covered] = (50, 100, 200)
        distances.append(signature.distance(core_spectra(cube, box, 0.0, means), NO_CEILING, precision))
    assert distances[0] == pytest.approx(0, abs=1e-3)
    assert distances[1] < 0.3 * distances[2]
