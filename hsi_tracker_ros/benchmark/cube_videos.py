"""Videos of the benchmark from real cubes: a panning window, and targets cut from the cubes themselves."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import get_args

from hsi_tracker_ros.benchmark.base import BenchmarkSettingsError
from hsi_tracker_ros.simulation.panned_cube import PannedCube, TargetKind, find_mosaic_period
from tracking_runtime.datasets.sequences import Truths
from tracking_runtime.errors import SourceError
from tracking_runtime.files import list_visible
from tracking_runtime.frames import Frame
from tracking_runtime.io.image_file import is_image, make_natural_sort_key, read_image_file
from tracking_runtime.spectral_info import SpectralInfo

_VIEW = 0.85  # fraction of the part's width and height in the window
_MIN_BANDS = 4  # images of a folder from which they are taken for the bands of one cube
_ARRAY_SUFFIXES = {".mat", ".npy", ".npz"}
_REFERENCE_PREFIXES = ("dark", "flat", "white")  # of files beside the cubes that show no scene


@dataclass(frozen=True)
class CubeVideo:
    """A real cube under a panning window as a video of the benchmark.

    Attributes:
        path: the cube, a raw mosaic, or a folder with an image for each band.
        target: kind of the target, which is the attribute of the video.
        number: number of the video among those of the same cube and kind.
        frames: number of frames.
    """

    path: Path
    target: TargetKind
    number: int = 0
    frames: int = 150

    @property
    def name(self) -> str:
        """Name of the video: cube, kind and number."""
        return f"{self.path.resolve().stem}-{self.target}-{self.number}"

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self._open().rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of the target's class."""
        return self._open().class_names

    @property
    def spectral_info(self) -> SpectralInfo:
        """Bands of the camera."""
        return self._open().spectral_info

    @cached_property
    def truth(self) -> Truths:
        """Ground truth of each frame."""
        return [frame.truth for frame in self._open()]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Kind of the target."""
        return (self.target,)

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._open())

    def _open(self) -> PannedCube:
        # Cubes of one folder get different paths for the same number.
        seed = zlib.crc32(self.path.stem.encode()) + self.number
        return _open_panned_cube(self.path, self.target, seed, self.frames)


@lru_cache(maxsize=1)
def _open_panned_cube(path: Path, target: TargetKind, seed: int, frames: int) -> PannedCube:
    return _open_cube(path, seed, frames, target)


def _open_cube(path: Path, seed: int, frames: int, target: TargetKind) -> PannedCube:
    """Open a cube of a known camera, or with assumed bands. An array of unclear shape has its bands last.

    Raises:
        SourceError: the file is not a cube, or is too small.
    """
    try:
        return PannedCube(path, seed, frames, view=_VIEW, target=target, assume_bands=True)
    except SourceError:
        if path.suffix.lower() not in _ARRAY_SUFFIXES:
            raise
    return PannedCube(path, seed, frames, view=_VIEW, target=target, assume_bands=True, axes="yxc")


def make_cube_videos(places: Iterable[Path], num_videos: int, num_frames: int) -> list[CubeVideo]:
    """Return the videos of all cubes at some places.

    Args:
        places: cubes, or folders that contain cubes at any depth.
        num_videos: number of videos of each cube and kind of target.
        num_frames: number of frames of each video.

    Raises:
        SourceError: a place has no cube, or a named file is none.
        BenchmarkSettingsError: two cubes have the same name.
    """
    paths = [path for place in places for path in find_cubes(place)]
    stems = [path.resolve().stem for path in paths]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated:
        raise BenchmarkSettingsError(
            f"cubes must have different names: got several of {', '.join(repeated)}; rename them"
        )
    return [
        CubeVideo(path, target, number, num_frames)
        for path in paths
        for target in get_args(TargetKind)
        for number in range(num_videos)
    ]


def find_cubes(place: Path) -> list[Path]:
    """Return the cubes at a place: the file itself, or the cubes of a folder at any depth.

    A folder of gray images that show no filter pattern is one cube. Files that start with `dark`, `flat` or
    `white` are references, and files that are not cubes are left out.

    Raises:
        SourceError: the file is not a cube, or is too small, or the folder contains no cube.
    """
    if not place.is_dir():
        _open_cube(place, 0, 1, "camouflage")
        return [place]
    cubes = list(_search_folder(place))
    if not cubes:
        raise SourceError(f"{place} must contain a cube or a raw mosaic: got none; give another folder")
    return cubes


def _search_folder(folder: Path) -> Iterator[Path]:
    entries = sorted(list_visible(folder), key=make_natural_sort_key)
    files = [
        path for path in entries if path.is_file() and not path.stem.lower().startswith(_REFERENCE_PREFIXES)
    ]
    if _has_band_images(files):
        yield folder
        return
    yield from (path for path in files if _is_cube(path))
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            yield from _search_folder(path)


def _has_band_images(files: list[Path]) -> bool:
    """Return whether the images of a folder are the bands of one cube, not raw mosaics."""
    images = [path for path in files if is_image(path)]
    if len(images) < _MIN_BANDS:
        return False
    try:
        image, _ = read_image_file(images[0])
        if image.ndim != 2:
            return False
        find_mosaic_period(image, images[0])
    except SourceError:
        return True
    return False


def _is_cube(path: Path) -> bool:
    try:
        _open_cube(path, 0, 1, "camouflage")
    except SourceError:
        return False
    return True
