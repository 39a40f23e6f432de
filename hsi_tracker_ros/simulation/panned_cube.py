"""A real cube or raw mosaic as video: a panning window and a moving target cut from the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.camera_presets import assume_camera, find_camera_preset_by_band_count
from hsi_tracker_ros.cubes.cameras import open_camera
from hsi_tracker_ros.cubes.channelwise import apply_channelwise
from hsi_tracker_ros.cubes.mosaic import convert_cube_to_mosaic, convert_mosaic_to_cube
from hsi_tracker_ros.cubes.sensor import Sensor
from hsi_tracker_ros.simulation.camouflage import Disguise, disguise_patch
from hsi_tracker_ros.simulation.scene_objects import SceneObject
from hsi_tracker_ros.simulation.sprites import (
    MARGIN,
    Bend,
    DrawnSprite,
    Pose,
    Sprite,
    SpritePart,
    draw_sprite,
    fill_outline,
    find_bounding_box,
    make_random_outline,
)
from hsi_tracker_ros.simulation.textures import make_smooth_walk
from hsi_tracker_ros.simulation.trajectories import Trajectory, make_wandering_trajectory
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.cube_source import CubeSource
from tracking_runtime.spectral_info import SpectralInfo

TargetKind = Literal["distinct", "camouflage", "look-alikes"]
"""Target of a panned cube and what makes it hard to follow in color."""

_CANDIDATES = 60
_PERIODS = (2, 3, 4, 5)
_STORE_FRACTION = 1 / 3
"""Fraction of the longer side of a cube that no window shows, whose spectra disguise targets."""
_STORE_PIXELS = 4000
"""Number of random spectra of this part among which those of a disguise are chosen."""
_MIN_SIDE_PX = 24
_APPEARANCES = 12
"""Number of random patches of the scene among which the appearance of a target is chosen."""
_COMPANION_REACH = (2.0, 3.5)
"""Least and largest distance of a look-alike from the target, in halves of its longer side."""
_PASSING_FRAMES = (8, 20)
"""Least and largest number of frames in which a look-alike passes the target."""


class PannedCube:
    """A window that pans over a real image in whole pixels of the cube, so that every sample is real.

    The target is a patch of another part of the image, cut out with a soft edge. It moves, turns and changes
    size. The ground truth (id 1) is the bounding box of its silhouette inside the window.

    The kinds of targets are:

    - `distinct`: a patch whose spectrum differs from the image. With odd seeds its spectrum is multiplied by
      a smooth factor over the bands.
    - `camouflage`: a patch of the scene in other materials. Every pixel keeps its color, and has a real
      spectrum of a part of the cube that no window shows.
    - `look-alikes`: the same, with two objects of its shape, motion and colors behind it: one is the patch of
      the scene itself, the other one has a third material. They pass the target from one side to the other.

    Args:
        path: a cube of any format that `CubeSource` reads, a raw mosaic (TIFF or PNG), or a folder with an
            image for each band of a cube.
        seed: seed of the path, the target and its motion.
        frames: number of frames.
        rate_hz: frame rate in Hz.
        camera: name of a known camera or a camera file; empty: as in the file, else chosen by the number of
            bands.
        mosaic: rows and columns of the filters of a raw image, for example `3x3`; empty: found in the image.
        view: fraction of the image's width and height in the window.
        target: kind of the target: `distinct`, `camouflage` or `look-alikes`.
        assume_bands: True if the bands of an unknown camera are in even steps from 400 to 1000 nm.
        axes: axes of an array, as in `CubeSource`, if its shape leaves them open.

    Raises:
        SourceError: the file cannot be read, is too small, or its camera is unknown.
    """

    def __init__(
        self,
        path: str | Path,
        seed: int = 0,
        frames: int = 150,
        rate_hz: float = 25.0,
        camera: str = "",
        mosaic: str = "",
        view: float = 0.75,
        target: TargetKind = "distinct",
        assume_bands: bool = False,
        axes: str = "",
    ) -> None:
        if target not in get_args(TargetKind):
            raise SourceError(f"target must be one of {', '.join(get_args(TargetKind))}: got {target}")
        if not 0.2 <= view <= 1 or frames < 1:
            raise SourceError(f"view must be 0.2 to 1 and frames at least 1: got {view} and {frames}")
        self._path, self._seed, self._frames, self._rate = Path(path), int(seed), int(frames), float(rate_hz)
        image, bands = read_spectral_image(self._path, axes)
        try:
            self._camera, sensor = _find_camera(
                image, bands, camera, mosaic, self._path, assume_bands=assume_bands
            )
            self._raw = image.ndim == 2
            cube = (
                convert_mosaic_to_cube(_crop_to_whole_periods(image, self._camera, sensor), self._camera)
                if self._raw
                else image
            )
        except FrameRefusedError as error:
            raise SourceError(f"{self._path}: {error}") from error
        self._cube = np.ascontiguousarray(cube)
        num_bands = len(self._camera.wavelengths_nm)
        if self._cube.shape[2] != num_bands:
            raise SourceError(
                f"{self._path} has {self._cube.shape[2]} bands, but its camera has {num_bands}: set camera"
            )
        self._target = target
        self._stage = self._store = self._cube
        if target != "distinct":
            self._stage, self._store = _split(self._cube, self._path)
        height, width = (max(int(side * view), 16) for side in self._stage.shape[:2])
        self._size = (min(width, self._stage.shape[1]), min(height, self._stage.shape[0]))

    @property
    def name(self) -> str:
        return f"{self._path.stem}-{self._seed}"

    @property
    def rate_hz(self) -> float:
        return self._rate

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("target",)

    @property
    def spectral_info(self) -> SpectralInfo:
        return self._camera if self._raw else replace(self._camera, mosaic=None, band_order=())

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[Frame]:
        return (self.make_frame(index) for index in range(self._frames))

    def make_frame(self, index: int) -> Frame:
        """Return the frame of an index. Frames can be made in any order."""
        left, top = self._make_window_corners[index]
        width, height = self._size
        image = self._stage[top : top + height, left : left + width].copy()
        *look_alikes, target = self._make_objects
        for look_alike in look_alikes:
            _blend_sprite(image, _draw_at(look_alike, index, self._size))
        drawn = _draw_at(target, index, self._size)
        truth = GroundTruth()
        if drawn is not None:
            _blend_sprite(image, drawn)
            silhouette = np.zeros((height, width), dtype=bool)
            silhouette[drawn.rows, drawn.columns] = drawn.silhouette > 0.5
            box = find_bounding_box(silhouette)
            if box is not None:
                truth = GroundTruth(np.array([1], np.int64), np.zeros(1, np.uint8), box[None])
        if self._raw:
            image = convert_cube_to_mosaic(image, self._camera)
        return Frame(round((index + 1) * 1e9 / self._rate), image, self._encoding, truth=truth)

    @cached_property
    def _encoding(self) -> str:
        depth = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16, np.dtype(np.float32): 32}[self._cube.dtype]
        if self._raw and depth < 32:
            return f"mono{depth}"
        return f"{depth}{'F' if depth == 32 else 'U'}C{1 if self._raw else self._cube.shape[2]}"

    @cached_property
    def _make_window_corners(self) -> NDArray[np.int64]:
        """Return the top-left corner of the window in the cube for each frame."""
        rng = np.random.default_rng([self._seed, 0])
        room = np.array([self._stage.shape[1] - self._size[0], self._stage.shape[0] - self._size[1]])
        walk = np.tanh(make_smooth_walk(rng, self._frames, 45, 2)) * 0.5 + 0.5
        return np.round(walk * room).astype(np.int64)

    @cached_property
    def _make_objects(self) -> list[SceneObject]:
        """Return the moving objects from back to front. The last one is the target."""
        rng = np.random.default_rng([self._seed, 1])
        long_side = float(rng.uniform(0.14, 0.24) * min(self._size))
        half = (long_side / 2, long_side / 2 * float(rng.uniform(0.6, 1.0)))
        if self._target == "distinct":
            patches = [self._choose_distinct_patch(rng, half)]
        else:
            patches = self._make_disguised_patches(rng, half)
        outline = make_random_outline(rng)
        bend = Bend(float(rng.uniform(0, 0.08)), 2.0, 0.15)
        path = make_wandering_trajectory(
            rng,
            self._frames,
            self._size,
            half,
            speed=float(rng.uniform(0.8, 2.0)),
            scale_change=0.15,
            turn=0.3,
        )
        target, *look_alikes = [
            Sprite((SpritePart((_make_patch_texture(patch, outline),)),), bend) for patch in patches
        ]
        paths = [self._make_companion_trajectory(number, path, half) for number in range(len(look_alikes))]
        return [*map(SceneObject, look_alikes, paths), SceneObject(target, path)]

    def _make_companion_trajectory(
        self, number: int, path: Trajectory, half: tuple[float, float]
    ) -> Trajectory:
        """Return the trajectory of a look-alike beside the target, which passes to the other side once."""
        rng = np.random.default_rng([self._seed, 2, number])
        moment = rng.uniform(0.25, 0.75) * (self._frames - 1)
        frames = rng.uniform(*_PASSING_FRAMES)
        side = np.clip(2 * (np.arange(self._frames) - moment) / frames, -1, 1)
        reach, aside, angle = (
            rng.uniform(*_COMPANION_REACH),
            rng.uniform(-0.5, 0.5),
            rng.uniform(0, 2 * np.pi),
        )
        along = max(half) * reach * side
        dx = along * np.cos(angle) - max(half) * aside * np.sin(angle)
        dy = along * np.sin(angle) + max(half) * aside * np.cos(angle)
        return path.translate(dx, dy)

    def _choose_distinct_patch(
        self, rng: np.random.Generator, half: tuple[float, float]
    ) -> NDArray[np.float32]:
        """Return, of random patches, the one whose mean spectrum differs most from the image."""
        width, height = _compute_patch_size(half)
        usual = np.median(self._cube[::4, ::4].reshape(-1, self._cube.shape[2]), axis=0) + 1.0
        best, unlike = self._cube[:height, :width], -1.0
        for _ in range(_CANDIDATES):
            y = int(rng.integers(0, self._cube.shape[0] - height + 1))
            x = int(rng.integers(0, self._cube.shape[1] - width + 1))
            patch = self._cube[y : y + height, x : x + width]
            difference = np.abs(np.log((patch.mean(axis=(0, 1)) + 1.0) / usual)).mean()
            if difference > unlike:
                best, unlike = patch, float(difference)
        colors = best.astype(np.float32)
        if self._seed % 2:
            colors *= _make_spectral_factor(rng, self._camera)
        return colors

    def _make_disguised_patches(
        self, rng: np.random.Generator, half: tuple[float, float]
    ) -> list[NDArray[np.float32]]:
        """Return the patches of a camouflaged target and of its look-alikes, the target's first."""
        wavelengths_nm = self._camera.wavelengths_nm
        spectra = self._store.reshape(-1, self._store.shape[2])
        chosen = rng.integers(0, len(spectra), min(_STORE_PIXELS, len(spectra)))
        width, height = _compute_patch_size(half)
        room = np.maximum(np.array(self._stage.shape[1::-1]) - (width, height), 0)
        patches = [
            self._stage[row : row + height, column : column + width].astype(np.float32)
            for column, row in rng.integers(0, room + 1, (_APPEARANCES, 2))
        ]
        disguise = Disguise(spectra[chosen], wavelengths_nm)
        target, *look_alikes = disguise_patch(patches, disguise, self._cube, wavelengths_nm)
        return [target, *(look_alikes if self._target == "look-alikes" else ())]


def _split(cube: NDArray[Any], path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two parts of a cube, the stage and the store, cut across its longer side.

    Raises:
        SourceError: the cube is too small.
    """
    if min(cube.shape[:2]) < _MIN_SIDE_PX:
        raise SourceError(
            f"{path} must have at least {_MIN_SIDE_PX} pixels on each side for a camouflaged target: got "
            f"{cube.shape[1]} x {cube.shape[0]}; choose target=distinct"
        )
    axis = int(cube.shape[1] >= cube.shape[0])
    first = round((1 - _STORE_FRACTION) * cube.shape[axis])
    stage, store = np.split(cube, [first], axis=axis)
    return stage, store


def _compute_patch_size(half: tuple[float, float]) -> tuple[int, int]:
    width, height = (max(int(2 * side), 4) for side in half)
    return width, height


def _make_patch_texture(colors: NDArray[np.float32], outline: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the texture of a part: a patch `(height, width, bands)` in an outline with a soft edge."""
    size = int(np.ceil(2 * MARGIN * max(colors.shape[:2])))
    inside = round(size / MARGIN)
    rim = (size - inside) // 2
    square = np.ones((size, size, colors.shape[2] + 1), dtype=np.float32)
    square[rim : rim + inside, rim : rim + inside, :-1] = apply_channelwise(
        colors, partial(cv2.resize, dsize=(inside, inside))
    )
    soft = cv2.GaussianBlur(fill_outline(outline, size), (0, 0), 0.6)
    soft[[0, -1]] = soft[:, [0, -1]] = 0
    square *= soft[..., None]
    return square


def _draw_at(placed: SceneObject, index: int, size: tuple[int, int]) -> DrawnSprite | None:
    """Draw an object at its pose in a frame."""
    path = placed.path
    pose = Pose(
        *(float(series[index]) for series in (path.x, path.y, path.half_width, path.half_height, path.angle))
    )
    before = max(index - 1, 0)
    velocity = (float(path.x[index] - path.x[before]), float(path.y[index] - path.y[before]))
    return draw_sprite(placed.actor, pose, velocity, index, size)


def _blend_sprite(image: NDArray[Any], drawn: DrawnSprite | None) -> None:
    """Blend a sprite over an image of digital numbers, in place."""
    if drawn is None:
        return
    part = image[drawn.rows, drawn.columns].astype(np.float32)
    part = part * (1 - drawn.coverage[..., None]) + drawn.premultiplied
    image[drawn.rows, drawn.columns] = _round_to(part, image.dtype)


def read_spectral_image(path: Path, axes: str = "") -> tuple[NDArray[Any], SpectralInfo | None]:
    """Read a cube `(height, width, bands)` or a raw mosaic `(height, width)`, and the bands of its header.

    Args:
        path: file, or folder with an image for each band.
        axes: axes of an array, as in `CubeSource`; empty: by its shape.

    Raises:
        SourceError: the file cannot be read, or is neither a cube nor a mosaic.
    """
    source = CubeSource(
        path, pages="cube", malformed="skip", bands="files" if path.is_dir() else "", axes=axes
    )
    frame = source.read_frame(0)
    if frame.encoding == "bgr8":
        raise SourceError(f"{path} must be a cube or a raw mosaic: got a color image")
    return frame.image, source.spectral_info


def _find_camera(
    image: NDArray[Any],
    bands: SpectralInfo | None,
    camera: str,
    mosaic: str,
    path: Path,
    *,
    assume_bands: bool,
) -> tuple[SpectralInfo, Sensor | None]:
    """Return the camera of an image, as given or as found, with the bit depth of the file's samples."""
    sensor = None
    if camera:
        file = open_camera(camera)
        info, sensor = file.camera, file.sensor
    elif bands is not None and (image.ndim == 3 or bands.mosaic is not None):
        info = bands
    elif image.ndim == 3:
        bands_count = image.shape[2]
        info = (
            assume_camera(bands_count)[1] if assume_bands else find_camera_preset_by_band_count(bands_count)
        )
    else:
        rows, columns = _parse_mosaic(mosaic) if mosaic else (find_mosaic_period(image, path),) * 2
        info = find_camera_preset_by_band_count(rows * columns)
    if mosaic and info.mosaic != _parse_mosaic(mosaic):
        raise SourceError(f"{path}: mosaic is {mosaic}, but the camera has {info.mosaic}")
    if image.dtype == np.float32:
        return replace(info, bit_depth=0, saturation_level=float(image.max())), sensor
    bits = np.iinfo(image.dtype).bits
    depth = info.bit_depth if image.max() < 1 << info.bit_depth else bits
    depth = min(depth or bits, bits)
    return replace(info, bit_depth=depth, saturation_level=float((1 << depth) - 1)), sensor


def _parse_mosaic(mosaic: str) -> tuple[int, int]:
    rows, _, columns = mosaic.lower().partition("x")
    if not (rows.isdigit() and columns.isdigit() and int(rows) and int(columns)):
        raise SourceError(f"mosaic must be ROWSxCOLUMNS, for example 3x3: got {mosaic!r}")
    return int(rows), int(columns)


def find_mosaic_period(raw: NDArray[Any], path: Path) -> int:
    """Return the side of the square filter pattern of a raw mosaic, from its periodicity in both directions.

    Raises:
        SourceError: no period is significant.
    """
    size = 60 * (min(raw.shape) // 60)
    if size:
        center = raw[(raw.shape[0] - size) // 2 :, (raw.shape[1] - size) // 2 :][:size, :size].astype(
            np.float32
        )
        fine = center - cv2.blur(center, (15, 15))
        share = {}
        for period in _PERIODS:
            phases = fine.reshape(size // period, period, size // period, period).mean(axis=(0, 2))
            share[period] = float(phases.var() / max(float(fine.var()), 1e-9))
        best = max(share.values())
        if best > 0.05:
            return min(period for period, value in share.items() if value > 0.8 * best)
    raise SourceError(
        f"{path} is one plane, and no mosaic pattern stands out in it; say mosaic=3x3 or give a camera"
    )


def _crop_to_whole_periods(raw: NDArray[Any], camera: SpectralInfo, sensor: Sensor | None) -> NDArray[Any]:
    """Return the filters of a raw mosaic: as on the sensor if it is known, else from the first pixel."""
    if sensor is not None and camera.mosaic is not None:
        raw = raw[sensor.find_filters((raw.shape[1], raw.shape[0]), camera.mosaic)]
    rows, columns = camera.mosaic or (1, 1)
    return raw[: raw.shape[0] // rows * rows, : raw.shape[1] // columns * columns]


def _make_spectral_factor(rng: np.random.Generator, camera: SpectralInfo) -> NDArray[np.float32]:
    """Return a smooth factor over the bands, about 0.5 to 1.5."""
    nm = np.array(camera.wavelengths_nm)
    place = (nm - nm.min()) / max(float(np.ptp(nm)), 1.0)
    wave = np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * place + rng.uniform()))
    factor: NDArray[np.float32] = (1 + rng.uniform(0.3, 0.5) * wave).astype(np.float32)
    return factor


def _round_to(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype == np.float32:
        return values
    return np.clip(values + 0.5, 0, np.iinfo(dtype).max).astype(dtype)
