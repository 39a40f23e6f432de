import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hsi_tracker_ros.signature import Signature, core_spectrum, likely_places, spectral_angle

NO_CEILING = np.float32(np.inf)
LIGHT = arrays(np.float64, 6, elements=st.floats(0.01, 10))


@given(LIGHT, LIGHT, st.floats(0.01, 100))
def test_the_angle_does_not_see_brightness(spectrum, reference, gain):
    angle = spectral_angle(spectrum, reference)
    assert 0 <= angle <= np.pi / 2
    assert angle == pytest.approx(spectral_angle(gain * spectrum, reference), abs=1e-6)
    assert spectral_angle(gain * spectrum, spectrum) == pytest.approx(0, abs=1e-6)


def test_angles_are_known():
    spectra = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    assert spectral_angle(spectra, np.array([3.0, 0.0])) == pytest.approx(np.array([0, 1, 2, 2]) * np.pi / 4)


def test_a_core_is_relative_to_the_frame_and_of_the_part_inside():
    cube = np.zeros((20, 30, 2), np.uint16) + np.array([30, 50], np.uint16)
    cube[5:11, 0:6] = (110, 210)
    means = np.array([20.0, 40.0], np.float32)
    for box in ((0, 5, 6, 6), (-4, 5, 10, 6)):
        assert core_spectrum(cube, np.array(box, float), 10.0, means) == pytest.approx(np.array([5, 5]))
    assert not core_spectrum(cube, np.array([-40.0, 5, 10, 6]), 10.0, means).any()


def test_a_signature_learns_what_it_is_shown():
    signature = Signature(np.array([1, 0], np.float32))
    for _ in range(200):
        signature.learn(np.array([0, 1], np.float32), NO_CEILING, 0.1)
    assert signature.angles(np.array([0.0, 1.0]), NO_CEILING) < 0.01


@pytest.mark.parametrize("size", [(10.0, 8.0), (3.0, 40.0), (500.0, 400.0)])
def test_likely_places_hold_what_has_the_spectrum(size):
    rng = np.random.default_rng(0)
    cube = rng.integers(90, 110, (64, 96, 4)).astype(np.uint16)
    cube[40:56, 60:76] = (400, 100, 100, 50)
    means = np.full(4, 100, np.float32)
    signature = Signature(np.array([4, 1, 1, 0.5], np.float32))
    places = likely_places(cube, np.array(size), signature, 0.0, means, np.full(4, np.inf), 5)
    assert 1 <= len(places) <= 5
    if max(size) < 64:
        assert 60 <= places[0, 0] <= 76
        assert 40 <= places[0, 1] <= 56


def test_distances_count_less_where_the_frame_itself_varies():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, [0.3, 0.02], (500, 2))
    off_in_noisy, off_in_quiet = np.exp([0.2, 0.0]), np.exp([0.0, 0.2])
    spectra = np.concatenate([[off_in_noisy, off_in_quiet], np.exp(noise)])
    noisy, quiet = Signature(np.ones(2, np.float32)).distances(spectra, NO_CEILING)[:2]
    assert quiet > 5 * noisy
    twice = Signature(np.full(2, 2, np.float32)).distances(2 * spectra, NO_CEILING)[:2]
    assert twice == pytest.approx([noisy, quiet])


def test_what_saturates_is_no_other_spectrum():
    bright, ceiling = np.array([4, 1, 1], np.float32), np.array([2, 2, 2], np.float32)
    signature, seen = Signature(bright), np.minimum(bright, ceiling)
    assert signature.angles(seen, ceiling) == pytest.approx(0, abs=1e-3)
    assert signature.distances(np.stack([seen, seen / 2, 2 * seen]), ceiling)[0] == pytest.approx(0, abs=1e-3)
    for _ in range(200):
        signature.learn(seen * (1, 1, 1.5), ceiling, 0.1)
    assert signature.angles(bright * (1, 1, 1.5), NO_CEILING) < 0.01
