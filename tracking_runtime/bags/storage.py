"""The files of a recording: MCAP, also where its writer died, and what else the rosbags library reads."""

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

from tracking_runtime.bags.metadata import Qos, Record, Tally, Topic, parse_qos
from tracking_runtime.errors import SourceError
from tracking_runtime.messages.definitions import Interface

_RECORD_HEADER_SIZE = 9

_McapMessage = tuple[Schema | None, Channel, Message]


class McapFile:
    """One MCAP file, finished or not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tally = Tally()
        with _source_errors(path), path.open("rb") as file:
            start = file.read(len(MCAP0_MAGIC))
            if start != MCAP0_MAGIC[: len(start)]:
                raise SourceError(f"{path} is not a recording in MCAP format")
            self.complete = _ends_with_magic(file)
            summary = make_reader(file).get_summary() if self.complete else None
            self._intact_size: int | None = None
            if summary and summary.statistics:
                self.topics = self._summarised(summary, summary.statistics)
            else:
                self._intact_size = _intact_size(file)
                self.topics = self._scanned(file)

    def records(self, topics: Collection[str] | None) -> Iterator[Record]:
        """The messages of some topics, or of all."""
        with _source_errors(self._path), self._path.open("rb") as file:
            for _, channel, message in self._messages(file, topics):
                yield Record(channel.topic, bytes(message.data), message.log_time, message.publish_time)

    def _messages(self, file: IO[bytes], topics: Collection[str] | None) -> Iterator[_McapMessage]:
        if self._intact_size is not None:
            return _scan(file, self._intact_size, topics)
        return make_reader(file).iter_messages(topics)

    def _summarised(self, summary: Summary, statistics: Statistics) -> list[Topic]:
        counts = statistics.channel_message_counts
        self.tally.start_ns = statistics.message_start_time
        self.tally.end_ns = statistics.message_end_time
        topics = {}
        for number, channel in summary.channels.items():
            topics[channel.topic] = _topic(channel, summary.schemas.get(channel.schema_id))
            self.tally.counts[channel.topic] = self.tally.counts.get(channel.topic, 0) + counts.get(number, 0)
        return list(topics.values())

    def _scanned(self, file: IO[bytes]) -> list[Topic]:
        topics: dict[str, Topic] = {}
        for schema, channel, message in self._messages(file, None):
            topics.setdefault(channel.topic, _topic(channel, schema))
            self.tally.add(channel.topic, message.log_time)
        return list(topics.values())


class OtherStorage:
    """A storage file other than MCAP, as the rosbags library reads it; it keeps no time of publication."""

    complete = True

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with closing(self._open()) as reader:
                self.topics = [
                    Topic(c.topic, Interface(c.msgtype, c.msgdef.data, c.digest), _known_qos(c.ext))
                    for c in reader.connections
                ]
                self.tally = Tally(
                    {c.topic: c.msgcount for c in reader.connections}, reader.start_time, reader.end_time - 1
                )
        except (ReaderError, OSError, ValueError) as error:
            raise SourceError(f"{path} is not a recording that can be read: {error}") from error

    def records(self, topics: Collection[str] | None) -> Iterator[Record]:
        """The messages of some topics, or of all."""
        with closing(self._open()) as reader:
            wanted = [c for c in reader.connections if topics is None or c.topic in topics]
            if wanted:
                for connection, time_ns, data in reader.messages(wanted):
                    yield Record(connection.topic, bytes(data), time_ns, time_ns)

    def _open(self) -> RosbagsReader:
        reader = RosbagsReader(self._path)
        reader.open()
        return reader


@contextmanager
def _source_errors(path: Path) -> Iterator[None]:
    """Say of which recording an error speaks."""
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


def _intact_size(file: IO[bytes]) -> int:
    """Where the last whole record of an MCAP file ends; 0 if not even its first magic is whole."""
    size = file.seek(0, os.SEEK_END)
    end = len(MCAP0_MAGIC)
    while True:
        file.seek(end)
        header = file.read(_RECORD_HEADER_SIZE)
        next_end = end + _RECORD_HEADER_SIZE + int.from_bytes(header[1:], "little")
        if len(header) < _RECORD_HEADER_SIZE or next_end > size:
            return end if end <= size else 0
        end = next_end


class _Prefix:
    """The first ``size`` bytes of a file, as a stream."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        file.seek(0)
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def _scan(file: IO[bytes], size: int, topics: Collection[str] | None) -> Iterator[_McapMessage]:
    """The messages of an unfinished file, in its order, up to ``size`` or the first damaged chunk."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    records = StreamReader(cast("IO[bytes]", _Prefix(file, size)), validate_crcs=True).records
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


def _topic(channel: Channel, schema: Schema | None) -> Topic:
    name = schema.name if schema else ""
    definition = schema.data.decode() if schema and schema.encoding == "ros2msg" else ""
    interface = Interface(name, definition, channel.metadata.get("topic_type_hash", ""))
    return Topic(channel.topic, interface, parse_qos(channel.metadata.get("offered_qos_profiles", "")))


def _known_qos(extension: object) -> tuple[Qos, ...]:
    assert isinstance(extension, ConnectionExtRosbag2)
    return tuple(
        Qos(
            "best_effort" if profile.reliability.name == "BEST_EFFORT" else "reliable",
            "transient_local" if profile.durability.name == "TRANSIENT_LOCAL" else "volatile",
            profile.depth,
        )
        for profile in extension.offered_qos_profiles
    )
