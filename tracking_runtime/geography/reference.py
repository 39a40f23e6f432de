"""Geographic references: functions from the pixels of a frame to latitude and longitude.

Pixels are those of boxes: the top-left corner of the image is (0, 0), the center of the first pixel is
(0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.geography.crs import ToGeographic, make_to_geographic
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.homography import HomographyFit, apply_homography, fit_homography
from tracking_runtime.geography.local_plane import LocalPlane, check_geographic, wrap_longitude
from tracking_runtime.io.georeference import GeoReference

FloatArray = NDArray[np.float64]

_MAX_EXTENT_M = 500_000.0  # largest distance of control points from their center
_HULL_TOLERANCE_PX = 0.5  # pixels beside the control points that are not extrapolated


class GeographicReference(Protocol):
    """Map from the pixels of each frame of a video to the Earth."""

    @property
    def description(self) -> str:
        """Kind and accuracy of the reference, for people."""

    @property
    def num_frames(self) -> int | None:
        """Number of frames with a homography of their own; None: the reference holds for all frames."""

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the images in pixels; None if unknown."""

    def locate(self, pixels: ArrayLike, frame_index: int = 0) -> FloatArray:
        """Return latitude and longitude of pixels in degrees, (n, 2); NaN for pixels off the Earth.

        Args:
            pixels: pixel x, y, (n, 2).
            frame_index: number of the frame, from 0; ignored if the reference holds for all frames.

        Raises:
            GeographyError: the reference does not cover the frame.
        """

    def find_extrapolated(self, pixels: ArrayLike, frame_index: int = 0) -> NDArray[np.bool_]:
        """Return whether pixels are outside of the control points, (n,)."""


@dataclass(frozen=True)
class MapReference:
    """Reference of an image that is a map: an orthophoto, a GeoTIFF, or an image with a world file.

    Attributes:
        georeference: affine map from pixels to map coordinates.
        to_geographic: function from map coordinates to latitude and longitude.
        description: kind of the reference, for people.
        num_frames: None, because the reference holds for all frames.
        image_size: width and height of the images in pixels; None if unknown.
    """

    georeference: GeoReference
    to_geographic: ToGeographic
    description: str
    num_frames: None = None
    image_size: tuple[int, int] | None = None

    def locate(self, pixels: ArrayLike, frame_index: int = 0) -> FloatArray:
        """Return latitude and longitude of pixels, (n, 2)."""
        points = np.asarray(pixels, np.float64).reshape(-1, 2)
        return _normalize(self.to_geographic(self.georeference.to_map(points)))

    def find_extrapolated(self, pixels: ArrayLike, frame_index: int = 0) -> NDArray[np.bool_]:
        """Return False for each pixel, (n,), because the whole image is a map."""
        return np.zeros(len(np.asarray(pixels).reshape(-1, 2)), bool)


@dataclass(frozen=True)
class ControlPointReference:
    """Reference of flat ground by a homography that is fitted to control points.

    Attributes:
        plane: local plane of the ground.
        fit: homography from pixels to the plane, with residuals.
        pixels: pixel x, y of each control point, (n, 2).
        description: kind and accuracy of the reference, for people.
        num_frames: None, because the reference holds for all frames.
        image_size: width and height of the images in pixels; None if unknown.
    """

    plane: LocalPlane
    fit: HomographyFit
    pixels: FloatArray
    description: str
    num_frames: None = None
    image_size: tuple[int, int] | None = None

    def locate(self, pixels: ArrayLike, frame_index: int = 0) -> FloatArray:
        """Return latitude and longitude of pixels, (n, 2); NaN above the horizon."""
        return self.plane.to_geographic(apply_homography(self.fit.matrix, pixels))

    def find_extrapolated(self, pixels: ArrayLike, frame_index: int = 0) -> NDArray[np.bool_]:
        """Return whether pixels are outside of the convex hull of the control points, (n,)."""
        points = np.asarray(pixels, np.float64).reshape(-1, 2)
        normals, offsets = self._hull[:, :2], self._hull[:, 2]
        return np.asarray((points @ normals.T + offsets > _HULL_TOLERANCE_PX).any(axis=1))

    @cached_property
    def _hull(self) -> FloatArray:
        """Sides of the convex hull: outward normal x, y and offset of each, (m, 3)."""
        from scipy.spatial import ConvexHull

        return np.asarray(ConvexHull(self.pixels).equations, np.float64)


@dataclass(frozen=True)
class FrameHomographies:
    """Homographies of all frames: to the pixels of the first frame, or to map coordinates.

    Attributes:
        matrices: homography of each frame, (frames, 3, 3).
        subject: file of the homographies, for messages.
    """

    matrices: FloatArray
    subject: str

    @property
    def num_frames(self) -> int | None:
        """Number of frames; None if the only homography holds for all frames."""
        return len(self.matrices) if len(self.matrices) > 1 else None

    def apply(self, pixels: ArrayLike, frame_index: int) -> FloatArray:
        """Map the pixels of a frame, (n, 2).

        Raises:
            GeographyError: the frame has no homography.
        """
        if self.num_frames is None:
            return apply_homography(self.matrices[0], pixels)
        if not 0 <= frame_index < len(self.matrices):
            raise GeographyError(
                f"{self.subject} must have a homography for each frame: got {len(self.matrices)}, but the "
                f"tracks reach frame {frame_index + 1}; add rows"
            )
        return apply_homography(self.matrices[frame_index], pixels)


@dataclass(frozen=True)
class StabilizedReference:
    """Reference of the first frame, with a homography from each frame to the first.

    Attributes:
        first: reference of the first frame.
        to_first: homographies from the pixels of each frame to the pixels of the first.
    """

    first: GeographicReference
    to_first: FrameHomographies

    @property
    def description(self) -> str:
        """Kind and accuracy of the reference, for people."""
        return f"{self.first.description}; {len(self.to_first.matrices)} frames stabilized to the first"

    @property
    def num_frames(self) -> int | None:
        """Number of stabilized frames."""
        return self.to_first.num_frames

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the images in pixels; None if unknown."""
        return self.first.image_size

    def locate(self, pixels: ArrayLike, frame_index: int = 0) -> FloatArray:
        """Return latitude and longitude of pixels, (n, 2)."""
        return self.first.locate(self.to_first.apply(pixels, frame_index))

    def find_extrapolated(self, pixels: ArrayLike, frame_index: int = 0) -> NDArray[np.bool_]:
        """Return whether pixels are outside of the control points of the first frame, (n,)."""
        return self.first.find_extrapolated(self.to_first.apply(pixels, frame_index))


@dataclass(frozen=True)
class HomographyReference:
    """Reference with a homography from each frame to map coordinates.

    Attributes:
        to_map: homographies from the pixels of each frame to map coordinates x, y.
        to_geographic: function from map coordinates to latitude and longitude.
        description: kind of the reference, for people.
        image_size: width and height of the images in pixels; None if unknown.
    """

    to_map: FrameHomographies
    to_geographic: ToGeographic
    description: str
    image_size: tuple[int, int] | None = None

    @property
    def num_frames(self) -> int | None:
        """Number of frames; None if the only homography holds for all frames."""
        return self.to_map.num_frames

    def locate(self, pixels: ArrayLike, frame_index: int = 0) -> FloatArray:
        """Return latitude and longitude of pixels, (n, 2); NaN above the horizon."""
        return _normalize(self.to_geographic(self.to_map.apply(pixels, frame_index)))

    def find_extrapolated(self, pixels: ArrayLike, frame_index: int = 0) -> NDArray[np.bool_]:
        """Return False for each pixel, (n,), because the control points are unknown."""
        return np.zeros(len(np.asarray(pixels).reshape(-1, 2)), bool)


class FrameMapReference:
    """Reference of a video whose images are maps of different places, as orthophotos of a flight.

    Args:
        read_georeference: function from the index of a frame to its map; None if the frame has no map.
        num_frames: number of frames.
        subject: name of the video, for messages.
    """

    def __init__(
        self, read_georeference: Callable[[int], GeoReference | None], num_frames: int, subject: str
    ) -> None:
        self._read_georeference = read_georeference
        self._subject = subject
        self._newest: tuple[int, MapReference | None] = (-1, None)
        self._converters: dict[str, ToGeographic] = {}
        self.num_frames = num_frames
        self.image_size: tuple[int, int] | None = None
        self.description = f"a map of each of {num_frames} images"

    def locate(self, pixels: ArrayLike, frame_index: int = 0) -> FloatArray:
        """Return latitude and longitude of pixels, (n, 2); NaN for a frame without a map."""
        points = np.asarray(pixels, np.float64).reshape(-1, 2)
        if self._newest[0] != frame_index:
            self._newest = (frame_index, self._make_reference(frame_index))
        reference = self._newest[1]
        return np.full(points.shape, np.nan) if reference is None else reference.locate(points)

    def find_extrapolated(self, pixels: ArrayLike, frame_index: int = 0) -> NDArray[np.bool_]:
        """Return False for each pixel, (n,), because the whole image is a map."""
        return np.zeros(len(np.asarray(pixels).reshape(-1, 2)), bool)

    def _make_reference(self, frame_index: int) -> MapReference | None:
        georeference = self._read_georeference(frame_index)
        if georeference is None or not georeference.crs:
            return None
        crs = georeference.crs
        if crs not in self._converters:
            self._converters[crs] = make_to_geographic(crs, self._subject)
        return MapReference(georeference, self._converters[crs], "map")


def check_image_size(reference: GeographicReference, image_size: tuple[int, int]) -> None:
    """Check that the images are of the size that a reference was made for.

    Args:
        reference: map from pixels to the Earth.
        image_size: width and height of the images in pixels.

    Raises:
        GeographyError: the sizes differ, so that all positions would be wrong.
    """
    expected = reference.image_size
    if expected is not None and tuple(image_size) != expected:
        raise GeographyError(
            f"size of the geographic reference must be that of the images: got {expected[0]} x "
            f"{expected[1]}, expected {image_size[0]} x {image_size[1]}; measure pixels in the tracked images"
        )


def make_map_reference(georeference: GeoReference, subject: str) -> MapReference:
    """Return the reference of an image with an affine map to coordinates.

    Args:
        georeference: affine map, and the coordinate reference system.
        subject: file of the map, for messages.

    Raises:
        GeographyError: the image is not on the Earth, or the coordinate reference system is unknown.
    """
    crs = " ".join(georeference.crs.split())
    to_geographic = make_to_geographic(georeference.crs, subject)
    corner = to_geographic(georeference.to_map(np.zeros((1, 2))))
    if not np.isfinite(corner).all():
        raise GeographyError(
            f"{subject}: the image must be on the map of {crs[:60]}; check the map and its crs"
        )
    check_geographic(corner, subject)
    return MapReference(georeference, to_geographic, f"map in {crs[:60]}")


def make_control_point_reference(
    pixels: ArrayLike, coordinates: ArrayLike, subject: str
) -> ControlPointReference:
    """Return the reference of flat ground by control points.

    Args:
        pixels: pixel x, y of each control point, (n, 2).
        coordinates: latitude and longitude of each control point, (n, 2).
        subject: file of the points, for messages.

    Raises:
        GeographyError: the points are not on the Earth, too far apart, fewer than four, on a line or
            mirrored.
    """
    points = check_geographic(coordinates, subject)
    corners = np.asarray(pixels, np.float64).reshape(-1, 2)
    if not len(points):
        raise GeographyError(f"{subject}: at least 4 control points are needed: got none; add points")
    longitudes = points[0, 1] + wrap_longitude(points[:, 1] - points[0, 1])
    plane = LocalPlane(points[:, 0].mean(), float(wrap_longitude(longitudes.mean())))
    ground = plane.from_geographic(points)
    extent_m = np.linalg.norm(ground, axis=1).max()
    if not extent_m <= _MAX_EXTENT_M:
        raise GeographyError(
            f"{subject}: control points must be within {_MAX_EXTENT_M / 1000:g} km of their center; "
            "check latitude and longitude"
        )
    fit = fit_homography(corners, ground, subject)
    return ControlPointReference(plane, fit, corners, _describe_fit(fit))


def _describe_fit(fit: HomographyFit) -> str:
    count = len(fit.residuals_px)
    if not fit.is_overdetermined:
        return f"{count} control points, whose accuracy is unknown: a fifth point would measure it"
    worst = int(np.argmax(fit.residuals_px))
    return (
        f"{count} control points, residual {fit.rms_px:.2f} px rms; the worst is point {worst + 1}: "
        f"{fit.residuals_px[worst]:.2f} px, {fit.residuals_m[worst]:.3g} m"
    )


def _normalize(coordinates: FloatArray) -> FloatArray:
    """Return coordinates with longitudes within -180 to 180; NaN for positions that are not on the Earth."""
    latitudes, longitudes = np.asarray(coordinates, np.float64).reshape(-1, 2).T
    is_valid = np.abs(latitudes) <= 90
    normalized = np.stack([latitudes, wrap_longitude(longitudes)], axis=1)
    return np.where(is_valid[:, None], normalized, np.nan)
