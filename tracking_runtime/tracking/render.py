"""Overlay of a recording as a video: `rstrack render`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracking_runtime.bags import BagReader
from tracking_runtime.boxes import as_boxes
from tracking_runtime.errors import SourceError
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.disk_list import DiskDict
from tracking_runtime.io.prefetch import prefetch
from tracking_runtime.messages.conversion import TARGET_TRACKS, TRACKS, duration_to_ms, read_stamp_ns
from tracking_runtime.messages.track_drawings import make_target_drawing, make_track_drawing
from tracking_runtime.overlay import TrackDrawing
from tracking_runtime.tracking.overlay_video import OverlayVideo

_MAKE_DRAWING = {TRACKS: make_track_drawing, TARGET_TRACKS: make_target_drawing}
_NO_TRACKS = TrackDrawing(np.zeros(0, np.int64), as_boxes([]), [], [])
_PREFETCH_FRAMES = 4


@dataclass(frozen=True)
class RenderOptions:
    """Options of a rendering.

    Attributes:
        topic: topic of the images; empty: found, see `BagSource`.
        tracks_topic: topic of the tracks; empty: the only one.
        draws_truth: True draws recorded ground truth.
        scale: factor by which images are enlarged; 0: chosen by their size.
        trail: number of frames that a trail shows. Higher draws longer trails.
    """

    topic: str = ""
    tracks_topic: str = ""
    draws_truth: bool = True
    scale: int = 0
    trail: int = 30


@dataclass(frozen=True)
class _RecordedTracks:
    """Drawing of the tracks of one frame, the epoch of their ids, and their latency in milliseconds."""

    drawing: TrackDrawing
    epoch: int
    latency_ms: float


class BagRendering:
    """The overlay of one camera of a recording.

    Args:
        bag: recording.
        options: options of the rendering.

    Attributes:
        source: the images with their ground truth.
        tracks_topic: topic of the tracks; empty if only ground truth was recorded.
        num_unpaired: number of frames without tracks that were drawn.

    Raises:
        SourceError: the recording has no images, or neither tracks nor ground truth.
    """

    def __init__(self, bag: Path, options: RenderOptions) -> None:
        self._options = options
        self._reader = BagReader(bag)
        self.source = BagSource(bag, topic=options.topic)
        self.tracks_topic = self._choose_tracks_topic(options.tracks_topic)
        self.num_unpaired = 0

    def write(self, output: Path) -> Iterator[None]:
        """Write the video, one frame per step of the iterator. A failing recording leaves no file.

        Args:
            output: MP4 file. An existing file is replaced.

        Raises:
            SourceError: a frame cannot be read.
            OSError: the file cannot be written.
        """
        try:
            yield from self._write_frames(output)
        except SourceError:
            output.unlink(missing_ok=True)
            raise

    def _write_frames(self, output: Path) -> Iterator[None]:
        options = self._options
        tracks_by_stamp = DiskDict(self._read_tracks())
        epoch = None
        with (
            closing(prefetch(self.source, _PREFETCH_FRAMES)) as frames,
            closing(
                OverlayVideo(
                    output,
                    self.source.rate_hz,
                    bands=self.source.spectral_info,
                    scale=options.scale,
                    trail=options.trail,
                )
            ) as video,
        ):
            for frame in frames:
                tracks = tracks_by_stamp.get(frame.stamp_ns)
                if tracks is not None and epoch not in (None, tracks.epoch):
                    video.clear_trails()
                epoch = tracks.epoch if tracks is not None else epoch
                self.num_unpaired += tracks is None
                truth = frame.truth.boxes if frame.truth is not None and options.draws_truth else None
                drawing = _NO_TRACKS if tracks is None else tracks.drawing
                video.write(frame, drawing, truth=truth, caption=_make_caption(tracks))
                yield

    def _read_tracks(self) -> Iterator[tuple[int, _RecordedTracks]]:
        """Yield the stamp and the tracks of each message."""
        if not self.tracks_topic:
            return
        make_drawing = _MAKE_DRAWING[self._reader.topics[self.tracks_topic].interface.name]
        for _, message in self._reader.read_messages([self.tracks_topic]):
            yield read_stamp_ns(message), self._convert(message, make_drawing)

    def _convert(self, message: Any, make_drawing: Any) -> _RecordedTracks:
        try:
            return _RecordedTracks(make_drawing(message), int(message.epoch), duration_to_ms(message.latency))
        except (ValueError, AttributeError, TypeError, IndexError) as error:
            raise SourceError(f"{self._reader.path}, topic {self.tracks_topic}: {error}") from error

    def _choose_tracks_topic(self, topic: str) -> str:
        topics = [
            name
            for kind in _MAKE_DRAWING
            for name in self._reader.find_topics(kind)
            if name.rpartition("/")[2] != "ground_truth"
        ]
        if (topic and topic not in topics) or (len(topics) > 1 and not topic):
            available = ", ".join(topics) or "none"
            raise SourceError(
                f"{self._reader.path}: choose the topic of tracks (--tracks-topic); available: {available}"
            )
        if not topics and not self.source.truth_topic:
            raise SourceError(
                f"{self._reader.path} has neither tracks nor ground truth: got the topics "
                f"{', '.join(self._reader.topics)}; track its images with rstrack track"
            )
        return topic or (topics[0] if topics else "")


def _make_caption(tracks: _RecordedTracks | None) -> str:
    if tracks is None:
        return ""
    return f"{len(tracks.drawing.ids)} tracked   {tracks.latency_ms:.0f} ms"
