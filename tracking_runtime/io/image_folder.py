"""Frames from a folder of images, with the ground truth and `spectral_info.yaml` beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import dacite
import numpy as np
import tifffile
import yaml
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.ground_truth import find_ground_truth, read_ground_truth
from tracking_runtime.io.table_reader import OnInvalidRow
from tracking_runtime.io.video_description import TRUTH_FILE, find_video_description
from tracking_runtime.spectral_info import SpectralInfo

SPECTRAL_INFO_FILE = "spectral_info.yaml"

_TIFF_SUFFIXES = {".tif", ".tiff"}
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", *_TIFF_SUFFIXES}
_IMAGE_FOLDER_NAMES = ("img", "img1", "HSI")
_DEFAULT_RATE_HZ = 10.0


class ImageFolderSource:
    """A folder of images as a camera.

    Images are in natural order of their names (`2.png` before `10.png`). The folder may also be the parent of
    a folder `img`, `img1` or `HSI` with the images. `find_ground_truth` finds the ground truth. The bands are
    in `spectral_info.yaml`, whose keys are the attributes of `SpectralInfo`. A folder from
    `rstrack convert --to folder` also has stamps, classes and the encoding.

    Args:
        folder: folder with the images, or its parent.
        rate: frames per second; stamps are multiples of its inverse. None: as described, else 10.
        classes: names, separated by commas, of the classes that the ground truth numbers from 1.
        malformed: policy for invalid rows, as in `read_ground_truth`.

    Raises:
        SourceError: the folder has no images, or a file beside them is invalid.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        rate: float | None = None,
        classes: str = "",
        malformed: OnInvalidRow = "raise",
    ) -> None:
        if rate is not None and rate <= 0:
            raise SourceError(f"rate {rate} of {folder} must be above 0 frames per second")
        self._folder, self._paths = _find_images(Path(folder))
        self._description = find_video_description(self._folder, len(self._paths))
        described_rate_hz = self._description.rate_hz if self._description else _DEFAULT_RATE_HZ
        self._rate_hz = float(rate or described_rate_hz)
        self._stamps_ns = [round(index * 1e9 / self._rate_hz) for index in range(1, len(self._paths) + 1)]
        if self._description and rate is None:
            self._stamps_ns = list(self._description.stamps_ns)
        given_names = tuple(name for name in str(classes).split(",") if name)
        described_names = self._description.class_names if self._description else ("object",)
        self._class_names = given_names or described_names
        self._truth = self._read_truth(given_names, malformed)
        self._spectral_info = read_spectral_info_file(self._folder)

    @property
    def name(self) -> str:
        """Name of the sequence's folder."""
        folder = self._folder.resolve()
        return folder.parent.name if folder.name in _IMAGE_FOLDER_NAMES else folder.name

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self._rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the ground truth."""
        return self._class_names

    @property
    def spectral_info(self) -> SpectralInfo | None:
        """Bands of the camera; None if they are not described."""
        return self._spectral_info

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames. An image is read when its frame is due."""
        for path, stamp_ns, truth in zip(self._paths, self._stamps_ns, self._truth, strict=True):
            image, encoding = read_image_file(path)
            if self._description:
                image = self._description.decode_image(image)
                encoding = self._description.encoding
            yield Frame(stamp_ns, image, encoding, truth=truth)

    def _read_truth(
        self, class_names: tuple[str, ...], malformed: OnInvalidRow
    ) -> Sequence[GroundTruth | None]:
        path = find_ground_truth(self._folder)
        if path is None:
            return [None] * len(self._paths)
        if self._description and path == self._folder.parent / TRUTH_FILE and not class_names:
            return self._description.read_truth(path)
        return read_ground_truth(path, len(self._paths), class_names=class_names, on_invalid_row=malformed)


def read_image_file(path: Path) -> tuple[NDArray[Any], str]:
    """Read an image or cube.

    Args:
        path: image file. TIFF files may have bands, on any axis. If the file does not name the axis of the
            bands, the shortest axis is taken.

    Returns:
        Image (H, W) or (H, W, C), and its encoding: bgr8 for color, 8UC<n>, 16UC<n> or 32FC<n> for bands.

    Raises:
        SourceError: the file is not an image, or no encoding exists for its samples.
    """
    if path.suffix.lower() in _TIFF_SUFFIXES:
        image, is_color = _read_tiff(path)
    else:
        decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise SourceError(f"{path} is not an image that can be read")
        image = np.asarray(decoded)
        is_color = image.ndim == 3 and image.dtype == np.uint8
        image = image[..., :3] if is_color else image
    return np.ascontiguousarray(image), _find_encoding(path, image, is_color)


def make_natural_sort_key(path: Path) -> list[tuple[int, str]]:
    """Make a sort key that orders digits in file names by their value and the rest by the alphabet."""
    return [(int(part), part) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]


def read_spectral_info_file(folder: Path) -> SpectralInfo | None:
    """Read `spectral_info.yaml` from a folder or its parent; None if no file exists.

    Raises:
        SourceError: the file does not describe bands.
    """
    candidates = (place / SPECTRAL_INFO_FILE for place in (folder, folder.parent))
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        return None
    rules = dacite.Config(strict=True, cast=[tuple, float, int])
    try:
        return dacite.from_dict(SpectralInfo, yaml.safe_load(path.read_text()), rules)
    except (yaml.YAMLError, dacite.DaciteError, ValueError, TypeError, AttributeError) as error:
        raise SourceError(f"{path} does not describe a camera's bands: {error}") from error


def _read_tiff(path: Path) -> tuple[NDArray[Any], bool]:
    """Read a TIFF file as an image with the bands last, and whether the image is a BGR color image."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            is_rgb = page.photometric == tifffile.PHOTOMETRIC.RGB
            bands_last = page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
            image = file.asarray() if bands_last else np.squeeze(file.asarray())
    except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
        raise SourceError(f"{path} is not a TIFF that can be read: {error}") from error
    if image.ndim == 3 and not bands_last:
        image = np.moveaxis(image, int(np.argmin(image.shape)), 2)
    if is_rgb and image.ndim == 3 and image.shape[2] in (3, 4) and image.dtype == np.uint8:
        return image[..., 2::-1], True
    return image.astype(np.float32) if image.dtype == np.float64 else image, False


def _find_encoding(path: Path, image: NDArray[Any], is_color: bool) -> str:
    prefix = {"uint8": "8U", "uint16": "16U", "float32": "32F"}.get(image.dtype.name)
    if prefix is None or image.ndim not in (2, 3):
        raise SourceError(
            f"{path} must have 2 or 3 axes of uint8, uint16 or float32: "
            f"got {image.ndim} of {image.dtype.name}"
        )
    if is_color:
        return "bgr8"
    if image.ndim == 2 and prefix != "32F":
        return f"mono{8 * image.dtype.itemsize}"
    return f"{prefix}C{image.shape[2] if image.ndim == 3 else 1}"


def _find_images(folder: Path) -> tuple[Path, list[Path]]:
    """Find the folder with the images, `folder` or one in it, and the images in natural order."""
    for candidate in (folder, *(folder / name for name in _IMAGE_FOLDER_NAMES)):
        if candidate.is_dir():
            paths = [path for path in candidate.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
            if paths:
                return candidate, sorted(paths, key=make_natural_sort_key)
    if not folder.is_dir():
        raise SourceError(f"no folder at {folder}")
    raise SourceError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
