"""Speeds and sizes on the ground, of tracks with known motion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.boxes import ScoredBoxes, as_boxes
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.local_plane import LocalPlane
from tracking_runtime.geography.reference import GeographicReference, make_control_point_reference
from tracking_runtime.tracking.ground_scale import ConstantScale, GeographicScale, GroundMeter, GroundScale

SIZE = (200, 100)
METERS_PER_PIXEL = 0.5


def make_reference() -> GeographicReference:
    """Make the reference of a nadir image with pixels of half a meter, turned by 30 degrees."""
    corners = np.array([[0, 0], [200, 0], [200, 100], [0, 100]], float)
    cosine, sine = np.cos(np.pi / 6), np.sin(np.pi / 6)
    ground = METERS_PER_PIXEL * corners * [1, -1] @ np.array([[cosine, sine], [-sine, cosine]])
    coordinates = LocalPlane(36.0, -115.0).to_geographic(ground)
    return make_control_point_reference(corners, coordinates, "corners")


def make_tracks(boxes: object, velocities: object = None) -> ScoredBoxes:
    count = len(as_boxes(boxes))
    return ScoredBoxes(
        np.arange(1, count + 1),
        as_boxes(boxes),
        np.ones(count),
        np.zeros(count, np.int64),
        velocities=None if velocities is None else np.asarray(velocities, np.float64).reshape(-1, 2),
    )


@pytest.fixture(params=["constant", "geographic"])
def scale(request: pytest.FixtureRequest) -> GroundScale:
    return (
        ConstantScale(METERS_PER_PIXEL) if request.param == "constant" else GeographicScale(make_reference())
    )


def test_known_velocity_becomes_meters_per_second(scale: GroundScale) -> None:
    tracks = make_tracks([[10, 20, 9, 4], [50, 30, 4, 12], [5, 5, 3, 3]], [[30, 40], [-20, 0], [0, 0]])

    measures = GroundMeter(scale).measure(0, 0, tracks, SIZE)

    np.testing.assert_allclose(measures.speeds_m_s, [25, 10, 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(measures.lengths_m, [4.5, 6, 1.5], rtol=1e-4)
    np.testing.assert_allclose(measures.widths_m, [2, 2, 1.5], rtol=1e-4)


def test_speed_without_velocities_is_that_of_the_positions(scale: GroundScale) -> None:
    meter = GroundMeter(scale)

    speeds = [
        meter.measure(index, index * 40_000_000, make_tracks([[10 + 3 * index, 20, 8, 6]]), SIZE).speeds_m_s[
            0
        ]
        for index in range(30)
    ]

    assert np.isnan(speeds[0])
    np.testing.assert_allclose(speeds[1:], 3 * 25 * METERS_PER_PIXEL, rtol=1e-4)


@given(st.floats(0.01, 100), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_speed_is_proportional_to_the_pixel_size(meters: float, x: float, y: float) -> None:
    measures = GroundMeter(ConstantScale(meters)).measure(0, 0, make_tracks([[1, 2, 3, 4]], [[x, y]]), SIZE)

    assert measures.speeds_m_s[0] == pytest.approx(meters * np.hypot(x, y), rel=1e-9, abs=1e-9)


def test_frame_without_tracks_has_no_measures(scale: GroundScale) -> None:
    measures = GroundMeter(scale).measure(0, 0, ScoredBoxes.none(), SIZE)

    assert len(measures.speeds_m_s) == len(measures.lengths_m) == len(measures.widths_m) == 0


def test_map_of_images_of_another_size_is_refused() -> None:
    reference = make_reference()
    object.__setattr__(reference, "image_size", (400, 100))

    with pytest.raises(GeographyError, match="size"):
        GroundMeter(GeographicScale(reference)).measure(0, 0, make_tracks([[1, 2, 3, 4]]), SIZE)
