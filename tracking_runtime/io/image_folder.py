"""Frames from a folder of images, with the ground truth and `spectral_info.yaml` beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import dacite

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.frame_numbers import describe_gaps, read_image_numbers
from tracking_runtime.io.georeference import GeoReference
from tracking_runtime.io.ground_truth import (
    OnInvalidTruth,
    find_ground_truth,
    find_stated_truth,
    read_source_truth,
)
from tracking_runtime.io.image_bands import find_spectral_info
from tracking_runtime.io.image_file import (
    IMAGE_SUFFIXES,
    find_image_folder,
    find_video_folder,
    list_images,
    read_image_file,
)
from tracking_runtime.io.image_georeference import read_image_georeference
from tracking_runtime.io.video_description import TRUTH_FILE, find_video_description, read_sequence_rate
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.untrusted.documents import DocumentError, read_yaml_file

SPECTRAL_INFO_FILE = "spectral_info.yaml"

_DEFAULT_RATE_HZ = 10.0


class ImageFolderSource:
    """A folder of images as a camera.

    Images are in natural order of their names (`2.png` before `10.png`). The folder may also be the parent of
    a folder with the images, as `img`. `find_ground_truth` finds the ground truth. The bands are
    in `spectral_info.yaml`, whose keys are the attributes of `SpectralInfo`. A `seqinfo.ini` as in the MOT
    challenge gives the rate. A folder from `rstrack convert --to folder` also has stamps, classes and the
    encoding. Hidden files are left out.

    Args:
        folder: folder with the images, or its parent.
        rate: frames per second; stamps are multiples of its inverse. None: as in `video.yaml` or
            `seqinfo.ini`, else 10.
        classes: names, separated by commas, of the classes that the ground truth numbers from 1.
        malformed: policy for invalid rows, as in `read_source_truth`.
        truth: path of the ground truth. Empty: found. `none`: no ground truth.

    Raises:
        SourceError: the folder has no images, or a file beside them is invalid.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        rate: float | None = None,
        classes: str = "",
        malformed: OnInvalidTruth = "raise",
        truth: str = "",
    ) -> None:
        if rate is not None and not (rate > 0 and math.isfinite(rate)):
            raise SourceError(f"rate {rate} of {folder} must be above 0 frames per second")
        self._folder, self._paths = _find_images(Path(folder))
        self._description = find_video_description(self._folder, len(self._paths))
        if self._description:
            described_rate_hz = self._description.rate_hz
        else:
            described_rate_hz = read_sequence_rate(self._folder) or _DEFAULT_RATE_HZ
        self._rate_hz = float(rate or described_rate_hz)
        self._stamps_ns = [round(index * 1e9 / self._rate_hz) for index in range(1, len(self._paths) + 1)]
        if self._description and rate is None:
            self._stamps_ns = list(self._description.stamps_ns)
        given_names = tuple(name for name in str(classes).split(",") if name)
        described_names = self._description.class_names if self._description else ("object",)
        self._class_names = given_names or described_names
        self._truth = self._read_truth(str(truth), given_names, malformed)
        self._spectral_info = find_spectral_info(self._folder, self._paths)

    @property
    def name(self) -> str:
        """Name of the sequence's folder."""
        return (find_video_folder(self._folder) or self._folder.resolve()).name

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

    @property
    def truth(self) -> Sequence[GroundTruth | None]:
        """Ground truth of each frame; None where it is unknown."""
        return self._truth

    @property
    def remarks(self) -> tuple[str, ...]:
        """Statements about oddities of the folder, for users."""
        gaps = describe_gaps(self._paths)
        return (f"the numbers of its images skip {gaps}",) if gaps else ()

    @cached_property
    def georeference(self) -> GeoReference | None:
        """Position of the first image on the Earth; None if unknown."""
        return self.read_georeference(0)

    def read_georeference(self, index: int) -> GeoReference | None:
        """Return the position of an image on the Earth; None if unknown. The index counts from 0.

        Raises:
            SourceError: the image or the world file beside it is damaged.
        """
        return read_image_georeference(self._paths[index])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames. An image is read when its frame is due."""
        for path, stamp_ns, truth in zip(self._paths, self._stamps_ns, self._truth, strict=True):
            image, encoding = read_image_file(path)
            if self._description:
                image = self._description.decode_image(image, path)
                encoding = self._description.encoding
            yield Frame(stamp_ns, image, encoding, truth=truth)

    def _read_truth(
        self, stated: str, class_names: tuple[str, ...], malformed: OnInvalidTruth
    ) -> Sequence[GroundTruth | None]:
        path = find_stated_truth(stated) if stated else find_ground_truth(self._folder)
        if path is None:
            return [None] * len(self._paths)
        video_folder = find_video_folder(self._folder)
        is_described = video_folder is not None and path == video_folder / TRUTH_FILE
        if self._description and is_described and not class_names:
            return self._description.read_truth(path)
        return read_source_truth(
            path,
            len(self._paths),
            class_names=class_names,
            policy=malformed,
            image_numbers=read_image_numbers(self._paths),
        )


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
        return dacite.from_dict(SpectralInfo, read_yaml_file(path), rules)
    except SourceError:
        raise
    except (
        DocumentError,
        dacite.DaciteError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:
        raise SourceError(f"{path} does not describe a camera's bands: {error}") from error


def _find_images(folder: Path) -> tuple[Path, list[Path]]:
    """Find the folder with the images, `folder` or one in it, and the images in natural order."""
    if not folder.is_dir():
        raise SourceError(f"no folder at {folder}")
    image_folder = find_image_folder(folder)
    if image_folder is None:
        raise SourceError(f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}")
    return image_folder, list_images(image_folder)
