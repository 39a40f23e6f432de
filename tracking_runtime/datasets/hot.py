"""The hyperspectral object tracking challenge (HOT) of 2020, 2022, 2023 and 2024, where it lies.

2020 and 2022: ``SET/car/HSI/0001.png`` beside ``HSI-FalseColor`` and ``RGB``. 2023 and 2024:
``SET/HSI-VIS/car/0001.png`` beside ``HSI-VIS-FalseColor``, and the same for NIR and RedNIR. Hyperspectral
frames are raw mosaics; boxes count pixels of their cubes. The validation sets may have only
``init_rect.txt``, the box of the first frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.datasets.file_tree import paths_below
from tracking_runtime.datasets.sequences import ImageSequence, Truths
from tracking_runtime.errors import SourceError
from tracking_runtime.io.ground_truth import find_ground_truth, read_ground_truth
from tracking_runtime.io.sources import IMAGE_SUFFIXES, natural, read_image_file
from tracking_runtime.io.table_reader import Malformed
from tracking_runtime.spectral_info import Calibration, SpectralInfo

View = Literal["mosaic", "false_color", "rgb"]

RATE_HZ = 25.0

_APPLIED = Calibration.DARK | Calibration.SPECTRAL_CORRECTION
_FIRST_BOX = "init_rect.txt"
_MODERN = re.compile(r"HSI-(VIS|NIR|RedNIR)(-FalseColor)?", re.IGNORECASE)
_OF_2020: dict[View, str] = {"mosaic": "HSI", "false_color": "HSI-FalseColor", "rgb": "RGB"}


def _nominal(start_nm: float, stop_nm: float, bands: int, side: int) -> SpectralInfo:
    """Evenly spaced bands, in the order of the mosaic's filters; filters after them are left out."""
    centres = tuple(float(value) for value in np.linspace(start_nm, stop_nm, bands))
    order = tuple(range(side * side)) if bands < side * side else ()
    return SpectralInfo(centres, mosaic=(side, side), band_order=order, calibration=_APPLIED)


CAMERAS: dict[str, SpectralInfo] = {
    "vis": _nominal(470, 620, 16, 4),
    "nir": _nominal(665, 960, 25, 5),
    "rednir": _nominal(600, 850, 15, 4),
}


def is_hot(root: Path) -> bool:
    """Whether a folder is one of the challenge's layouts."""
    return next(_folders(root), None) is not None


def hot_sequences(
    root: Path, *, view: View = "mosaic", malformed: Malformed = "raise"
) -> list[ImageSequence]:
    """The challenge's videos below a folder, in natural order.

    Args:
        root: of the set, or of one video of it.
        view: of the three that there may be: raw mosaics, false colour or the RGB camera.
        malformed: see ``read_ground_truth``.

    Raises:
        SourceError: there is no such view below the folder.
    """
    found = [_sequence(folder, malformed) for folder in _folders(root) if folder.view == view]
    if not found:
        raise SourceError(f"no {view} frames of the HOT challenge in {root}")
    return found


@dataclass(frozen=True)
class _Folder:
    """One video as one camera saw it."""

    name: str
    path: Path
    view: View
    camera: str


def _folders(root: Path) -> Iterator[_Folder]:
    for place in [root, *sorted((path for path in paths_below(root) if path.is_dir()), key=natural)]:
        modern = _MODERN.fullmatch(place.name)
        if modern:
            camera, view = modern[1].lower(), "false_color" if modern[2] else "mosaic"
            for video in sorted(filter(Path.is_dir, place.iterdir()), key=natural):
                yield _Folder(f"{camera}/{video.name}", video, view, camera)  # type: ignore[arg-type]
        for view_of_2020, name in _OF_2020.items():
            if (place / name).is_dir() and any(_images(place / name)):
                yield _Folder(place.name or place.resolve().name, place / name, view_of_2020, "vis")


def _sequence(folder: _Folder, malformed: Malformed) -> ImageSequence:
    paths = tuple(sorted(_images(folder.path), key=natural))
    return ImageSequence(
        folder.name,
        paths,
        _Truth(folder.path, len(paths), malformed),
        _read_mosaic if folder.view == "mosaic" else read_image_file,
        spectral_info=CAMERAS[folder.camera] if folder.view == "mosaic" else None,
        rate_hz=RATE_HZ,
    )


@dataclass(frozen=True)
class _Truth:
    folder: Path
    frames: int
    malformed: Malformed

    def __call__(self) -> Truths:
        path = find_ground_truth(self.folder)
        if path is not None:
            return read_ground_truth(path, self.frames, malformed=self.malformed)
        first = next(
            (p for p in (self.folder / _FIRST_BOX, self.folder.parent / _FIRST_BOX) if p.is_file()), None
        )
        return [] if first is None else read_ground_truth(first, 1, malformed=self.malformed)


def _images(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _read_mosaic(path: Path) -> tuple[NDArray[Any], str]:
    image, encoding = read_image_file(path)
    if image.ndim != 2:
        raise SourceError(f"{path} is an image of {image.shape[2]} channels where a raw mosaic is expected")
    return image, encoding
