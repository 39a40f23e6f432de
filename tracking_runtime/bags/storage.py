"""Storage files of a recording: MCAP, also unfinished, and the other formats of the library rosbags."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, cast

from mcap.exceptions import EndOfFile, McapError
from mcap.reader import make_reader
from mcap.records import Channel, Message, Schema, Statistics
from mcap.stream_reader import CRCValidationError, StreamReader
from mcap.summary import Summary
from mcap.writer import MCAP0_MAGIC
from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.rosbag2 import Reader as RosbagsReader
from rosbags.rosbag2 import ReaderError

from tracking_runtime.bags.metadata import BagStatistics, Qos, Record, Topic, parse_qos
from tracking_runtime.errors import SourceError
from tracking_runtime.messages.definitions import Interface

_RECORD_HEADER_SIZE = 9  # bytes: operation code and length of an MCAP record

_McapMessage = tuple[Schema | None, Channel, Message]


class McapFile:
    """An MCAP file, finished or not.

    Attributes:
        is_complete: whether the writer finished the file.
        statistics: number and times of the messages.
        topics: topics of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.statistics = BagStatistics()
        with _convert_errors(path), path.open("rb") as file:
            start = file.read(len(MCAP0_MAGIC))
            if start != MCAP0_MAGIC[: len(start)]:
                raise SourceError(f"{path} is not a recording in MCAP format")
            self.is_complete = _ends_with_magic(file)
            summary = make_reader(file).get_summary() if self.is_complete else None
            self._intact_size: int | None = None
            if summary and summary.statistics:
                self.topics = self._read_topics_from_summary(summary, summary.statistics)
            else:
                self._intact_size = _find_intact_size(file)
                self.topics = self._read_topics_by_scan(file)

    def read_records(self, topics: Collection[str] | None) -> Iterator[Record]:
        """Yield the records of some topics, or of all."""
        with _convert_errors(self._path), self._path.open("rb") as file:
            for _, channel, message in self._iterate_messages(file, topics):
                yield Record(channel.topic, bytes(message.data), message.log_time, message.publish_time)

    def _iterate_messages(self, file: IO[bytes], topics: Collection[str] | None) -> Iterator[_McapMessage]:
        if self._intact_size is not None:
            return _scan_messages(file, self._intact_size, topics)
        return make_reader(file).iter_messages(topics)

    def _read_topics_from_summary(self, summary: Summary, statistics: Statistics) -> list[Topic]:
        counts = statistics.channel_message_counts
        self.statistics.start_ns = statistics.message_start_time
        self.statistics.end_ns = statistics.message_end_time
        topics = {}
        for number, channel in summary.channels.items():
            topics[channel.topic] = _to_topic(channel, summary.schemas.get(channel.schema_id))
            self.statistics.counts[channel.topic] = self.statistics.counts.get(channel.topic, 0) + counts.get(
                number, 0
            )
        return list(topics.values())

    def _read_topics_by_scan(self, file: IO[bytes]) -> list[Topic]:
        topics: dict[str, Topic] = {}
        for schema, channel, message in self._iterate_messages(file, None):
            topics.setdefault(channel.topic, _to_topic(channel, schema))
            self.statistics.add(channel.topic, message.log_time)
        return list(topics.values())


class OtherStorage:
    """A bag in another storage format, read by rosbags. The format has no time of publication."""

    is_complete = True

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with closing(self._open()) as reader:
                self.topics = [
                    Topic(c.topic, Interface(c.msgtype, c.msgdef.data, c.digest), _to_qos(c.ext))
                    for c in reader.connections
                ]
                self.statistics = BagStatistics(
                    {c.topic: c.msgcount for c in reader.connections}, reader.start_time, reader.end_time - 1
                )
        except (ReaderError, OSError, ValueError) as error:
            raise SourceError(f"{path} cannot be read as a recording: {error}") from error

    def read_records(self, topics: Collection[str] | None) -> Iterator[Record]:
        """Yield the records of some topics, or of all."""
        with closing(self._open()) as reader:
            connections = [c for c in reader.connections if topics is None or c.topic in topics]
            if connections:
                for connection, time_ns, data in reader.messages(connections):
                    yield Record(connection.topic, bytes(data), time_ns, time_ns)

    def _open(self) -> RosbagsReader:
        reader = RosbagsReader(self._path)
        reader.open()
        return reader


@contextmanager
def _convert_errors(path: Path) -> Iterator[None]:
    """Convert the errors of the MCAP library to a `SourceError` that names the recording."""
    try:
        yield
    except (McapError, CRCValidationError, struct.error, KeyError, OSError) as error:
        raise SourceError(f"{path} cannot be read: {error!r}") from error


def _ends_with_magic(file: IO[bytes]) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(MCAP0_MAGIC)))
    end = file.read()
    file.seek(0)
    return size > len(MCAP0_MAGIC) and end == MCAP0_MAGIC


def _find_intact_size(file: IO[bytes]) -> int:
    """Return the end of the last whole record in bytes; 0 if the first magic bytes are incomplete."""
    size = file.seek(0, os.SEEK_END)
    end = len(MCAP0_MAGIC)
    while True:
        file.seek(end)
        header = file.read(_RECORD_HEADER_SIZE)
        next_end = end + _RECORD_HEADER_SIZE + int.from_bytes(header[1:], "little")
        if len(header) < _RECORD_HEADER_SIZE or next_end > size:
            return end if end <= size else 0
        end = next_end


class _FilePrefix:
    """A stream of the first `size` bytes of a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        file.seek(0)
        self._file = file
        self._remaining = size

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._remaining))
        self._remaining -= len(data)
        return data


def _scan_messages(file: IO[bytes], size: int, topics: Collection[str] | None) -> Iterator[_McapMessage]:
    """Yield the messages of an unfinished file in order, up to `size` bytes or the first damaged chunk."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    records = StreamReader(cast("IO[bytes]", _FilePrefix(file, size)), validate_crcs=True).records
    while True:
        try:
            record = next(records)
        except (StopIteration, EndOfFile, CRCValidationError):
            return
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message):
            channel = channels[record.channel_id]
            if topics is None or channel.topic in topics:
                yield schemas.get(channel.schema_id), channel, record


def _to_topic(channel: Channel, schema: Schema | None) -> Topic:
    name = schema.name if schema else ""
    definition = schema.data.decode() if schema and schema.encoding == "ros2msg" else ""
    interface = Interface(name, definition, channel.metadata.get("topic_type_hash", ""))
    return Topic(channel.topic, interface, parse_qos(channel.metadata.get("offered_qos_profiles", "")))


def _to_qos(extension: object) -> tuple[Qos, ...]:
    assert isinstance(extension, ConnectionExtRosbag2)
    return tuple(
        Qos(
            "best_effort" if profile.reliability.name == "BEST_EFFORT" else "reliable",
            "transient_local" if profile.durability.name == "TRANSIENT_LOCAL" else "volatile",
            profile.depth,
        )
        for profile in extension.offered_qos_profiles
    )
