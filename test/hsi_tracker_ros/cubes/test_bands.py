from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.bands import BandMatcher, CameraMismatchError
from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from tracking_runtime.spectral_info import SpectralInfo

wavelengths = st.lists(st.integers(400, 1000), min_size=2, max_size=40, unique=True).map(
    lambda values: tuple(float(v) for v in values)
)


@st.composite
def covered(draw: st.DrawFn) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A camera's bands, in any order, and wavelengths that lie near some of them."""
    have = draw(wavelengths)
    near = st.builds(
        lambda nm, off: min(max(nm + off, min(have)), max(have)), st.sampled_from(have), st.integers(-15, 15)
    )
    return have, tuple(draw(st.lists(near, min_size=1, max_size=30)))


@given(covered())
def test_linear_spectrum_is_matched_exactly(
    bands: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    have, want = bands
    matched = BandMatcher(SpectralInfo(have), want)(np.array(have, np.float32)[None, None])
    np.testing.assert_allclose(matched[0, 0], want, atol=0.6)


@given(covered(), st.randoms(use_true_random=False))
def test_band_matching_is_invariant_to_order(
    bands: tuple[tuple[float, ...], tuple[float, ...]], random: object
) -> None:
    have, want = bands
    spectrum = np.sin(np.array(have, np.float32) / 50)
    order = list(range(len(have)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = SpectralInfo(tuple(have[i] for i in order))
    straight = BandMatcher(SpectralInfo(have), want)(spectrum[None, None])
    np.testing.assert_allclose(BandMatcher(shuffled, want)(spectrum[order][None, None]), straight, atol=2e-2)


@given(covered())
def test_flat_spectrum_stays_flat(bands: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    have, want = bands
    matcher = BandMatcher(SpectralInfo(have), want)
    np.testing.assert_allclose(matcher.matrix.sum(axis=0), 1, atol=1e-5)
    assert (matcher.matrix >= 0).all()


def test_equal_bands_pass_unchanged() -> None:
    camera = find_camera_preset("vis16")
    cube = np.ones((4, 5, 16), np.uint16)
    matcher = BandMatcher(camera, camera.wavelengths_nm)
    assert matcher.is_identity
    assert matcher(cube) is cube


def test_nominal_grid_model_runs_on_real_sensor() -> None:
    matcher = BandMatcher(find_camera_preset("vis16"), find_camera_preset("hot16").wavelengths_nm)
    assert not matcher.is_identity
    assert matcher(np.ones((2, 3, 16), np.uint16)).shape == (2, 3, 16)


def test_real_sensor_model_runs_on_nominal_grid() -> None:
    matcher = BandMatcher(find_camera_preset("hot16"), find_camera_preset("vis16").wavelengths_nm)
    np.testing.assert_allclose(matcher.matrix.sum(axis=0), 1, atol=1e-5)


def test_bands_of_equal_wavelength_are_averaged() -> None:
    matcher = BandMatcher(SpectralInfo((500.0, 500.0, 600.0)), (500.0,))
    np.testing.assert_allclose(matcher(np.array([[[1.0, 3.0, 9.0]]], np.float32)), [[[2.0]]])


def test_missing_wavelengths_are_listed_in_error() -> None:
    with pytest.raises(CameraMismatchError, match=r"do not cover 720, 820 nm"):
        BandMatcher(find_camera_preset("vis16"), (500.0, 720.0, 820.0))


def test_gap_between_bands_is_a_mismatch() -> None:
    with pytest.raises(CameraMismatchError, match="700"):
        BandMatcher(SpectralInfo((500.0, 900.0)), (500.0, 700.0))


def test_wide_band_covers_half_its_width() -> None:
    camera = SpectralInfo((500.0, 900.0), (40.0, 250.0))
    assert BandMatcher(camera, (780.0,)).matrix.shape == (2, 1)
    with pytest.raises(CameraMismatchError, match="770"):
        BandMatcher(camera, (770.0,))


def test_panchromatic_filter_does_not_replace_narrow_bands() -> None:
    with pytest.raises(CameraMismatchError, match="480"):
        BandMatcher(find_camera_preset("cms_v9"), find_camera_preset("vis16").wavelengths_nm)
