from __future__ import annotations

from typing import Any

import pytest

from tracking_runtime.spectral_info import SpectralInfo


def test_mosaic_needs_a_wavelength_per_filter() -> None:
    with pytest.raises(ValueError, match=r"wavelengths_nm must have 4 values.*: got 3"):
        SpectralInfo(wavelengths_nm=(500.0, 550.0, 600.0), mosaic=(2, 2))


def test_band_order_lets_filters_share_a_band() -> None:
    info = SpectralInfo(wavelengths_nm=(500.0, 550.0, 600.0), mosaic=(2, 2), band_order=(0, 1, 1, 2))

    assert info.band_order == (0, 1, 1, 2)


def test_band_order_needs_an_entry_per_filter() -> None:
    with pytest.raises(ValueError, match=r"band_order must have 4 entries.*: got 3"):
        SpectralInfo(wavelengths_nm=(500.0, 550.0, 600.0), mosaic=(2, 2), band_order=(0, 1, 2))


def test_fwhm_needs_a_value_per_wavelength() -> None:
    with pytest.raises(ValueError, match=r"fwhm_nm must have 2 values.*: got 1"):
        SpectralInfo(wavelengths_nm=(500.0, 550.0), fwhm_nm=(10.0,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"wavelengths_nm": ()}, "wavelengths_nm is empty"),
        ({"wavelengths_nm": (500.0, float("nan"))}, "must be finite numbers above 0: got"),
        ({"wavelengths_nm": (500.0, 0.0)}, "must be finite numbers above 0: got"),
        ({"wavelengths_nm": (500.0,), "fwhm_nm": (-1.0,)}, "fwhm_nm must be finite numbers from 0"),
        ({"wavelengths_nm": (500.0,), "black_level": float("inf")}, "must be finite: got inf, 0"),
        ({"wavelengths_nm": (500.0,) * 4, "mosaic": (-2, -2)}, "at least 1 row and 1 column: got -2 x -2"),
    ],
)
def test_value_out_of_range_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpectralInfo(**fields)
