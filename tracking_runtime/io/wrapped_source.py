"""Base of sources that change the frames of another source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path

from tracking_runtime.frames import Frame, FrameSource, GroundTruth
from tracking_runtime.io.georeference import GeoReference
from tracking_runtime.spectral_info import SpectralInfo


class WrappedSource:
    """A source with the frames of another one, each converted.

    Args:
        source: the other source.

    Attributes:
        source: the other source.
    """

    def __init__(self, source: FrameSource) -> None:
        self.source = source

    def convert_frame(self, frame: Frame) -> Frame:
        """Return a frame of the other source as a frame of this source."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Name of the other source."""
        return self.source.name

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self.source.rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the ground truth."""
        return self.source.class_names

    @property
    def spectral_info(self) -> SpectralInfo | None:
        """Bands of the camera; None if they are not described."""
        return self.source.spectral_info

    @property
    def truth(self) -> Sequence[GroundTruth | None]:
        """Ground truth of each frame; None where it is unknown."""
        truth: Sequence[GroundTruth | None] | None = getattr(self.source, "truth", None)
        return [frame.truth for frame in self.source] if truth is None else truth

    @property
    def attributes(self) -> tuple[str, ...]:
        """The benchmark's abbreviations of what makes the video hard to track."""
        return getattr(self.source, "attributes", ())

    @property
    def georeference(self) -> GeoReference | None:
        """Position of the first frame on the Earth; None if unknown."""
        return getattr(self.source, "georeference", None)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Statements about assumptions and oddities of the source, for users."""
        return getattr(self.source, "remarks", ())

    @property
    def path(self) -> Path | None:
        """File or folder of the other source; None without one."""
        return getattr(self.source, "path", None)

    @property
    def options_text(self) -> str:
        """Options of the source, as far as its frames depend on them, as text."""
        return getattr(self.source, "options_text", "")

    def __copy__(self) -> WrappedSource:
        """Copy the source with the other source, which may keep ground truth in memory."""
        duplicate = object.__new__(type(self))
        duplicate.__dict__.update(self.__dict__, source=copy(self.source))
        return duplicate

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.source)

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the converted frames."""
        return map(self.convert_frame, self.source)
