"""Disturbances of satellite video that change between frames and are no objects.

Glint, waves, wakes, smoke, moving shadows and the seams of pushframe sensors look like motion to a detector.
None of them is in the ground truth. Each depends only on the seed and the frame's index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.simulation.noise_fields import Image, Points, make_noise_field
from spax_ros.transforms import transform_points, warp_image

Array = NDArray[np.float64]

_GLINTS_PER_MEGAPIXEL = 250  # of water; flashes that begin in a frame times their mean duration
_GLINT_FRAMES = 3.0  # mean duration of a flash
_BUOYS_PER_MEGAPIXEL = 60  # of water; places that flash again and again
_BUOY_RATE = 0.25  # fraction of the frames in which a place flashes
_FACADES_PER_BUILDING = 0.4  # places on tall buildings that reflect the sun for some frames
_FACADE_FRAMES = (4, 30)  # duration of a reflection
_WAVE_TEXTURE_PX = 256
_WAVE_LEVELS = (1.5, 5.0)  # standard deviation of the waves' brightness, in gray levels
_WAVE_SPEEDS = (0.2, 1.0)  # pixels a frame
_SHADOW_DEPTHS = (0.04, 0.15)  # fraction of the light that a moving shadow takes
_SHADOW_SPEEDS = (0.5, 2.5)  # pixels a frame
_PUFFS = 40  # of a plume of smoke
_TRAIL_FRAMES = range(4, 46, 3)  # ages of the foam that a ship leaves behind
_TRAIL_DECAY_FRAMES = 15.0
_TRAIL_LEVEL = 22.0  # brightness of fresh foam, in gray levels
_SEAM_GAINS = (0.004, 0.02)  # standard deviation of the strips' gains


@dataclass(frozen=True)
class _Flashes:
    """Flashes of light at places on the ground.

    Attributes:
        places: position of each flash on the ground map, ``(n, 2)``.
        first: index of its first frame, ``(n,)``.
        last: index of its last frame, ``(n,)``.
        drift: motion in pixels a frame, ``(n, 2)``.
        level: brightness that the flash adds, in gray levels, ``(n,)``.
        spread: standard deviation of its spot in pixels, ``(n,)``.
    """

    places: Points
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    drift: Points
    level: Array
    spread: Array


class Disturbances:
    """Disturbances of one scene.

    Args:
        seed: seed of the random numbers.
        water: 255 on water of the ground map, ``(rows, columns)``.
        building_tops: center of each tall building on the ground map, ``(n, 2)``.
        ship_paths: positions of each ship on the ground map, ``(frames, 2)`` each; NaN while it is absent.
        frames: number of frames.
        size: image width and height.
    """

    def __init__(
        self,
        seed: int,
        water: Image,
        building_tops: Points,
        ship_paths: Sequence[Points],
        frames: int,
        size: tuple[int, int],
    ) -> None:
        rng = np.random.default_rng((seed, 1))
        self._size = size
        self._water = water
        self._ship_paths = ship_paths
        self._foam = rng.uniform(0.2, 1.0, (len(ship_paths), frames))
        self._flashes = [
            _make_water_flashes(rng, water, frames),
            _make_recurring_flashes(rng, water, frames),
            _make_facade_flashes(rng, building_tops, frames),
        ]
        self._waves = [_make_wave_texture(rng) for _ in range(2)]
        self._wave_level = float(rng.uniform(*_WAVE_LEVELS))
        self._shadow = _TravellingField(rng, size, float(rng.uniform(*_SHADOW_SPEEDS)))
        self._shadow_depth = float(rng.uniform(*_SHADOW_DEPTHS))
        self._plume = _Plume(rng, water.shape)
        strips = int(rng.integers(2, 6))
        gains = 1 + rng.normal(0, rng.uniform(*_SEAM_GAINS), strips)
        self._row_gain = np.repeat(gains, -(-size[1] // strips))[: size[1]].astype(np.float32)

    def draw(self, radiance: Image, index: int, to_image: Array) -> Image:
        """Return the radiance ``(height, width, 3)`` of a frame with all disturbances.

        Args:
            radiance: radiance of the frame without disturbances.
            index: index of the frame.
            to_image: homography ``(3, 3)`` from the ground map to the image.
        """
        light = radiance.astype(np.float32)
        light += self._draw_waves(index, to_image)[..., None]
        self._draw_trails(light, index, to_image)
        light *= (1 - self._shadow_depth * self._shadow.compute(index))[..., None]
        opacity = self._plume.compute_opacity(index, to_image, self._size)
        light += opacity[..., None] * (self._plume.level - light)
        for flashes in self._flashes:
            _add_flashes(light, flashes, index, to_image)
        light *= self._row_gain[:, None, None]
        return cv2.convertScaleAbs(np.maximum(light, 0))

    def _draw_waves(self, index: int, to_image: Array) -> NDArray[np.float32]:
        """Return the brightness that waves add, ``(height, width)``; 0 on land."""
        water = warp_image(self._water, to_image, self._size)
        if not water.any():
            return np.zeros(self._size[::-1], np.float32)
        height = sum(_shift_texture(texture, velocity, index) for texture, velocity in self._waves)
        rows, columns = (-(-side // _WAVE_TEXTURE_PX) for side in self._size[::-1])
        tiled = np.tile(height, (rows, columns))[: self._size[1], : self._size[0]]
        return (tiled * (self._wave_level / np.sqrt(2)) * (water / 255.0)).astype(np.float32)

    def _draw_trails(self, light: NDArray[np.float32], index: int, to_image: Array) -> None:
        """Add the foam that stays on the water behind each ship and fades."""
        for path, foam in zip(self._ship_paths, self._foam, strict=True):
            for age in _TRAIL_FRAMES:
                born = index - age
                if born < 0 or not np.isfinite(path[born]).all():
                    continue
                place = transform_points(path[born], to_image)
                level = _TRAIL_LEVEL * foam[born] * np.exp(-age / _TRAIL_DECAY_FRAMES)
                _add_spot(light, place, 1.2 + 0.05 * age, float(level))


class _TravellingField:
    """Smooth field of values from 0 to 1 that moves over the image."""

    _COARSE = 8  # pixels per sample

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], speed: float) -> None:
        self._size = size
        side = 2 * max(size) // self._COARSE + 4
        field = make_noise_field(rng, (side, side), side / 6, 3)
        self._values = np.clip(field, 0, 1).astype(np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        self._velocity = speed * np.array([np.cos(angle), np.sin(angle)])

    def compute(self, index: int) -> NDArray[np.float32]:
        travel = np.abs(np.remainder(self._velocity * index / max(self._size) + 1, 2) - 1) * max(self._size)
        transform = np.array(
            [[1 / self._COARSE, 0, travel[0] / self._COARSE], [0, 1 / self._COARSE, travel[1] / self._COARSE]]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(self._values, transform, self._size, flags=flags), np.float32)


class _Plume:
    """Plume of smoke: puffs that leave a chimney, drift, grow and fade.

    Attributes:
        level: gray level of the smoke.
    """

    def __init__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
        self._source = rng.uniform(0.2, 0.8, 2) * [shape[1], shape[0]]
        angle = rng.uniform(0, 2 * np.pi)
        self._wind = rng.uniform(0.3, 1.2) * np.array([np.cos(angle), np.sin(angle)])
        self._phase = rng.uniform(0, 1, _PUFFS)
        self._wander = rng.normal(0, 0.15, (_PUFFS, 2))
        self._density = float(rng.uniform(0.15, 0.5))
        self._life = float(rng.uniform(60, 150))
        self.level = float(rng.uniform(120, 220))

    def compute_opacity(self, index: int, to_image: Array, size: tuple[int, int]) -> NDArray[np.float32]:
        opacity = np.zeros(size[::-1], np.float32)
        ages = np.remainder(self._phase + index / self._life, 1) * self._life
        for age, wander in zip(ages, self._wander, strict=True):
            place = transform_points(self._source + (self._wind + wander) * age, to_image)
            spread = 1.5 + 0.08 * age
            strength = self._density * (1 - age / self._life)
            _add_spot(opacity, place, spread, strength)
        return np.minimum(opacity, 0.8)


def _make_wave_texture(rng: np.random.Generator) -> tuple[NDArray[np.float32], Array]:
    """Return a periodic texture of unit spread, and its velocity in pixels a frame."""
    noise = rng.standard_normal((_WAVE_TEXTURE_PX, _WAVE_TEXTURE_PX))
    rows, columns = np.meshgrid(*[np.fft.fftfreq(_WAVE_TEXTURE_PX)] * 2, indexing="ij")
    angle, wavelength = rng.uniform(0, 2 * np.pi), rng.uniform(6, 25)
    distance = np.hypot(
        columns - np.cos(angle) / wavelength, rows - np.sin(angle) / wavelength
    )  # from the swell's own frequency
    spectrum = np.fft.fft2(noise) * np.exp(-((distance / 0.04) ** 2))
    texture = np.fft.ifft2(spectrum).real
    velocity = rng.uniform(*_WAVE_SPEEDS) * np.array([np.cos(angle), np.sin(angle)])
    return (texture / texture.std()).astype(np.float32), velocity


def _shift_texture(texture: NDArray[np.float32], velocity: Array, index: int) -> NDArray[np.float32]:
    """Return a periodic texture, moved by its velocity."""
    shift = np.remainder(velocity * index, _WAVE_TEXTURE_PX)
    whole = np.floor(shift).astype(int)
    moved = np.pad(np.roll(texture, whole[::-1], axis=(0, 1)), ((1, 0), (1, 0)), mode="wrap")
    x, y = shift - whole
    return np.asarray(
        (1 - x) * (1 - y) * moved[1:, 1:]
        + x * (1 - y) * moved[1:, :-1]
        + (1 - x) * y * moved[:-1, 1:]
        + x * y * moved[:-1, :-1],
        np.float32,
    )


def _choose_water(rng: np.random.Generator, water: Image, number: int) -> Points:
    rows, columns = np.nonzero(water)
    if not len(rows):
        return np.zeros((0, 2))
    chosen = rng.integers(len(rows), size=number)
    return np.stack([columns[chosen], rows[chosen]], axis=1) + rng.random((number, 2))


def _make_flashes(
    rng: np.random.Generator, places: Points, first: NDArray[np.int64], durations: NDArray[np.int64]
) -> _Flashes:
    number = len(places)
    return _Flashes(
        places,
        first,
        first + durations - 1,
        rng.normal(0, 0.25, (number, 2)),
        rng.uniform(25, 160, number),
        rng.uniform(0.5, 1.4, number),
    )


def _make_water_flashes(rng: np.random.Generator, water: Image, frames: int) -> _Flashes:
    """Return flashes anywhere on the water, each once."""
    megapixels = np.count_nonzero(water) / 1e6
    number = rng.poisson(_GLINTS_PER_MEGAPIXEL * megapixels * frames / _GLINT_FRAMES)
    places = _choose_water(rng, water, number)
    first = rng.integers(-8, frames, len(places))
    return _make_flashes(rng, places, first, rng.geometric(1 / _GLINT_FRAMES, len(places)))


def _make_recurring_flashes(rng: np.random.Generator, water: Image, frames: int) -> _Flashes:
    """Return flashes of buoys and moored boats."""
    megapixels = np.count_nonzero(water) / 1e6
    places = _choose_water(rng, water, rng.poisson(_BUOYS_PER_MEGAPIXEL * megapixels))
    is_on = rng.random((len(places), frames)) < _BUOY_RATE
    which, first = np.nonzero(is_on)
    shifts = rng.normal(0, 0.3, (len(which), 2))
    return _make_flashes(rng, places[which] + shifts, first, np.ones(len(which), np.int64))


def _make_facade_flashes(rng: np.random.Generator, tops: Points, frames: int) -> _Flashes:
    """Return reflections of the sun on tall buildings."""
    number = rng.poisson(_FACADES_PER_BUILDING * len(tops))
    places = tops[rng.integers(len(tops), size=number)] if len(tops) else np.zeros((0, 2))
    places = places + rng.normal(0, 4, places.shape)
    first = rng.integers(-5, frames, len(places))
    return _make_flashes(rng, places, first, rng.integers(*_FACADE_FRAMES, len(places)))


def _add_flashes(light: NDArray[np.float32], flashes: _Flashes, index: int, to_image: Array) -> None:
    is_on = (flashes.first <= index) & (index <= flashes.last)
    for number in np.flatnonzero(is_on):
        ground = flashes.places[number] + flashes.drift[number] * (index - flashes.first[number])
        place = transform_points(ground, to_image)
        _add_spot(light, place, float(flashes.spread[number]), float(flashes.level[number]))


def _add_spot(image: NDArray[np.float32], place: Points, spread: float, level: float) -> None:
    """Add a Gaussian spot to an image ``(H, W)`` or ``(H, W, C)``."""
    reach = int(np.ceil(3 * spread)) + 1
    column, row = np.floor(place).astype(int)
    left, top = max(column - reach, 0), max(row - reach, 0)
    right, bottom = min(column + reach + 1, image.shape[1]), min(row + reach + 1, image.shape[0])
    if left >= right or top >= bottom:
        return
    x = np.exp(-0.5 * ((np.arange(left, right) + 0.5 - place[0]) / spread) ** 2)
    y = np.exp(-0.5 * ((np.arange(top, bottom) + 0.5 - place[1]) / spread) ** 2)
    spot = (level * y[:, None] * x).astype(np.float32)
    image[top:bottom, left:right] += spot if image.ndim == 2 else spot[..., None]
