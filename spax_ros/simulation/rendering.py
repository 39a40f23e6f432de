"""Rendering of movers and landscape: shapes, weather, optics and sensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.simulation.landscape import Building
from spax_ros.simulation.noise_fields import (
    Image,
    Points,
    compute_convex_hull,
    fill_polygon,
    make_noise_field,
)
from spax_ros.simulation.traffic import ObjectClass

Array = NDArray[np.float64]
Shape = Callable[
    [Array, Array, float, float], tuple[Array, Array]
]  # along, across, length, width: cover, tone


@dataclass(frozen=True)
class ImagingSensor:
    """The optics and electronics of the camera.

    Attributes:
        blur: standard deviation of the point spread function in pixels.
        read_noise: standard deviation in digital numbers.
        shot_noise: variance per digital number.
        noise_blur: correlation length of the noise in pixels (resampled video); 0: white noise.
        pattern: standard deviation of the fixed pattern in digital numbers.
        gain: contrast.
        offset: haze in digital numbers.
        flicker: amplitude of slow changes of brightness, as a fraction.
        jpeg_quality: JPEG quality; None: no compression.
    """

    blur: float
    read_noise: float
    shot_noise: float
    noise_blur: float
    pattern: float
    gain: float
    offset: float
    flicker: float
    jpeg_quality: int | None


def make_random_sensor(rng: np.random.Generator) -> ImagingSensor:
    """Return a random sensor and its processing, from clean to worse than real clips."""
    haze = rng.choice([rng.uniform(0, 10), rng.uniform(10, 60)], p=[0.7, 0.3])
    gain = float(rng.uniform(0.9, 1.5) * (1 - haze / 150))
    return ImagingSensor(
        blur=rng.uniform(0.5, 0.95),
        read_noise=rng.uniform(0.5, 3.0),
        shot_noise=rng.uniform(0.005, 0.06),
        noise_blur=float(rng.choice([0.0, rng.uniform(0.5, 1.0)])),
        pattern=rng.uniform(0, 1.0),
        gain=gain,
        offset=float(haze - (gain - 1) * rng.uniform(40, 110)),
        flicker=rng.uniform(0, 0.03),
        jpeg_quality=int(rng.integers(78, 98)) if rng.random() < 0.6 else None,
    )


def make_noisy_sensor(rng: np.random.Generator) -> ImagingSensor:
    """Return a random sensor whose noise is white and has one standard deviation everywhere."""
    return ImagingSensor(
        blur=rng.uniform(0.5, 0.95),
        read_noise=rng.uniform(2.0, 4.0),
        shot_noise=0.0,
        noise_blur=0.0,
        pattern=0.0,
        gain=1.0,
        offset=0.0,
        flicker=rng.uniform(0, 0.01),
        jpeg_quality=None,
    )


class Exposure:
    """The conversion of a scene's radiance to an image. The noise depends only on the frame number."""

    _POOL_MARGIN = 96

    def __init__(self, rng: np.random.Generator, sensor: ImagingSensor, size: tuple[int, int]) -> None:
        self._sensor = sensor
        self._size = size
        width, height = size
        shape = (height + self._POOL_MARGIN, width + self._POOL_MARGIN, 3)
        noise: NDArray[Any] = rng.standard_normal(shape, dtype=np.float32)
        noise[..., 1:] = 0.6 * noise[..., :1] + 0.8 * noise[..., 1:]
        if sensor.noise_blur:
            noise = cv2.GaussianBlur(noise, (0, 0), sensor.noise_blur)
            noise = noise / noise.std()
        self._noise = noise
        columns = rng.normal(0, sensor.pattern, (1, width, 1))
        self._pattern = (columns + rng.normal(0, sensor.pattern, (height, width, 1))).astype(np.float32)
        self._phase = rng.uniform(0, 2 * np.pi)
        self._frequency = 2 * np.pi / rng.uniform(60, 400)

    def __call__(self, radiance: Image, frame: int, rng: np.random.Generator) -> Image:
        sensor = self._sensor
        gain = sensor.gain * (1 + sensor.flicker * np.sin(self._frequency * frame + self._phase))
        levels = np.clip(np.arange(256) * gain + sensor.offset, 0, 255)
        spread = np.sqrt(sensor.read_noise**2 + sensor.shot_noise * levels).astype(np.float32)
        blurred = cv2.GaussianBlur(radiance, (0, 0), sensor.blur)
        width, height = self._size
        row, column = rng.integers(self._POOL_MARGIN, size=2)
        noise = self._noise[row : row + height, column : column + width]
        noise = noise[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        disturbance = cv2.multiply(cv2.LUT(blurred, spread), np.ascontiguousarray(noise))
        signal = cv2.add(cv2.LUT(blurred, levels.astype(np.float32)), disturbance)
        image: Image = cv2.convertScaleAbs(np.maximum(signal + self._pattern, 0))
        if sensor.jpeg_quality is not None:
            _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality])
            decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
            assert decoded is not None
            return decoded
        return image


class VideoCodec:
    """Blocks of a video encoder, coarse between key frames. They change with every frame."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._interval = int(rng.integers(8, 16))  # frames from one key frame to the next
        self._key_quality = int(rng.integers(80, 95))  # of JPEG
        self._quality = int(rng.integers(25, 55))

    def __call__(self, image: Image, index: int) -> Image:
        quality = self._quality if index % self._interval else self._key_quality
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded


class Clouds:
    """A layer of clouds that moves over the scene."""

    _COARSE = 4

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], frames: int) -> None:
        self._size = size
        wind = rng.uniform(0.3, 2.5)
        angle = rng.uniform(0, 2 * np.pi)
        self._wind = wind * np.array([np.cos(angle), np.sin(angle)])
        travel = min(wind * frames, 600) + 8
        self._travel = travel
        width, height = size
        shape = (int((height + travel) / self._COARSE) + 3, int((width + travel) / self._COARSE) + 3)
        field = make_noise_field(rng, shape, 200 / self._COARSE, 5)
        cover = rng.uniform(1.0, 2.2)
        self._opacity = np.clip((field - cover) * rng.uniform(0.6, 1.6), 0, rng.uniform(0.5, 1.0)).astype(
            np.float32
        )
        self._brightness = float(rng.uniform(200, 250))

    def compute_opacity(self, frame: int) -> NDArray[Any]:
        """Return the fraction of light from the ground that is lost, `(height, width)` in 0..1."""
        start = np.where(self._wind < 0, self._travel, 0)
        shift = (start + np.fmod(self._wind * frame, self._travel)) / self._COARSE
        to_sheet = np.array([[1 / self._COARSE, 0, shift[0]], [0, 1 / self._COARSE, shift[1]]])
        return cv2.warpAffine(
            self._opacity, to_sheet, self._size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )

    def cover(self, radiance: Image, opacity: NDArray[np.float32]) -> Image:
        opaque = cv2.cvtColor(opacity, cv2.COLOR_GRAY2BGR)
        ground = cv2.multiply(radiance, 1 - opaque, dtype=cv2.CV_32F)
        return cv2.convertScaleAbs(cv2.scaleAdd(opaque, self._brightness, ground))


def draw_building(image: Image, hidden: Image, building: Building, foot: Points, rise: Points) -> None:
    """Draw a building whose top is shifted by `rise` pixels, and mark the pixels that it hides."""
    top = foot + rise
    outline = compute_convex_hull(np.concatenate([foot, top]))
    fill_polygon(image, outline, building.wall)
    fill_polygon(image, top, building.roof)
    middle = top.mean(axis=0)
    fill_polygon(
        image, middle + 0.35 * (top - middle) + 0.3 * (top[0] - middle), tuple(0.8 * c for c in building.roof)
    )
    fill_polygon(
        image, middle + 0.2 * (top - middle) + 0.4 * (top[2] - middle), tuple(0.65 * c for c in building.roof)
    )
    fill_polygon(hidden, outline, (255,))


def draw_rigid_body(
    image: Image,
    object_class: ObjectClass,
    position: Points,
    heading: float,
    length: float,
    width: float,
    color: Array,
) -> None:
    """Blend a rigid body into the image, antialiased, with subpixel position."""
    _blend(image, _SHAPES[object_class], position, heading, length, width, color)


def draw_contrast(
    image: Image,
    object_class: ObjectClass,
    position: Points,
    heading: float,
    length: float,
    width: float,
    contrast: float,
) -> None:
    """Add a rigid body of one contrast, in gray levels, to what is under it."""
    window = _find_window(image, position, length, width)
    if window is None:
        return
    cover, _ = _compute_shape(_SHAPES[object_class], window, position, heading, length, width)
    patch = image[window]
    patch[:] = np.clip(patch + contrast * cover[..., None] + 0.5, 0, 255).astype(np.uint8)


def draw_wake(
    image: Image, position: Points, heading: float, length: float, width: float, speed: float
) -> None:
    """Blend the wake of a ship into the water."""
    trail = length * (0.6 + 1.2 * speed)
    center = position - 0.5 * (length + trail) * np.array([np.cos(heading), np.sin(heading)])
    _blend(image, _foam, center, heading, trail, width * 1.3, np.full(3, 165.0))


def _blend(
    image: Image, shape: Shape, place: Points, heading: float, length: float, width: float, color: Array
) -> None:
    window = _find_window(image, place, length, width)
    if window is None:
        return
    cover, tone = _compute_shape(shape, window, place, heading, length, width)
    patch = image[window]
    painted = patch + cover[..., None] * (tone[..., None] * color - patch)
    patch[:] = np.clip(painted + 0.5, 0, 255).astype(np.uint8)


def _find_window(image: Image, place: Points, length: float, width: float) -> tuple[slice, slice] | None:
    """Return the rows and columns around a body; None if they are outside of the image."""
    reach = int(np.ceil(np.hypot(length, width) / 2 + 2))
    column, row = int(np.floor(place[0])) - reach, int(np.floor(place[1])) - reach
    left, top = max(column, 0), max(row, 0)
    right, bottom = min(column + 2 * reach + 1, image.shape[1]), min(row + 2 * reach + 1, image.shape[0])
    return None if left >= right or top >= bottom else (slice(top, bottom), slice(left, right))


def _compute_shape(
    shape: Shape, window: tuple[slice, slice], place: Points, heading: float, length: float, width: float
) -> tuple[Array, Array]:
    """Return cover and tone of a body in the pixels of a window."""
    rows, columns = window
    x = np.arange(columns.start, columns.stop) + 0.5 - place[0]
    y = (np.arange(rows.start, rows.stop) + 0.5 - place[1])[:, None]
    cosine, sine = np.cos(heading), np.sin(heading)
    along, across = cosine * x + sine * y, cosine * y - sine * x
    return shape(along, across, length, width)


def _compute_coverage(excess: Array) -> Array:
    """Return the covered fraction of a pixel from the distance of its center beyond an edge."""
    return np.clip(0.5 - excess, 0.0, 1.0)


def _vehicle(along: Array, across: Array, length: float, width: float) -> tuple[Array, Array]:
    cover = _compute_coverage(np.abs(along) - length / 2) * _compute_coverage(np.abs(across) - width / 2)
    windscreen = _compute_coverage(np.abs(along - 0.18 * length) - 0.07 * length)
    return cover, 1 - 0.45 * windscreen


def _ship(along: Array, across: Array, length: float, width: float) -> tuple[Array, Array]:
    bow = np.clip(along / (length / 2), 0, 1)
    half = width / 2 * (1 - bow**2)
    cover = _compute_coverage(np.abs(along) - length / 2) * _compute_coverage(np.abs(across) - half)
    bridge = _compute_coverage(np.abs(along + 0.25 * length) - 0.1 * length)
    return cover, 0.85 + 0.15 * bridge


def _aeroplane(along: Array, across: Array, length: float, span: float) -> tuple[Array, Array]:
    fuselage = _compute_coverage(np.abs(along) - length / 2) * _compute_coverage(
        np.abs(across) - length * 0.06
    )
    swept = along + 0.5 * np.abs(across) - 0.12 * length
    wings = _compute_coverage(np.abs(swept) - 0.07 * length) * _compute_coverage(np.abs(across) - span / 2)
    tail = _compute_coverage(np.abs(along + 0.43 * length) - 0.05 * length) * _compute_coverage(
        np.abs(across) - span * 0.17
    )
    return np.maximum(np.maximum(fuselage, wings), tail), np.ones_like(fuselage)


def _carriage(along: Array, across: Array, length: float, width: float) -> tuple[Array, Array]:
    cover = _compute_coverage(np.abs(along) - length / 2) * _compute_coverage(np.abs(across) - width / 2)
    return cover, np.ones_like(cover)


def _foam(along: Array, across: Array, length: float, width: float) -> tuple[Array, Array]:
    ahead = np.clip(along / length + 0.5, 0, 1)
    spread = width / 2 * (1.6 - ahead)
    ends, sides = (
        _compute_coverage(np.abs(along) - length / 2),
        _compute_coverage((np.abs(across) - spread) / 2),
    )
    cover = 0.7 * ahead**1.5 * ends * sides
    return cover, np.ones_like(cover)


_SHAPES: dict[ObjectClass, Shape] = {
    ObjectClass.CAR: _vehicle,
    ObjectClass.AIRPLANE: _aeroplane,
    ObjectClass.SHIP: _ship,
    ObjectClass.TRAIN: _carriage,
}
