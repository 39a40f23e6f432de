"""One video of a benchmark: frames read when they are asked for, and what is known of them."""

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
from tracking_runtime.io.disk_list import Made, SpooledMapping, padded
from tracking_runtime.io.sources import BagSource, read_image_file
from tracking_runtime.messages.conversion import read_truth, stamp_of
from tracking_runtime.messages.conversion import stamp_ns as stamp_of_message
from tracking_runtime.spectral_info import SpectralInfo

Truths = Sequence[GroundTruth | None]


class VideoSequence(FrameSource, Protocol):
    """A source of frames whose truth can be had without its images."""

    @property
    def truth(self) -> Truths:
        """What is in each frame; None where nothing is known."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """What makes the video hard, by the benchmark's abbreviations (OCC, SV, …)."""


def _unknown() -> Truths:
    return []


@dataclass(frozen=True)
class ImageSequence:
    """A video kept as one file a frame.

    Attributes:
        name: unique within its benchmark; ``/`` between a category and a number.
        paths: of the images, in order.
        read_truth: reads the truth of each frame; an empty list where there is none. Raises SourceError.
        read_image: turns a file into pixels and their encoding. Raises SourceError.
        class_names: name of each class id, by index.
        spectral_info: the camera's bands; None for an ordinary camera.
        rate_hz: frames a second; stamps are multiples of its inverse.
        attributes: what makes it hard.
        stamps_ns: of the frames, where they are known.
    """

    name: str
    paths: tuple[Path, ...]
    read_truth: Callable[[], Truths] = _unknown
    read_image: Callable[[Path], tuple[NDArray[Any], str]] = read_image_file
    class_names: tuple[str, ...] = ("object",)
    spectral_info: SpectralInfo | None = None
    rate_hz: float = 10.0
    attributes: tuple[str, ...] = ()
    stamps_ns: tuple[int, ...] = ()

    @cached_property
    def truth(self) -> Truths:
        """What is in each frame, read once.

        Raises:
            SourceError: the file with it cannot be believed.
        """
        return padded(self.read_truth(), len(self.paths), None)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.paths)

    def frame(self, index: int) -> Frame:
        """One frame, its image read now; frames count from 0."""
        image, encoding = self.read_image(self.paths[index])
        stamp = self.stamps_ns[index] if self.stamps_ns else round((index + 1) * 1e9 / self.rate_hz)
        return Frame(stamp, image, encoding, truth=self.truth[index])

    def __iter__(self) -> Iterator[Frame]:
        """The frames, one at a time."""
        return (self.frame(index) for index in range(len(self.paths)))


@dataclass(frozen=True)
class TruthSequence:
    """A video of which only the truth is here: enough to score results, not to track anything."""

    name: str
    path: Path
    read_truth: Callable[[], Truths]
    class_names: tuple[str, ...] = ("object",)
    attributes: tuple[str, ...] = ()
    spectral_info: SpectralInfo | None = None
    rate_hz: float = 10.0

    @cached_property
    def truth(self) -> Truths:
        """What is in each frame, read once. Raises SourceError."""
        return self.read_truth()

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.truth)

    def __iter__(self) -> Iterator[Frame]:
        """Fails: there are no images.

        Raises:
            SourceError: always.
        """
        raise SourceError(f"{self.path} is the truth of {self.name}, but its images are not beside it")


class BagSequence(BagSource):
    """A recording as one video of a benchmark.

    Args:
        path: of the recording.
        topic: of its images, see ``BagSource``.
    """

    attributes: tuple[str, ...] = ()

    def __init__(self, path: str | Path, *, topic: str = "") -> None:
        super().__init__(path, topic=topic)
        self.path = Path(path)

    @cached_property
    def stamps(self) -> list[int]:
        """When each frame was taken, in nanoseconds, without reading pixels."""
        return [stamp_of(record.data) for record in BagReader(self.path).records([self.image_topic])]

    @cached_property
    def truth(self) -> Truths:
        """What is in each frame, by its stamp."""
        if not self.truth_topic:
            return [None] * len(self)
        messages = BagReader(self.path).messages([self.truth_topic])
        known = SpooledMapping((stamp_of_message(message), read_truth(message)) for _, message in messages)
        stamps = self.stamps
        return Made(len(stamps), lambda index: known.get(stamps[index]))


def place_of(video: VideoSequence) -> Path | None:
    """Where a video lies, without links: its recording, or the folder of its images; None: nowhere."""
    if isinstance(video, ImageSequence):
        return video.paths[0].parent.resolve() if video.paths else None
    return video.path.resolve() if isinstance(video, (BagSequence, TruthSequence)) else None
