"""Rays of calibrated cameras, and their intersection with flat ground.

The optical frame has x to the right, y down and z ahead, as in ROS (REP 103). Calibrations of OpenCV and ROS
place the center of the first pixel at (0, 0); boxes place it at (0.5, 0.5). The conversion is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.geography.errors import GeographyError

FloatArray = NDArray[np.float64]

PINHOLE_MODELS = ("plumb_bob", "rational_polynomial")
FISHEYE_MODEL = "equidistant"
_MAX_UNDISTORTION_ERROR_PX = 0.1
_NUM_NEWTON_STEPS = 4
_DIRECTION_STEP = 1e-5  # step of the numeric derivative by the direction


@dataclass(frozen=True)
class CameraModel:
    """Calibration of a camera.

    Attributes:
        matrix: intrinsics, (3, 3), in pixels of the full sensor, pixel centers at integers.
        distortion: coefficients of the distortion model, (k,); empty without distortion.
        model: `plumb_bob`, `rational_polynomial` or `equidistant` (fisheye).
        size: width and height of the images in pixels of the sensor, before binning.
        offset: column and row of the images' corner on the sensor in pixels.
        binning: columns and rows of the sensor in one pixel of the image.
    """

    matrix: FloatArray
    distortion: FloatArray
    model: str
    size: tuple[int, int]
    offset: tuple[int, int] = (0, 0)
    binning: tuple[int, int] = (1, 1)

    def compute_rays(self, pixels: ArrayLike, image_size: tuple[int, int]) -> FloatArray:
        """Return the direction of each pixel in the optical frame, (n, 3), with z = 1.

        Directions are NaN where the distortion model has no inverse.

        Args:
            pixels: pixel x, y of an image of `image_size`, (n, 2), pixel centers at integers + 0.5.
            image_size: width and height of the image. The cube of a mosaic is smaller than the sensor by a
                whole factor.

        Raises:
            GeographyError: the size does not fit the calibration.
        """
        points = np.asarray(pixels, np.float64).reshape(-1, 2) * self._find_scale(image_size)
        sensor = points * self.binning + self.offset - 0.5
        directions = self._undistort(sensor)
        return np.column_stack([directions, np.ones(len(directions))])

    def _find_scale(self, image_size: tuple[int, int]) -> int:
        """Return the number of rows and columns of the calibrated image in one pixel of an image."""
        width, height = (full // binned for full, binned in zip(self.size, self.binning, strict=True))
        scale = max(round(width / max(image_size[0], 1)), 1)
        if (width // scale, height // scale) != tuple(image_size):
            raise GeographyError(
                f"camera_info must be of the tracked images: got {width} x {height}, expected "
                f"{image_size[0]} x {image_size[1]} or a whole multiple; remap camera_info"
            )
        return scale

    def _undistort(self, sensor: FloatArray) -> FloatArray:
        """Return x / z and y / z of the rays of sensor pixels, (n, 2)."""
        if not len(sensor):
            return np.zeros((0, 2))
        if not self.distortion.any():
            return ((sensor - self.matrix[:2, 2]) @ np.linalg.inv(self.matrix[:2, :2]).T).reshape(-1, 2)
        import cv2

        undistort = cv2.fisheye.undistortPoints if self.model == FISHEYE_MODEL else cv2.undistortPoints
        start = undistort(sensor[:, None], self.matrix, self.distortion)
        directions = self._refine_directions(np.asarray(start, np.float64).reshape(-1, 2), sensor)
        errors_px = np.linalg.norm(self._distort(directions) - sensor, axis=1)
        return np.where((errors_px < _MAX_UNDISTORTION_ERROR_PX)[:, None], directions, np.nan)

    def _refine_directions(self, directions: FloatArray, sensor: FloatArray) -> FloatArray:
        """Reduce the reprojection error of ray directions by Newton steps.

        Args:
            directions: x / z and y / z of the rays, (n, 2). Where the derivative is singular, they stay.
            sensor: pixel x, y of the rays, (n, 2).
        """
        steps = np.eye(2) * _DIRECTION_STEP
        for _ in range(_NUM_NEWTON_STEPS):
            errors = self._distort(directions) - sensor
            derivatives = np.stack(
                [
                    (self._distort(directions + step) - self._distort(directions - step))
                    / (2 * _DIRECTION_STEP)
                    for step in steps
                ],
                axis=2,
            )
            is_regular = np.abs(np.linalg.det(derivatives)) > 1.0
            derivatives = np.where(is_regular[:, None, None], derivatives, np.eye(2))
            corrections = np.linalg.solve(derivatives, errors[..., None])[..., 0]
            directions = directions - np.where(is_regular[:, None], corrections, 0)
        return directions

    def _distort(self, directions: FloatArray) -> FloatArray:
        """Return the sensor pixels of rays, (n, 2)."""
        import cv2

        if self.model == FISHEYE_MODEL:
            distorted = cv2.fisheye.distortPoints(directions[:, None], self.matrix, self.distortion)
        else:
            rays = np.column_stack([directions, np.ones(len(directions))])
            distorted, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), self.matrix, self.distortion)
        return np.asarray(distorted, np.float64).reshape(-1, 2)


def read_camera_info(message: Any, *, is_rectified: bool = False) -> CameraModel:
    """Read a sensor_msgs/CameraInfo.

    Args:
        message: the message, from rclpy or from a recording.
        is_rectified: the images are rectified: use the projection matrix, without distortion.

    Raises:
        GeographyError: the camera is not calibrated, or its distortion model is unknown.
    """
    matrix = np.array(message.p if is_rectified else message.k, np.float64)
    matrix = matrix.reshape(3, -1)[:, :3]
    if not np.isfinite(matrix).all() or not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        name = "p" if is_rectified else "k"
        raise GeographyError(f"camera_info must have the calibration {name}: got zeros; calibrate the camera")
    if not abs(np.linalg.det(matrix[:2, :2])) > 0:
        values = matrix[:2, :2].tolist()
        raise GeographyError(
            f"camera_info must have an invertible calibration: got {values}; calibrate the camera"
        )
    distortion = np.zeros(0) if is_rectified else np.array(message.d, np.float64)
    model = str(message.distortion_model) or PINHOLE_MODELS[0]
    if distortion.any() and model not in (*PINHOLE_MODELS, FISHEYE_MODEL):
        raise GeographyError(
            f"distortion_model of camera_info must be {', '.join(PINHOLE_MODELS)} or {FISHEYE_MODEL}: "
            f"got {model}; rectify the images and set rectified"
        )
    counts = (4,) if model == FISHEYE_MODEL else (4, 5, 8, 12, 14)
    if not np.isfinite(distortion).all() or (distortion.any() and len(distortion) not in counts):
        raise GeographyError(
            f"d of camera_info must be {' or '.join(map(str, counts))} finite numbers: got {len(distortion)}"
        )
    roi = message.roi
    return CameraModel(
        matrix=matrix,
        distortion=distortion,
        model=model,
        size=(int(roi.width or message.width), int(roi.height or message.height)),
        offset=(int(roi.x_offset), int(roi.y_offset)),
        binning=(max(int(message.binning_x), 1), max(int(message.binning_y), 1)),
    )


def intersect_ground(
    rays: ArrayLike, rotation: ArrayLike, position: ArrayLike, plane_z: float, max_range_m: float
) -> FloatArray:
    """Return the points x, y, z where rays meet a horizontal plane, (n, 3); NaN where they do not.

    Args:
        rays: directions in the optical frame, (n, 3).
        rotation: rotation from the optical frame to the map frame, (3, 3).
        position: position of the camera in the map frame in meters, (3,).
        plane_z: height of the plane in the map frame in meters.
        max_range_m: largest distance from the camera in meters. Points farther away, near the horizon, are
            NaN.
    """
    origin = np.asarray(position, np.float64)
    directions = np.asarray(rays, np.float64).reshape(-1, 3) @ np.asarray(rotation, np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = (plane_z - origin[2]) / directions[:, 2]
        points = origin + distances[:, None] * directions
        is_ahead = (distances > 0) & (np.linalg.norm(points - origin, axis=1) <= max_range_m)
    points[:, 2] = plane_z
    return np.where(is_ahead[:, None], points, np.nan)
