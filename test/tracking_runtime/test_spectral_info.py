from __future__ import annotations

from typing import Any

import pytest

from tracking_runtime.spectral_info import SpectralInfo


def test_a_mosaic_has_a_wavelength_for_each_filter() -> None:
    with pytest.raises(ValueError, match="3 wavelengths but the mosaic has 4 filters"):
        SpectralInfo(wavelengths_nm=(500.0, 550.0, 600.0), mosaic=(2, 2))


def test_filters_may_share_a_band() -> None:
    info = SpectralInfo(wavelengths_nm=(500.0, 550.0, 600.0), mosaic=(2, 2), band_order=(0, 1, 1, 2))
    assert info.band_order == (0, 1, 1, 2)


def test_band_order_covers_the_mosaic() -> None:
    with pytest.raises(ValueError, match="band_order has 3 entries, the mosaic 4 filters"):
        SpectralInfo(wavelengths_nm=(500.0, 550.0, 600.0), mosaic=(2, 2), band_order=(0, 1, 2))


def test_widths_belong_to_bands() -> None:
    with pytest.raises(ValueError, match="2 wavelengths but 1 values of fwhm"):
        SpectralInfo(wavelengths_nm=(500.0, 550.0), fwhm_nm=(10.0,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"wavelengths_nm": ()}, "no wavelengths"),
        ({"wavelengths_nm": (500.0, float("nan"))}, "numbers above 0, in nm"),
        ({"wavelengths_nm": (500.0, 0.0)}, "numbers above 0, in nm"),
        ({"wavelengths_nm": (500.0,), "fwhm_nm": (-1.0,)}, "numbers from 0, in nm"),
        ({"wavelengths_nm": (500.0,), "black_level": float("inf")}, "black level of inf"),
        ({"wavelengths_nm": (500.0,) * 4, "mosaic": (-2, -2)}, "-2 rows"),
    ],
)
def test_impossible_values_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpectralInfo(**fields)
