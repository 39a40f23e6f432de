"""WGS84 ellipsoid: degrees to meters, and the plane that touches the ellipsoid at an origin.

Geographic coordinates are (n, 2): latitude and longitude in degrees, north and east positive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.geography.errors import GeographyError

SEMI_MAJOR_AXIS_M = 6378137.0
FLATTENING = 1 / 298.257223563
_ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)
_SEMI_MINOR_AXIS_M = SEMI_MAJOR_AXIS_M * (1 - FLATTENING)

FloatArray = NDArray[np.float64]


def check_geographic(coordinates: ArrayLike, subject: str) -> FloatArray:
    """Return coordinates as an (n, 2) array if all are on the Earth.

    Args:
        coordinates: latitude and longitude of each point in degrees. Longitudes of 0 to 360 are accepted.
        subject: file or thing that contains the points, for the message.

    Raises:
        GeographyError: a latitude is not within -90 to 90, or a longitude not within -180 to 360.
    """
    points = np.asarray(coordinates, np.float64).reshape(-1, 2)
    is_valid = (np.abs(points[:, 0]) <= 90) & (points[:, 1] >= -180) & (points[:, 1] <= 360)
    if not is_valid.all():
        latitude, longitude = points[np.argmin(is_valid)]
        raise GeographyError(
            f"{subject}: latitude must be -90 to 90 and longitude -180 to 360: got latitude {latitude:g}, "
            f"longitude {longitude:g}; check the order of the two"
        )
    return points


def wrap_longitude(longitudes: ArrayLike) -> FloatArray:
    """Return longitudes in degrees within -180 to 180, in the same shape."""
    degrees = np.asarray(longitudes, np.float64)
    return np.where(np.abs(degrees) <= 180, degrees, (degrees + 180) % 360 - 180)


def compute_degree_lengths(latitudes: ArrayLike) -> FloatArray:
    """Return the meters of one degree of latitude and of longitude at each latitude, (n, 2)."""
    phi = np.radians(np.asarray(latitudes, np.float64).reshape(-1))
    root = np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(phi) ** 2)
    meridian_radius_m = SEMI_MAJOR_AXIS_M * (1 - _ECCENTRICITY_SQUARED) / root**3
    parallel_radius_m = SEMI_MAJOR_AXIS_M / root * np.cos(phi)
    return np.radians(np.stack([meridian_radius_m, parallel_radius_m], axis=1))


class LocalPlane:
    """Plane that touches the ellipsoid at an origin: meters east and north of the origin, (n, 2).

    Points of the ellipsoid are projected along the vertical of the origin, as a camera sees flat ground.
    Distances are too short by 1.2e-6 at 10 km, and by 1.2e-4 at 100 km from the origin.

    Args:
        latitude: latitude of the origin in degrees.
        longitude: longitude of the origin in degrees.
    """

    def __init__(self, latitude: float, longitude: float) -> None:
        check_geographic([latitude, longitude], "origin of a local plane")
        self.latitude = float(latitude)
        self.longitude = float(longitude)
        phi, lam = np.radians([latitude, longitude])
        sin_phi, cos_phi, sin_lam, cos_lam = np.sin(phi), np.cos(phi), np.sin(lam), np.cos(lam)
        self._origin = _to_cartesian(np.array([[latitude, longitude]]))[0]
        self._axes = np.array(
            [
                [-sin_lam, cos_lam, 0.0],
                [-sin_phi * cos_lam, -sin_phi * sin_lam, cos_phi],
                [cos_phi * cos_lam, cos_phi * sin_lam, sin_phi],
            ]
        )

    def from_geographic(self, coordinates: ArrayLike) -> FloatArray:
        """Convert latitudes and longitudes, (n, 2), to meters east and north, (n, 2).

        Points of the other half of the Earth are NaN.
        """
        points = _to_cartesian(np.asarray(coordinates, np.float64).reshape(-1, 2))
        is_near = (points * self._axes[2]).sum(axis=1) > 0
        plane = (points - self._origin) @ self._axes[:2].T
        return np.where(is_near[:, None], plane, np.nan)

    def to_geographic(self, points: ArrayLike) -> FloatArray:
        """Convert meters east and north, (n, 2), to latitudes and longitudes, (n, 2).

        Points that are not above the ellipsoid, more than 6000 km away, are NaN.
        """
        plane = np.asarray(points, np.float64).reshape(-1, 2)
        base = self._origin + plane @ self._axes[:2]
        # The vertical through a point meets the ellipsoid where a quadratic equation of the height is zero.
        weights = 1 / np.array([SEMI_MAJOR_AXIS_M, SEMI_MAJOR_AXIS_M, _SEMI_MINOR_AXIS_M]) ** 2
        vertical = self._axes[2]
        a = (weights * vertical**2).sum()
        b = (weights * base * vertical).sum(axis=1)
        c = (weights * base**2).sum(axis=1) - 1
        discriminant = b**2 - a * c
        root = np.sqrt(np.where(discriminant >= 0, discriminant, np.nan))
        height_m = -c / (b + root)  # the root near zero, without cancellation
        x, y, z = (base + height_m[:, None] * vertical).T
        latitude = np.degrees(np.arctan2(z, (1 - _ECCENTRICITY_SQUARED) * np.hypot(x, y)))
        return np.stack([latitude, np.degrees(np.arctan2(y, x))], axis=1)


def _to_cartesian(coordinates: FloatArray) -> FloatArray:
    """Convert latitudes and longitudes on the ellipsoid to Earth-centered x, y, z in meters, (n, 3)."""
    phi, lam = np.radians(coordinates).T
    radius_m = SEMI_MAJOR_AXIS_M / np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(phi) ** 2)
    return np.stack(
        [
            radius_m * np.cos(phi) * np.cos(lam),
            radius_m * np.cos(phi) * np.sin(lam),
            radius_m * (1 - _ECCENTRICITY_SQUARED) * np.sin(phi),
        ],
        axis=1,
    )
