"""Local planes against PROJ, and conversions there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.local_plane import (
    LocalPlane,
    check_geographic,
    compute_degree_lengths,
    wrap_longitude,
)

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
offsets_m = st.floats(-200_000, 200_000)


@given(latitudes, longitudes, offsets_m, offsets_m)
def test_plane_there_and_back_is_identity(
    latitude: float, longitude: float, east: float, north: float
) -> None:
    plane = LocalPlane(latitude, longitude)

    returned = plane.from_geographic(plane.to_geographic([[east, north]]))

    np.testing.assert_allclose(returned, [[east, north]], atol=1e-6)


def test_plane_agrees_with_proj() -> None:
    pyproj = pytest.importorskip("pyproj")
    pipeline = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 "
        "+step +proj=topocentric +ellps=WGS84 +lon_0=-115.1 +lat_0=36.2 +h_0=0"
    )
    points = np.array([36.2, -115.1]) + np.random.default_rng(1).uniform(-0.5, 0.5, (50, 2))
    east, north, _ = pipeline.transform(points[:, 1], points[:, 0], np.zeros(50))

    plane = LocalPlane(36.2, -115.1).from_geographic(points)

    np.testing.assert_allclose(plane, np.stack([east, north], axis=1), atol=1e-6)


@pytest.mark.parametrize("latitude", [-89.0, -45.0, 0.0, 36.0, 60.0])
def test_degree_lengths_agree_with_proj(latitude: float) -> None:
    pyproj = pytest.importorskip("pyproj")
    geodesic = pyproj.Geod(ellps="WGS84")
    step = 1e-3
    _, _, north_m = geodesic.inv(10, latitude - step / 2, 10, latitude + step / 2)
    _, _, east_m = geodesic.inv(10 - step / 2, latitude, 10 + step / 2, latitude)

    lengths = compute_degree_lengths(latitude)

    np.testing.assert_allclose(lengths, [[north_m / step, east_m / step]], rtol=1e-7)


def test_plane_beyond_its_half_of_the_earth_is_unknown() -> None:
    plane = LocalPlane(0, 0)

    assert np.isnan(plane.from_geographic([[0, 180]])).all()
    assert np.isnan(plane.to_geographic([[7e6, 0]])).all()


@pytest.mark.parametrize(("latitude", "longitude"), [(91, 0), (-115.1, 36.2), (0, 361), (np.nan, 0)])
def test_coordinates_off_the_earth_are_refused(latitude: float, longitude: float) -> None:
    with pytest.raises(GeographyError, match="latitude must be -90 to 90"):
        check_geographic([latitude, longitude], "FILE")


def test_longitudes_are_wrapped_without_change_inside() -> None:
    np.testing.assert_array_equal(
        wrap_longitude([-180, 180, 0.1, 190, 359, -190]), [-180, 180, 0.1, -170, -1, 170]
    )
