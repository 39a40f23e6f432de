"""Positions and motion of the tracks of one frame, and their GeoJSON."""

from __future__ import annotations

import json

import numpy as np

from tracking_runtime.geography.frame_positions import FramePositions, add_motion, format_frame_geojson
from tracking_runtime.geography.ground_positions import GroundPositions
from tracking_runtime.geography.live_motion import VelocityEstimator
from tracking_runtime.geography.local_plane import LocalPlane

SECOND = 10**9
PLANE = LocalPlane(47.26, 11.39)


def locate(*points: tuple[float, ...], error_m: float = 0.1) -> GroundPositions:
    count = len(points)
    return GroundPositions(
        np.array(points, float), np.tile(np.eye(2), (count, 1, 1)), np.full(count, error_m)
    )


def step(
    estimator: VelocityEstimator, second: int, located: GroundPositions, plane: LocalPlane | None = PLANE
):
    ids = np.arange(1, len(located.points) + 1)
    return add_motion(located, ids, second * SECOND, estimator, plane=plane, plane_z=4.0)


def test_motion_is_known_from_the_second_frame() -> None:
    estimator = VelocityEstimator(1.0)

    first = step(estimator, 0, locate((0, 0), (10, 10)))
    second = step(estimator, 1, locate((3, 4), (10.01, 10)))

    assert np.isnan(first.speeds_m_s).all()
    np.testing.assert_allclose(second.points, [[3, 4, 4], [10.01, 10, 4]])
    np.testing.assert_allclose(second.speeds_m_s, [5, 0.01])
    np.testing.assert_allclose(second.headings_deg, [np.degrees(np.arctan2(3, 4)), np.nan])
    np.testing.assert_allclose(second.coordinates, PLANE.to_geographic([[3, 4], [10.01, 10]]))
    np.testing.assert_allclose(second.covariances, [[1, 0, 1], [1, 0, 1]])


def test_positions_without_origin_have_no_degrees() -> None:
    positions = step(VelocityEstimator(1.0), 0, locate((0, 0, 7)), plane=None)

    np.testing.assert_array_equal(positions.points, [[0, 0, 7]])
    assert np.isnan(positions.coordinates).all()
    assert json.loads(format_frame_geojson(positions, [1], ["car"]))["features"] == []


def test_geojson_has_a_point_of_each_track() -> None:
    positions = FramePositions(
        np.zeros((2, 3)),
        np.array([[47.0, 11.0], [48.0, -12.0]]),
        np.array([5.0, np.nan]),
        np.array([359.96, np.nan]),
        np.zeros((2, 3)),
    )

    first, second = json.loads(format_frame_geojson(positions, [4, 5], ["car", ""]))["features"]

    assert first["geometry"] == {"type": "Point", "coordinates": [11.0, 47.0]}
    assert first["properties"] == {
        "name": "car 4", "id": 4, "class": "car", "speed_m_s": 5.0, "heading_deg": 0.0,
    }  # fmt: skip
    assert second["properties"]["name"] == "5"
    assert second["properties"]["heading_deg"] is None
