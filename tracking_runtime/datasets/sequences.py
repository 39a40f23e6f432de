"""Videos of a benchmark: frames that are read on access, with ground truth and attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from tracking_runtime.bags import BagReader
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, FrameSource, GroundTruth
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.disk_list import DiskDict, LazySequence, pad_sequence
from tracking_runtime.io.image_file import read_image_file
from tracking_runtime.io.wrapped_source import WrappedSource
from tracking_runtime.messages.conversion import read_serialized_stamp_ns
from tracking_runtime.spectral_info import SpectralInfo

Truths = Sequence[GroundTruth | None]
"""Ground truth of each frame of a video; None where it is unknown."""


class VideoSequence(FrameSource, Protocol):
    """A source of frames whose ground truth can be read without its images."""

    @property
    def truth(self) -> Truths:
        """Ground truth of each frame; None where it is unknown."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """The benchmark's abbreviations of what makes the video hard to track (OCC, SV, …)."""


def _make_unknown_truth() -> Truths:
    return []


@dataclass(frozen=True)
class ImageSequence:
    """A video with one image file per frame.

    Attributes:
        name: name, unique within the benchmark; `/` separates a category and a number.
        image_paths: image files in order.
        read_truth: function that reads the ground truth of each frame, an empty list if unknown. Raises
            SourceError.
        read_image: function from a file to pixels and their encoding. Raises SourceError.
        class_names: name of each class id.
        spectral_info: bands of the camera; None for an ordinary camera.
        rate_hz: frames per second. The stamps are multiples of the period.
        attributes: the benchmark's abbreviations of what makes the video hard to track.
        stamps_ns: stamps of the frames in nanoseconds; empty: computed from `rate_hz`.
    """

    name: str
    image_paths: tuple[Path, ...]
    read_truth: Callable[[], Truths] = _make_unknown_truth
    read_image: Callable[[Path], tuple[NDArray[Any], str]] = read_image_file
    class_names: tuple[str, ...] = ("object",)
    spectral_info: SpectralInfo | None = None
    rate_hz: float = 10.0
    attributes: tuple[str, ...] = ()
    stamps_ns: tuple[int, ...] = ()

    @cached_property
    def truth(self) -> Truths:
        """Ground truth of each frame, read on first access.

        Raises:
            SourceError: the ground-truth file is invalid.
        """
        return pad_sequence(self.read_truth(), len(self.image_paths), None)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.image_paths)

    def read_frame(self, index: int) -> Frame:
        """Read one frame. The index counts from 0."""
        image, encoding = self.read_image(self.image_paths[index])
        stamp_ns = self.stamps_ns[index] if self.stamps_ns else round((index + 1) * 1e9 / self.rate_hz)
        return Frame(stamp_ns, image, encoding, truth=self.truth[index])

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames. Read each image when its frame is requested."""
        return (self.read_frame(index) for index in range(len(self.image_paths)))


@dataclass(frozen=True)
class TruthSequence:
    """A video of which only the ground truth is available: results can be scored, trackers cannot run.

    Attributes:
        name: name, unique within the benchmark.
        path: file or folder of the ground truth.
        read_truth: function that reads the ground truth of each frame. Raises SourceError.
        class_names: name of each class id.
        attributes: the benchmark's abbreviations of what makes the video hard to track.
        spectral_info: bands of the camera; None for an ordinary camera.
        rate_hz: frames per second.
    """

    name: str
    path: Path
    read_truth: Callable[[], Truths]
    class_names: tuple[str, ...] = ("object",)
    attributes: tuple[str, ...] = ()
    spectral_info: SpectralInfo | None = None
    rate_hz: float = 10.0

    @cached_property
    def truth(self) -> Truths:
        """Ground truth of each frame, read on first access. Raises SourceError."""
        return self.read_truth()

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.truth)

    def __iter__(self) -> Iterator[Frame]:
        """Raise SourceError, because the video has no images."""
        raise SourceError(
            f"{self.path} is the ground truth of {self.name}, but its images are not beside it; "
            "add the images, or score result files"
        )


class BagSequence(BagSource):
    """A recording as one video of a benchmark.

    Args:
        path: recording.
        topic: topic of the images, see `BagSource`.
    """

    attributes: tuple[str, ...] = ()

    def __init__(self, path: str | Path, *, topic: str = "") -> None:
        super().__init__(path, topic=topic)
        self.path = Path(path)

    @cached_property
    def stamps_ns(self) -> list[int]:
        """Stamp of each frame in nanoseconds, read without its pixels."""
        records = BagReader(self.path).read_records([self.image_topic])
        with self._convert_errors(self.image_topic):
            return [read_serialized_stamp_ns(record.data) for record in records]

    @cached_property
    def truth(self) -> Truths:
        """Ground truth of each frame, matched by stamp."""
        if not self.truth_topic:
            return [None] * len(self)
        truth_by_stamp = DiskDict(self.read_truths())
        stamps_ns = self.stamps_ns
        return LazySequence(len(stamps_ns), lambda index: truth_by_stamp.get(stamps_ns[index]))


class SourceSequence(WrappedSource):
    """Any source of frames as a video of a benchmark.

    Args:
        source: the source.
    """

    def convert_frame(self, frame: Frame) -> Frame:
        """Return the frame of the source."""
        return frame


def find_source_path(video: VideoSequence) -> Path | None:
    """Return a video's recording or image folder with links resolved, None if the video has no path."""
    source: Any = video
    while isinstance(source, WrappedSource):
        source = source.source
    if isinstance(source, ImageSequence):
        return source.image_paths[0].parent.resolve() if source.image_paths else None
    path: Path | None = getattr(source, "path", None)
    return None if path is None else path.resolve()
