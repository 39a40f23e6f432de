from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.bands import BandMatcher, CameraMismatch
from hsi_tracker_ros.cubes.camera_presets import preset
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
def test_a_spectrum_linear_in_wavelength_is_matched_exactly(
    bands: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    have, want = bands
    matched = BandMatcher(SpectralInfo(have), want)(np.array(have, np.float32)[None, None])
    np.testing.assert_allclose(matched[0, 0], want, atol=0.6)


@given(covered(), st.randoms(use_true_random=False))
def test_the_order_of_the_bands_does_not_matter(
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
def test_a_flat_spectrum_stays_flat(bands: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    have, want = bands
    matcher = BandMatcher(SpectralInfo(have), want)
    np.testing.assert_allclose(matcher.matrix.sum(axis=0), 1, atol=1e-5)
    assert (matcher.matrix >= 0).all()


def test_the_same_bands_pass_untouched() -> None:
    camera = preset("vis16")
    cube = np.ones((4, 5, 16), np.uint16)
    matcher = BandMatcher(camera, camera.wavelengths_nm)
    assert matcher.identity
    assert matcher(cube) is cube


def test_a_model_for_the_nominal_grid_runs_on_the_real_sensor() -> None:
    matcher = BandMatcher(preset("vis16"), preset("hot16").wavelengths_nm)
    assert not matcher.identity
    assert matcher(np.ones((2, 3, 16), np.uint16)).shape == (2, 3, 16)


def test_a_model_for_the_real_sensor_runs_on_what_is_described_by_the_nominal_grid() -> None:
    matcher = BandMatcher(preset("hot16"), preset("vis16").wavelengths_nm)
    np.testing.assert_allclose(matcher.matrix.sum(axis=0), 1, atol=1e-5)


def test_bands_of_one_wavelength_are_averaged() -> None:
    matcher = BandMatcher(SpectralInfo((500.0, 500.0, 600.0)), (500.0,))
    np.testing.assert_allclose(matcher(np.array([[[1.0, 3.0, 9.0]]], np.float32)), [[[2.0]]])


def test_missing_wavelengths_are_listed() -> None:
    with pytest.raises(CameraMismatch, match=r"don't cover 720, 820 nm"):
        BandMatcher(preset("vis16"), (500.0, 720.0, 820.0))


def test_a_gap_between_bands_is_missing_too() -> None:
    with pytest.raises(CameraMismatch, match="700"):
        BandMatcher(SpectralInfo((500.0, 900.0)), (500.0, 700.0))


def test_a_wide_band_covers_half_its_width_to_either_side() -> None:
    camera = SpectralInfo((500.0, 900.0), (40.0, 250.0))
    assert BandMatcher(camera, (780.0,)).matrix.shape == (2, 1)
    with pytest.raises(CameraMismatch, match="770"):
        BandMatcher(camera, (770.0,))


def test_a_panchromatic_filter_does_not_stand_for_the_bands_that_a_model_tells_apart() -> None:
    with pytest.raises(CameraMismatch, match="480"):
        BandMatcher(preset("cms_v9"), preset("vis16").wavelengths_nm)
