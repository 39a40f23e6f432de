"""Recorder of a source of frames, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracking_runtime.bags import BagWriter, Compression, Qos, Record, Topic
from tracking_runtime.frames import Frame, FrameSource, compute_box_image_size
from tracking_runtime.io.prefetch import prefetch
from tracking_runtime.messages.conversion import (
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    serialize_image,
    serialize_spectral_info,
    serialize_truth,
)
from tracking_runtime.messages.definitions import find_interface


@dataclass(frozen=True)
class FrameMessages:
    """The messages of one frame.

    Attributes:
        stamp_ns: stamp of the frame in nanoseconds.
        first_records: messages before all frames: the bands.
        records: ground truth, if any, then the image.
    """

    stamp_ns: int
    first_records: tuple[Record, ...]
    records: tuple[Record, ...]


class SourceMessages:
    """The messages that the node `player` would publish of a source: image, ground truth, bands.

    Args:
        source: the frames.
        namespace: namespace of the topics, for example `/camera`.
    """

    def __init__(self, source: FrameSource, *, namespace: str = "") -> None:
        self._source = source
        self._image, self._truth, self._info = (
            f"/{namespace.strip('/')}/{name}".replace("//", "/")
            for name in ("image", "ground_truth", "spectral_info")
        )

    @property
    def topics(self) -> list[Topic]:
        """Topics of the recording."""
        latched = (Qos(durability="transient_local", depth=1),)
        info = (
            [Topic(self._info, find_interface(SPECTRAL_INFO), latched)] if self._source.spectral_info else []
        )
        return [
            *info,
            Topic(self._image, find_interface(IMAGE), (Qos(),)),
            Topic(self._truth, find_interface(TRACKS), (Qos(),)),
        ]

    def __iter__(self) -> Iterator[FrameMessages]:
        """Yield the messages of each frame. The bands, if known, are `first_records` of the first frame.

        Raises:
            SourceError: a frame cannot be read.
        """
        info = self._source.spectral_info
        for index, frame in enumerate(self._source):
            first_records = []
            if index == 0 and info is not None:
                first_records.append(
                    _make_record(
                        self._info, serialize_spectral_info(info, frame.stamp_ns, frame.frame_id), frame
                    )
                )
            records = []
            if frame.truth is not None:
                size, names = compute_box_image_size(frame, info), self._source.class_names
                data = serialize_truth(frame.truth, frame.stamp_ns, frame.frame_id, size, names)
                records.append(_make_record(self._truth, data, frame))
            records.append(_make_record(self._image, serialize_image(frame), frame))
            yield FrameMessages(frame.stamp_ns, tuple(first_records), tuple(records))


def record_source(
    source: FrameSource, output: Path, *, namespace: str = "", compression: Compression = "none"
) -> Iterator[int]:
    """Write a source to a bag, one frame per step of the returned iterator.

    Args:
        source: the frames.
        output: folder of the bag. The folder must not exist.
        namespace: namespace of the topics, for example `/camera`.
        compression: compression of the chunks.

    Returns:
        An iterator that writes a frame and yields its stamp in nanoseconds.

    Raises:
        SourceError: the folder exists. While iterating: a frame cannot be read.
    """
    writer = BagWriter(output, compression=compression)
    return _write_frames(writer, SourceMessages(source, namespace=namespace))


def _write_frames(writer: BagWriter, recording: SourceMessages) -> Iterator[int]:
    with writer:
        for topic in recording.topics:
            writer.add_topic(topic)
        for frame in prefetch(recording, depth=4):
            for message in (*frame.first_records, *frame.records):
                writer.write(*message)
            yield frame.stamp_ns


def _make_record(topic: str, data: bytes, frame: Frame) -> Record:
    return Record(topic, data, frame.stamp_ns, frame.stamp_ns)
