"""The hyperspectral object tracking challenge (HOT) of 2020 to 2024, read in its original folders.

2020 and 2022: `SET/car/HSI/0001.png` beside `HSI-FalseColor` and `RGB`. 2023 and 2024:
`SET/HSI-VIS/car/0001.png` beside `HSI-VIS-FalseColor`, and the same for NIR and RedNIR. Hyperspectral frames
are raw mosaics. Boxes count the pixels of their cubes. The validation sets may contain only `init_rect.txt`,
the box of the first frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.datasets.file_tree import walk_paths
from tracking_runtime.datasets.sequences import ImageSequence, Truths
from tracking_runtime.errors import SourceError
from tracking_runtime.files import is_hidden
from tracking_runtime.io.frame_numbers import read_image_numbers
from tracking_runtime.io.ground_truth import find_ground_truth, read_ground_truth
from tracking_runtime.io.image_file import list_images, make_natural_sort_key, read_image_file
from tracking_runtime.io.table_reader import OnInvalidRow
from tracking_runtime.spectral_info import Calibration, SpectralInfo

HotView = Literal["mosaic", "false_color", "rgb"]
"""Camera of the challenge: raw mosaics, their false-color images, or the RGB camera beside."""

RATE_HZ = 25.0
"""Frames per second of all videos."""

_CALIBRATION = Calibration.DARK | Calibration.SPECTRAL_CORRECTION
_FIRST_BOX_FILE = "init_rect.txt"
_CAMERA_FOLDER = re.compile(r"HSI-(VIS|NIR|RedNIR)(-FalseColor)?", re.IGNORECASE)  # since 2023
_VIEW_FOLDERS: dict[HotView, str] = {
    "mosaic": "HSI",
    "false_color": "HSI-FalseColor",
    "rgb": "RGB",
}  # 2020, 2022


def _make_nominal_camera(start_nm: float, stop_nm: float, num_bands: int, side: int) -> SpectralInfo:
    """Make evenly spaced bands in the order of the filters. Filters after the last band are left out."""
    wavelengths = tuple(float(value) for value in np.linspace(start_nm, stop_nm, num_bands))
    band_order = tuple(range(side * side)) if num_bands < side * side else ()
    return SpectralInfo(wavelengths, mosaic=(side, side), band_order=band_order, calibration=_CALIBRATION)


CAMERAS: dict[str, SpectralInfo] = {
    "vis": _make_nominal_camera(470, 620, 16, 4),
    "nir": _make_nominal_camera(665, 960, 25, 5),
    "rednir": _make_nominal_camera(600, 850, 15, 4),
}


def is_hot(root: Path) -> bool:
    """Return whether a folder has one of the challenge's layouts."""
    return next(_find_video_folders(root), None) is not None


def open_hot(
    root: Path, *, view: HotView = "mosaic", on_invalid_row: OnInvalidRow = "raise"
) -> list[ImageSequence]:
    """Open the challenge's videos below a folder in natural order.

    Args:
        root: folder of a set, or of one video.
        view: camera of the challenge.
        on_invalid_row: `skip` leaves out invalid rows of ground truth, see `read_ground_truth`.

    Raises:
        SourceError: no video below the folder has this view.
    """
    folders = _find_video_folders(root)
    videos = [_open_video(folder, on_invalid_row) for folder in folders if folder.view == view]
    if not videos:
        raise SourceError(f"no {view} frames of the HOT challenge in {root}: choose another view or folder")
    return videos


@dataclass(frozen=True)
class _VideoFolder:
    """Images of one video from one camera.

    Attributes:
        name: name of the video.
        path: folder of the images.
        view: view of the images.
        camera: key of `CAMERAS`.
    """

    name: str
    path: Path
    view: HotView
    camera: str


def _find_video_folders(root: Path) -> Iterator[_VideoFolder]:
    below = sorted((path for path in walk_paths(root) if path.is_dir()), key=make_natural_sort_key)
    for folder in (root, *below):
        # 2023 and 2024: a folder of each camera contains the videos.
        camera_match = _CAMERA_FOLDER.fullmatch(folder.name)
        if camera_match:
            camera = camera_match[1].lower()
            camera_view: HotView = "false_color" if camera_match[2] else "mosaic"
            videos = (path for path in folder.iterdir() if path.is_dir() and not is_hidden(path))
            for video in sorted(videos, key=make_natural_sort_key):
                yield _VideoFolder(f"{camera}/{video.name}", video, camera_view, camera)
        # 2020 and 2022: a folder of each video contains the views.
        for view, name in _VIEW_FOLDERS.items():
            if (folder / name).is_dir() and list_images(folder / name):
                yield _VideoFolder(folder.name or folder.resolve().name, folder / name, view, "vis")


def _open_video(folder: _VideoFolder, on_invalid_row: OnInvalidRow) -> ImageSequence:
    image_paths = tuple(list_images(folder.path))
    return ImageSequence(
        folder.name,
        image_paths,
        _TruthReader(folder.path, image_paths, on_invalid_row),
        _read_mosaic if folder.view == "mosaic" else read_image_file,
        spectral_info=CAMERAS[folder.camera] if folder.view == "mosaic" else None,
        rate_hz=RATE_HZ,
    )


@dataclass(frozen=True)
class _TruthReader:
    """A reader of a video's ground truth, or of its first box. Unlike a closure, it can be pickled."""

    folder: Path
    image_paths: tuple[Path, ...]
    on_invalid_row: OnInvalidRow

    def __call__(self) -> Truths:
        path = find_ground_truth(self.folder)
        if path is not None:
            return read_ground_truth(
                path,
                len(self.image_paths),
                on_invalid_row=self.on_invalid_row,
                image_numbers=read_image_numbers(self.image_paths),
            )
        candidates = (self.folder / _FIRST_BOX_FILE, self.folder.parent / _FIRST_BOX_FILE)
        first_box = next((candidate for candidate in candidates if candidate.is_file()), None)
        if first_box is None:
            return []
        return read_ground_truth(first_box, 1, on_invalid_row=self.on_invalid_row)


def _read_mosaic(path: Path) -> tuple[NDArray[Any], str]:
    image, encoding = read_image_file(path)
    if image.ndim != 2:
        raise SourceError(
            f"{path} must be a raw mosaic with 1 channel: got {image.shape[2]} channels; choose another view"
        )
    return image, encoding
