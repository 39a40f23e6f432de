"""MCAP files, finished or not, whose damaged parts are skipped and told."""

from __future__ import annotations

import heapq
import itertools
import math
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tracking_runtime.bags import mcap_records as mcap
from tracking_runtime.bags.metadata import BagStatistics, Damage, Record, Topic, parse_qos
from tracking_runtime.bags.unpacking import (
    DamagedBlockError,
    UnpackingBudget,
    check_stated_size,
    unpack_block,
    unpack_zstd_message,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.messages.definitions import Interface, UnknownTypeError, find_interface
from tracking_runtime.untrusted.files import open_file
from tracking_runtime.untrusted.limits import UNPACKED_BYTES

WRITER_LIBRARY = "remote_sensing_tracking"
"""Writer in the header of the files of `BagWriter`, which numbers topics from 1 as they are added."""


class _Entry(NamedTuple):
    """A message in a chunk. Entries sort by time, then in the order of the file."""

    log_time_ns: int
    number: int
    publish_time_ns: int
    channel_id: int
    data: memoryview


class McapFile:
    """An MCAP file, finished or not.

    The checksums of the summary and of each chunk are verified when they are read. Damaged chunks are
    skipped, logged once, and listed.

    Args:
        path: file.
        expected_topics: topics of the recording by its metadata. They replace definitions in a damaged chunk
            of a file that this package wrote.
        has_packed_messages: True if rosbag2 compressed each message.

    Attributes:
        is_complete: True if the writer finished the file.
        statistics: number and times of the messages.
        damages: damaged parts that were found so far.

    Raises:
        SourceError: the file is not in MCAP format, or cannot be read.
    """

    def __init__(
        self, path: Path, expected_topics: Sequence[Topic] = (), *, has_packed_messages: bool = False
    ) -> None:
        self._path = path
        self._expected_topics = expected_topics
        self._has_packed_messages = has_packed_messages
        self._schemas: dict[int, mcap.Schema] = {}
        self._channels: dict[int, mcap.Channel] = {}
        self._topics: dict[int, Topic] = {}
        self._chunks: list[mcap.ChunkIndex] | None = None
        self._is_own = False
        self._numbers = itertools.count()
        self.statistics = BagStatistics()
        self.damages: list[Damage] = []
        with self._open() as file:
            self._size = path.stat().st_size
            start = file.read(len(mcap.MAGIC))
            if start != mcap.MAGIC[: len(start)]:
                raise SourceError(f"{path} is not a recording in MCAP format")
            self._is_own = self._read_library(file) == WRITER_LIBRARY
            footer = mcap.read_footer(file, self._size)
            self.is_complete = footer is not None
            statistics = self._read_summary(file, footer) if footer and footer.summary_start else None
            if statistics is None:
                self._count_by_scan(file)
            else:
                self._count_by_summary(statistics)

    @property
    def topics(self) -> list[Topic]:
        """Topics of the file."""
        return list({topic.name: topic for topic in self._topics.values()}.values())

    def read_records(self, topics: Collection[str] | None) -> Iterator[Record]:
        """Yield the records of some topics, or of all, by time of recording.

        Records of an unfinished file come in the order of the file.
        """
        with self._open() as file:
            budget = UnpackingBudget(self._path)
            for entry in self._iterate_entries(file, budget, topics):
                topic = self._topics[entry.channel_id]
                if topics is None or topic.name in topics:
                    data = self._unpack_message(entry, budget)
                    if data is not None:
                        yield Record(topic.name, data, entry.log_time_ns, entry.publish_time_ns)

    def check(self) -> None:
        """Read the whole file, so that all damages are found.

        Raises:
            SourceError: the file unpacks to more than its limit.
        """
        for _ in self.read_records(None):
            pass
        if self.damages:
            return
        with self._open() as file:
            footer = mcap.read_footer(file, self._size)
            end = mcap.find_data_end(file, footer) if footer else None
            if end is not None and end.crc and mcap.compute_data_crc(file, end.offset) != end.crc:
                self._report(0, end.offset, "checksum of the data differs; the messages are intact")

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        try:
            with open_file(self._path) as file:
                yield file
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror or error}") from error

    def _unpack_message(self, entry: _Entry, budget: UnpackingBudget) -> bytes | None:
        if not self._has_packed_messages:
            return bytes(entry.data)
        try:
            return unpack_zstd_message(bytes(entry.data), budget)
        except DamagedBlockError as error:
            self._report(entry.log_time_ns, len(entry.data), f"message skipped: {error}")
            return None

    def _report(self, offset: int, size: int, reason: str) -> None:
        """Log a damaged part and add it to the list, once."""
        damage = Damage(self._path, offset, size, reason)
        if damage not in self.damages:
            self.damages.append(damage)
            damage.log()

    # Topics and counts

    def _read_library(self, file: IO[bytes]) -> str:
        """Return the name of the library that wrote the file; empty if the header is damaged."""
        prefix = mcap.read_prefix(file, len(mcap.MAGIC))
        if prefix is None or prefix[0] != mcap.HEADER or prefix[1] > self._size:
            return ""
        try:
            fields = mcap.FieldReader(file.read(prefix[1]))
            fields.read_text()
            return fields.read_text()
        except DamagedBlockError:
            return ""

    def _read_summary(self, file: IO[bytes], footer: mcap.Footer) -> mcap.Statistics | None:
        """Read schemas, channels and chunks from the summary; return None if it cannot be used."""
        size = footer.offset - footer.summary_start
        file.seek(min(footer.summary_start, self._size))
        summary = file.read(max(size, 0))
        if size <= 0 or (footer.crc and mcap.compute_summary_crc(summary, footer) != footer.crc):
            self._report(
                footer.summary_start, max(size, 0), "checksum of the index differs, every chunk is read"
            )
            return None
        statistics: mcap.Statistics | None = None
        chunks: dict[int, mcap.ChunkIndex] = {}
        try:
            for opcode, content in mcap.iterate_block(summary):
                if opcode == mcap.CHUNK_INDEX:
                    chunk = mcap.parse_chunk_index(content)
                    chunks[chunk.offset] = chunk
                elif opcode == mcap.STATISTICS:
                    statistics = mcap.parse_statistics(content)
                else:
                    self._define(opcode, content)
        except DamagedBlockError as error:
            self._report(footer.summary_start, size, f"index: {error}")
            return None
        if (
            statistics is None
            or statistics.chunk_count != len(chunks)
            or (statistics.message_count and not chunks)
        ):
            return None
        self._chunks = sorted(chunks.values(), key=lambda chunk: (chunk.start_ns, chunk.offset))
        return statistics

    def _count_by_summary(self, statistics: mcap.Statistics) -> None:
        self.statistics.start_ns = statistics.start_ns
        self.statistics.end_ns = statistics.end_ns
        for number in self._channels:
            topic = self._find_topic(number)
            if topic is not None:
                count = statistics.channel_counts.get(number, 0)
                self.statistics.counts[topic.name] = self.statistics.counts.get(topic.name, 0) + count

    def _count_by_scan(self, file: IO[bytes]) -> None:
        self._chunks = None
        for entry in self._scan(file, UnpackingBudget(self._path)):
            self.statistics.add(self._topics[entry.channel_id].name, entry.log_time_ns)

    def _define(self, opcode: int, content: memoryview) -> None:
        """Keep a schema or channel. Raises DamagedBlockError."""
        if opcode == mcap.SCHEMA:
            number, schema = mcap.parse_schema(content)
            self._schemas.setdefault(number, schema)
        elif opcode == mcap.CHANNEL:
            channel = mcap.parse_channel(content)
            self._channels.setdefault(channel.id, channel)

    def _find_topic(self, channel_id: int) -> Topic | None:
        """Return the topic of a channel; None if no intact part of the file defines it."""
        if channel_id not in self._topics:
            channel = self._channels.get(channel_id)
            if channel is not None:
                self._topics[channel_id] = self._make_topic(channel)
            elif self._is_own and 0 < channel_id <= len(self._expected_topics):
                topic = self._expected_topics[channel_id - 1]
                self._topics[channel_id] = Topic(topic.name, _complete(topic.interface), topic.qos)
        return self._topics.get(channel_id)

    def _make_topic(self, channel: mcap.Channel) -> Topic:
        schema = self._schemas.get(channel.schema_id)
        try:
            definition = schema.definition.decode() if schema and schema.encoding == "ros2msg" else ""
            qos = parse_qos(channel.metadata.get("offered_qos_profiles", ""))
        except ValueError as error:
            raise SourceError(f"{self._path}, topic {channel.topic}: {error}") from error
        type_hash = channel.metadata.get("topic_type_hash", "")
        return Topic(channel.topic, Interface(schema.name if schema else "", definition, type_hash), qos)

    # Messages

    def _iterate_entries(
        self, file: IO[bytes], budget: UnpackingBudget, topics: Collection[str] | None
    ) -> Iterator[_Entry]:
        if self._chunks is None:
            return self._scan(file, budget)
        chunks = self._chunks
        if topics is not None:
            wanted = {number for number, topic in self._topics.items() if topic.name in topics}
            chunks = [chunk for chunk in chunks if not chunk.channel_ids or chunk.channel_ids & wanted]
        return self._merge(file, budget, chunks)

    def _merge(
        self, file: IO[bytes], budget: UnpackingBudget, chunks: Sequence[mcap.ChunkIndex]
    ) -> Iterator[_Entry]:
        """Yield the messages of indexed chunks by time. Chunks whose times overlap are merged."""
        pending: list[_Entry] = []
        pending_bytes = 0
        starts: list[float] = [chunk.start_ns for chunk in chunks[1:]]
        for chunk, next_start_ns in zip(chunks, [*starts, math.inf], strict=False):
            for entry in self._read_indexed_chunk(file, budget, chunk):
                heapq.heappush(pending, entry)
                pending_bytes += len(entry.data)
            while pending and (
                pending[0].log_time_ns < next_start_ns or pending_bytes > UNPACKED_BYTES.value
            ):
                pending_bytes -= len(pending[0].data)
                yield heapq.heappop(pending)

    def _read_indexed_chunk(
        self, file: IO[bytes], budget: UnpackingBudget, index: mcap.ChunkIndex
    ) -> Iterable[_Entry]:
        length = index.length - mcap.PREFIX_SIZE
        try:
            if mcap.read_prefix(file, index.offset) != (mcap.CHUNK, length):
                raise DamagedBlockError("header of the chunk is damaged")
            header = mcap.read_chunk_header(file, index.offset, length)
            if (header.start_ns, header.end_ns) != (index.start_ns, index.end_ns):
                raise DamagedBlockError("times of the chunk differ from the index")
            return self._read_chunk(file, budget, header)
        except DamagedBlockError as error:
            self._report(index.offset, index.length, f"chunk skipped: {error}")
            return ()

    def _scan(self, file: IO[bytes], budget: UnpackingBudget) -> Iterator[_Entry]:
        """Yield the messages in the order of the file. Skip damaged parts up to the next whole chunk."""
        offset = len(mcap.MAGIC)
        while True:
            prefix = mcap.read_prefix(file, offset)
            if prefix is None or prefix[0] in (mcap.DATA_END, mcap.FOOTER):
                return
            opcode, length = prefix
            end = offset + mcap.PREFIX_SIZE + length
            entries: Iterable[_Entry] = ()
            try:
                if not mcap.is_known_opcode(opcode) or end > self._size:
                    raise DamagedBlockError("no record")
                if opcode == mcap.CHUNK:
                    header = mcap.read_chunk_header(file, offset, length)
                    try:
                        entries = self._read_chunk(file, budget, header)
                    except DamagedBlockError as error:
                        self._report(offset, end - offset, f"chunk skipped: {error}")
                else:
                    entries = self._read_loose_record(file, offset, opcode, length)
            except DamagedBlockError as error:
                next_chunk = mcap.find_chunk(file, offset + 1, self._size)
                if next_chunk is None:
                    return  # the end was not written
                self._report(offset, next_chunk - offset, f"part skipped: {error}")
                end = next_chunk
            yield from entries
            offset = end

    def _read_loose_record(self, file: IO[bytes], offset: int, opcode: int, length: int) -> Iterable[_Entry]:
        """Read a record outside of a chunk. Raises DamagedBlockError."""
        if opcode not in (mcap.SCHEMA, mcap.CHANNEL, mcap.MESSAGE, mcap.MESSAGE_INDEX):
            return ()
        UNPACKED_BYTES.check(length, f"{self._path}: record")
        file.seek(offset + mcap.PREFIX_SIZE)
        content = memoryview(file.read(length))
        if opcode == mcap.MESSAGE_INDEX:
            if not mcap.is_message_index(content):
                raise DamagedBlockError("index of messages is damaged")
            return ()
        return self._read_records(((opcode, content),), offset)

    def _read_chunk(self, file: IO[bytes], budget: UnpackingBudget, header: mcap.ChunkHeader) -> list[_Entry]:
        """Return the messages of a chunk. Raises DamagedBlockError."""
        if not header.compression:
            budget.spend(header.data_size)
        file.seek(header.data_offset)
        data = file.read(header.data_size)
        if len(data) != header.data_size:
            raise DamagedBlockError("chunk is too short")
        if header.compression:
            check_stated_size(header.compression, data, header.unpacked_size)
            budget.spend(header.unpacked_size)
        records = unpack_block(header.compression, data, header.unpacked_size)
        if header.crc and zlib.crc32(records) != header.crc:
            raise DamagedBlockError("checksum differs")
        return self._read_records(mcap.iterate_block(records), header.data_offset)

    def _read_records(self, records: Iterable[tuple[int, memoryview]], offset: int) -> list[_Entry]:
        """Return the messages among records, and keep schemas and channels. Raises DamagedBlockError."""
        entries = []
        unknown = 0
        for opcode, content in records:
            if opcode != mcap.MESSAGE:
                self._define(opcode, content)
                continue
            channel_id, log_time_ns, publish_time_ns, data = mcap.parse_message(content)
            if self._find_topic(channel_id) is None:
                unknown += len(data)
            else:
                entries.append(_Entry(log_time_ns, next(self._numbers), publish_time_ns, channel_id, data))
        if unknown:
            self._report(offset, unknown, "messages skipped: the definition of their topic is missing")
        return entries


def _complete(interface: Interface) -> Interface:
    """Return an interface with its installed definition, if that has the same hash."""
    try:
        installed = find_interface(interface.name)
    except UnknownTypeError:
        return interface
    return installed if installed.type_hash == interface.type_hash else interface
