"""Speeds in meters per second and sizes in meters of tracks, by the size of a pixel on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, ScoredBoxes, compute_centers
from tracking_runtime.geography.live_motion import VelocityEstimator
from tracking_runtime.geography.local_plane import LocalPlane
from tracking_runtime.geography.reference import GeographicReference, check_image_size

FloatArray = NDArray[np.float64]

MAX_GROUND_SAMPLE_DISTANCE_M = 10_000.0  # per pixel
_SPEED_WINDOW_S = 1.0  # of the regression over positions, for trackers without velocities
_STEP_PX = 1.0  # along which a geographic reference is differentiated


class GroundScale(Protocol):
    """Map from pixels to meters on the ground."""

    def to_meters(self, pixels: FloatArray, frame_index: int) -> FloatArray:
        """Return positions in meters from a fixed origin, (n, 2); NaN where no ground is seen.

        Args:
            pixels: pixel x, y, (n, 2).
            frame_index: number of the frame, from 0.

        Raises:
            GeographyError: the frame is not covered.
        """

    def check_image_size(self, image_size: tuple[int, int]) -> None:
        """Raise a GeographyError if images of this width and height have another scale."""


@dataclass(frozen=True)
class ConstantScale:
    """Pixels of one size.

    Attributes:
        meters_per_pixel: ground sample distance in meters per pixel.
    """

    meters_per_pixel: float

    def to_meters(self, pixels: FloatArray, frame_index: int) -> FloatArray:
        """Return positions in meters from pixel 0, 0, (n, 2): the pixels times their size."""
        return pixels * self.meters_per_pixel

    def check_image_size(self, image_size: tuple[int, int]) -> None:
        """Accept any size."""


class GeographicScale:
    """Pixels whose size follows from a geographic reference.

    Args:
        reference: map from pixels to the Earth.
    """

    def __init__(self, reference: GeographicReference) -> None:
        self._reference = reference
        self._plane: LocalPlane | None = None

    def to_meters(self, pixels: FloatArray, frame_index: int) -> FloatArray:
        """Return meters east and north of the first located pixel; see `GroundScale.to_meters`."""
        coordinates = self._reference.locate(pixels, frame_index)
        is_located = np.isfinite(coordinates).all(axis=1)
        if self._plane is None:
            if not is_located.any():
                return np.full(coordinates.shape, np.nan)
            self._plane = LocalPlane(*coordinates[is_located][0].tolist())
        return self._plane.from_geographic(coordinates)

    def check_image_size(self, image_size: tuple[int, int]) -> None:
        """Raise a GeographyError if the reference was made for images of another size."""
        check_image_size(self._reference, image_size)


@dataclass(frozen=True)
class GroundMeasures:
    """Speeds and sizes of the tracks of a frame on the ground; NaN where unknown.

    Attributes:
        speeds_m_s: speed of each track in m/s, (n,).
        lengths_m: longer side of each box in meters, (n,).
        widths_m: shorter side of each box in meters, (n,).
    """

    speeds_m_s: FloatArray
    lengths_m: FloatArray
    widths_m: FloatArray

    @classmethod
    def unknown(cls, num_tracks: int) -> GroundMeasures:
        """Return measures that are all unknown."""
        return cls(*np.full((3, num_tracks), np.nan))


class GroundMeter:
    """Measurement of tracks on the ground, one frame at a time.

    The speed is that of the tracker over the ground. For a tracker without velocities it is the slope of the
    positions in the last second, which contains the motion of the camera if the pixels have one size.

    Args:
        scale: map from pixels to meters.
    """

    def __init__(self, scale: GroundScale) -> None:
        self._scale = scale
        self._estimator = VelocityEstimator(_SPEED_WINDOW_S)

    def measure(
        self, frame_index: int, stamp_ns: int, tracks: ScoredBoxes, image_size: tuple[int, int]
    ) -> GroundMeasures:
        """Return the measures of the tracks of the next frame.

        Args:
            frame_index: number of the frame, from 0.
            stamp_ns: stamp of the frame in nanoseconds.
            tracks: tracks of the frame.
            image_size: width and height of the frame in pixels.

        Raises:
            GeographyError: the scale does not cover the frame, or is that of another size.
        """
        self._scale.check_image_size(image_size)
        centers = compute_centers(tracks.boxes)
        sides = np.stack([self._measure_sides(tracks.boxes, axis, frame_index) for axis in (0, 1)])
        if tracks.velocities is None:
            positions = self._scale.to_meters(centers, frame_index)
            velocities = self._estimator.update(stamp_ns, tracks.ids, positions).velocities
            speeds = np.linalg.norm(velocities, axis=1)
        else:
            speeds = self._convert_speeds(centers, tracks.velocities, frame_index)
        return GroundMeasures(speeds, sides.max(axis=0), sides.min(axis=0))

    def _measure_sides(self, boxes: Boxes, axis: int, frame_index: int) -> FloatArray:
        """Return the length of the line through each box's center along an axis, in meters."""
        half = np.zeros((len(boxes), 2))
        half[:, axis] = boxes[:, 2 + axis] / 2
        centers = compute_centers(boxes)
        first, last = (self._scale.to_meters(centers + sign * half, frame_index) for sign in (-1, 1))
        return np.linalg.norm(last - first, axis=1)

    def _convert_speeds(self, centers: FloatArray, velocities: FloatArray, frame_index: int) -> FloatArray:
        """Convert velocities in pixels per second to speeds in m/s."""
        speeds_px = np.linalg.norm(velocities, axis=1)
        half_steps = _STEP_PX / 2 * velocities / np.maximum(speeds_px, np.finfo(np.float64).tiny)[:, None]
        first, last = (self._scale.to_meters(centers + sign * half_steps, frame_index) for sign in (-1, 1))
        return speeds_px * np.linalg.norm(last - first, axis=1) / _STEP_PX
