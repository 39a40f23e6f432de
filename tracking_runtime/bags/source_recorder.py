"""A source of frames as the messages of a recording, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracking_runtime.bags import BagWriter, Compression, Qos, Record, Topic
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.prefetch import read_ahead
from tracking_runtime.messages.conversion import (
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    serialize_image,
    serialize_spectral_info,
    serialize_truth,
)
from tracking_runtime.messages.definitions import describe
from tracking_runtime.spectral_info import SpectralInfo


@dataclass(frozen=True)
class RecordedFrame:
    """The messages of one frame.

    Attributes:
        stamp_ns: the frame's.
        ahead: what has to be known before the frame comes: the bands.
        records: its ground truth, where there is any, and then its image.
    """

    stamp_ns: int
    ahead: tuple[Record, ...]
    records: tuple[Record, ...]


class SourceRecording:
    """What a recorder would write of a player of this source: image, ground_truth and spectral_info.

    Args:
        source: of the frames.
        namespace: of the topics, as in ``/camera``.
    """

    def __init__(self, source: FrameSource, *, namespace: str = "") -> None:
        self._source = source
        self._image, self._truth, self._info = (
            f"/{namespace.strip('/')}/{name}".replace("//", "/")
            for name in ("image", "ground_truth", "spectral_info")
        )

    @property
    def topics(self) -> list[Topic]:
        """The topics of the recording."""
        latched = (Qos(durability="transient_local", depth=1),)
        info = [Topic(self._info, describe(SPECTRAL_INFO), latched)] if self._source.spectral_info else []
        return [
            *info,
            Topic(self._image, describe(IMAGE), (Qos(),)),
            Topic(self._truth, describe(TRACKS), (Qos(),)),
        ]

    def __iter__(self) -> Iterator[RecordedFrame]:
        """The messages of each frame; the bands come ahead of the first."""
        info = self._source.spectral_info
        for index, frame in enumerate(self._source):
            ahead = []
            if index == 0 and info is not None:
                ahead.append(
                    _record(self._info, serialize_spectral_info(info, frame.stamp_ns, frame.frame_id), frame)
                )
            records = []
            if frame.truth is not None:
                size, names = _size_in_box_pixels(frame, info), self._source.class_names
                data = serialize_truth(frame.truth, frame.stamp_ns, frame.frame_id, size, names)
                records.append(_record(self._truth, data, frame))
            records.append(_record(self._image, serialize_image(frame), frame))
            yield RecordedFrame(frame.stamp_ns, tuple(ahead), tuple(records))


def record(
    source: FrameSource, output: Path, *, namespace: str = "", compression: Compression = "none"
) -> Iterator[int]:
    """Write a source as a bag, one frame at a time.

    Returns:
        the stamp of each frame, when it is written.

    Raises:
        SourceError: the folder ``output`` exists; later: a frame cannot be read.
    """
    writer = BagWriter(output, compression=compression)
    return _write_frames(writer, SourceRecording(source, namespace=namespace))


def _write_frames(writer: BagWriter, recording: SourceRecording) -> Iterator[int]:
    with writer:
        for topic in recording.topics:
            writer.add(topic)
        for frame in read_ahead(recording, depth=4):
            for message in (*frame.ahead, *frame.records):
                writer.write(*message)
            yield frame.stamp_ns


def _size_in_box_pixels(frame: Frame, info: SpectralInfo | None) -> tuple[int, int]:
    """Width and height in the pixels that boxes count: of its cube, if the image is a raw mosaic."""
    height, width = frame.image.shape[:2]
    if frame.image.ndim == 3 or info is None or info.mosaic is None:
        return width, height
    rows, columns = info.mosaic
    return width // columns, height // rows


def _record(topic: str, data: bytes, frame: Frame) -> Record:
    return Record(topic, data, frame.stamp_ns, frame.stamp_ns)
