"""Annotations of CVAT and COCO video as videos with ground truth, for evaluation, training and conversion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tracking_runtime.datasets.annotations import Annotations
from tracking_runtime.datasets.coco_video import is_coco_video, read_coco_video
from tracking_runtime.datasets.cvat import read_cvat
from tracking_runtime.datasets.sequences import ImageSequence, Truths, TruthSequence, VideoSequence
from tracking_runtime.errors import SourceError, UnsafePathError
from tracking_runtime.files import resolve_inside
from tracking_runtime.frames import Frame, FrameSource, GroundTruth
from tracking_runtime.io.disk_list import pad_sequence
from tracking_runtime.io.image_file import list_images
from tracking_runtime.spectral_info import SpectralInfo

CVAT_FILE = "annotations.xml"
_CVAT_SUFFIXES = (".xml", ".zip")
_IMAGES = "images"  # folder of the images beside the annotations


def is_annotations(path: Path) -> bool:
    """Return whether a path is a file of CVAT or COCO video, or a folder that CVAT exports."""
    if path.is_dir():
        return (path / CVAT_FILE).is_file()
    suffix = path.suffix.lower()
    return suffix in _CVAT_SUFFIXES or (suffix == ".json" and is_coco_video(path))


def read_annotations(path: Path) -> list[Annotations]:
    """Read the annotations of each video in a CVAT file, a CVAT folder, or a COCO video file.

    Args:
        path: `.xml` or `.zip` of CVAT, a folder with `annotations.xml`, or another file as COCO video.

    Raises:
        SourceError: the file is missing or cannot be read. The message names the file.
    """
    file = path / CVAT_FILE if path.is_dir() else path
    if not file.is_file():
        raise SourceError(f"{path} must be annotations of CVAT or COCO video: found none; check the path")
    return [read_cvat(file)] if file.suffix.lower() in _CVAT_SUFFIXES else read_coco_video(file)


def open_annotations(path: Path) -> list[VideoSequence]:
    """Open annotations as videos, with their images if these are beside the file, else without.

    Raises:
        SourceError: the file cannot be read, or only some of its images exist.
    """
    file = path / CVAT_FILE if path.is_dir() else path
    return [_make_sequence(file, annotations) for annotations in read_annotations(path)]


@dataclass(frozen=True)
class _LoadedTruth:
    """Ground truth that is already read, in the form of a reader function."""

    truths: Truths

    def __call__(self) -> Truths:
        return self.truths


def _make_sequence(file: Path, annotations: Annotations) -> VideoSequence:
    truth = _LoadedTruth(annotations.make_truth())
    paths = _find_images(file, annotations)
    if not paths:
        return TruthSequence(annotations.name, file, truth, class_names=annotations.class_names)
    return ImageSequence(annotations.name, tuple(paths), truth, class_names=annotations.class_names)


def _find_images(file: Path, annotations: Annotations) -> list[Path]:
    """Return the image of each frame; empty if no image exists."""
    if not annotations.file_names:
        folder = file.parent / _IMAGES
        images = list_images(folder) if folder.is_dir() else []
        if images and len(images) != annotations.num_frames:
            raise SourceError(
                f"{folder} must have an image for each frame of {file.name}: got {len(images)}, expected "
                f"{annotations.num_frames}"
            )
        return images
    candidates = [_find_image(file, name) for name in annotations.file_names]
    found = [path for path in candidates if path is not None]
    if found and len(found) != annotations.num_frames:
        missing = (
            annotations.file_names[candidates.index(None)] if None in candidates else "frames without name"
        )
        num_missing = annotations.num_frames - len(found)
        raise SourceError(f"{file}: {num_missing} images of {annotations.name} are missing, first {missing}")
    return found


def _find_image(file: Path, name: str) -> Path | None:
    """Return the image of a name, in the folder of the annotations or in `images` beside them."""
    for folder in (file.parent, file.parent / _IMAGES):
        try:
            path = resolve_inside(folder, name.replace("\\", "/"))
        except UnsafePathError as error:
            raise SourceError(f"{file}: {error}") from error
        if path.is_file():
            return path
    return None


class AnnotatedSource:
    """A video: the frames of a source, with annotations as ground truth.

    Args:
        source: frames.
        annotations: ground truth. Frames after its last are without known ground truth.

    Attributes:
        truth: ground truth of each frame; None where it is unknown.
        attributes: empty, because the attributes of a benchmark are unknown.

    Raises:
        SourceError: the annotations have more frames than the source.
    """

    def __init__(self, source: FrameSource, annotations: Annotations) -> None:
        if annotations.num_frames > len(source):
            raise SourceError(
                f"{annotations.name}: annotations must be of {source.name}: got {annotations.num_frames} "
                f"frames, expected {len(source)}"
            )
        self._source = source
        self._class_names = annotations.class_names
        truths: Sequence[GroundTruth | None] = annotations.make_truth()
        self.truth: Truths = pad_sequence(truths, len(source), None)
        self.attributes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the source."""
        return self._source.name

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self._source.rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the annotations."""
        return self._class_names

    @property
    def spectral_info(self) -> SpectralInfo | None:
        """Bands of the camera; None for a gray or color camera."""
        return self._source.spectral_info

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._source)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames with the annotations as ground truth."""
        for index, frame in enumerate(self._source):
            yield replace(frame, truth=self.truth[index] if index < len(self.truth) else None)
