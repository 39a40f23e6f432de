"""Positions and motion of the tracks of one frame, and their GeoJSON for maps that show them live."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.geography.ground_positions import GroundPositions
from tracking_runtime.geography.live_motion import VelocityEstimator
from tracking_runtime.geography.local_plane import LocalPlane
from tracking_runtime.geography.motion import compute_heading

FloatArray = NDArray[np.float64]

_DEGREE_DECIMALS = 8  # 1 mm


@dataclass(frozen=True)
class FramePositions:
    """Positions of the located tracks of one frame, as parallel arrays.

    Attributes:
        points: x, y, z in meters, (n, 3).
        coordinates: latitude and longitude in degrees, (n, 2); NaN without a geographic origin.
        speeds_m_s: speed over the ground, (n,); NaN for a track seen once.
        headings_deg: direction of motion, (n,), 0..360 clockwise from +y; NaN while not significant.
        covariances: xx, xy, yy in square meters, (n, 3).
    """

    points: FloatArray
    coordinates: FloatArray
    speeds_m_s: FloatArray
    headings_deg: FloatArray
    covariances: FloatArray


def add_motion(
    located: GroundPositions,
    ids: ArrayLike,
    stamp_ns: int,
    estimator: VelocityEstimator,
    *,
    plane: LocalPlane | None,
    plane_z: float,
) -> FramePositions:
    """Return positions with speeds, headings and geographic coordinates.

    A speed below the standard deviation that the pixel error gives it has no heading.

    Args:
        located: positions of the tracks, all on the ground.
        ids: identity of each track, (n,).
        stamp_ns: time of the frame in nanoseconds.
        estimator: velocities of the earlier frames, which is updated.
        plane: plane whose origin is the origin of the positions; None if unknown.
        plane_z: height of the ground in meters, for positions without z.
    """
    points = located.points
    if points.shape[1] == 2:
        points = np.column_stack([points, np.full(len(points), plane_z)])
    motion = estimator.update(stamp_ns, ids, points[:, :2])
    speeds = np.linalg.norm(motion.velocities, axis=1)
    is_significant = (speeds > motion.gains * located.pixel_errors_m) & (speeds > 0)
    headings = compute_heading(motion.velocities[:, 0], motion.velocities[:, 1])
    coordinates = plane.to_geographic(points[:, :2]) if plane else np.full((len(points), 2), np.nan)
    covariances = located.covariances[:, [0, 0, 1], [0, 1, 1]]
    return FramePositions(
        points, coordinates, speeds, np.where(is_significant, headings, np.nan), covariances
    )


def format_frame_geojson(positions: FramePositions, ids: Sequence[int], labels: Sequence[str]) -> str:
    """Return the positions of a frame as a GeoJSON FeatureCollection of points."""
    features = []
    for index, (latitude, longitude) in enumerate(positions.coordinates.tolist()):
        if not np.isfinite([latitude, longitude]).all():
            continue
        speed, heading = positions.speeds_m_s[index], positions.headings_deg[index]
        properties = {
            "name": f"{labels[index]} {ids[index]}".strip(),
            "id": int(ids[index]),
            "class": labels[index],
            "speed_m_s": round(float(speed), 2) if np.isfinite(speed) else None,
            "heading_deg": round(float(heading), 1) % 360 if np.isfinite(heading) else None,
        }
        coordinates = [round(longitude, _DEGREE_DECIMALS), round(latitude, _DEGREE_DECIMALS)]
        geometry = {"type": "Point", "coordinates": coordinates}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return json.dumps({"type": "FeatureCollection", "features": features})
