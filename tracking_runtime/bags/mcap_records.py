"""Records of an MCAP file as they stand in its bytes, each checked against the bytes that it has.

The format is specified at https://mcap.dev/spec.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from tracking_runtime.bags.unpacking import DamagedBlockError

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
STATISTICS, DATA_END = 0x0B, 0x0F
PREFIX_SIZE = 9  # bytes: operation code and length of a record

_MAX_OPCODE = 0x0F
_PRIVATE_OPCODES = 0x80
_PREFIX = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_CHUNK = struct.Struct("<QQQII")
_CHUNK_FIXED_SIZE = _CHUNK.size + 8  # bytes of a chunk beside the name of its compression and its records
_FOOTER = struct.Struct("<QQI")
_COMPRESSIONS = (b"", b"lz4", b"zstd")
_MAX_TIME_NS = (1 << 63) - 1
# Beginning of a chunk: code, length below 2**48, times, size, checksum, name of the compression.
_CHUNK_START = re.compile(rb"(?=\x06.{6}\0\0.{28}(?:\0\0\0\0|\x03\0\0\0lz4|\x04\0\0\0zstd))", re.DOTALL)
_SEARCH_BYTES = 1 << 22  # bytes that are searched at once
_CHUNK_START_SIZE = 64  # bytes that contain the beginning of a chunk


@dataclass(frozen=True)
class Schema:
    """A message type: its name and definition."""

    name: str
    encoding: str
    definition: bytes


@dataclass(frozen=True)
class Channel:
    """A topic."""

    id: int
    schema_id: int
    topic: str
    metadata: dict[str, str]


@dataclass(frozen=True)
class ChunkHeader:
    """The beginning of a chunk.

    Attributes:
        start_ns: time of the first message in nanoseconds.
        end_ns: time of the last message in nanoseconds.
        unpacked_size: stated size of the records in bytes after they are unpacked.
        crc: CRC-32 of the unpacked records; 0: not stated.
        compression: `` (none), `lz4` or `zstd`.
        data_offset: position of the packed records in the file.
        data_size: size of the packed records in bytes.
    """

    start_ns: int
    end_ns: int
    unpacked_size: int
    crc: int
    compression: str
    data_offset: int
    data_size: int


@dataclass(frozen=True)
class ChunkIndex:
    """An entry of the summary: place and times of a chunk, and the channels that have messages in it."""

    start_ns: int
    end_ns: int
    offset: int
    length: int
    channel_ids: frozenset[int]


@dataclass(frozen=True)
class Statistics:
    """An entry of the summary: numbers of messages and chunks, and times."""

    message_count: int
    chunk_count: int
    start_ns: int
    end_ns: int
    channel_counts: dict[int, int]


@dataclass(frozen=True)
class Footer:
    """The end of a file: place of the summary (0: none) and its checksum (0: not stated)."""

    offset: int
    summary_start: int
    summary_offset_start: int
    crc: int


@dataclass(frozen=True)
class DataEnd:
    """The end of the data: its place, and the checksum of all bytes before (0: not stated)."""

    offset: int
    crc: int


class FieldReader:
    """Fields of a record, read one after the other.

    Raises:
        DamagedBlockError: a field is longer than the rest of the record, or is not text.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._position = 0

    @property
    def has_more(self) -> bool:
        """True if bytes are left."""
        return self._position < len(self._data)

    def read_bytes(self, size: int) -> bytes:
        """Read a number of bytes. Raise DamagedBlockError if the record is shorter."""
        end = self._position + size
        if end > len(self._data):
            raise DamagedBlockError("record is too short")
        value = bytes(self._data[self._position : end])
        self._position = end
        return value

    def read_int(self, size: int) -> int:
        """Read an unsigned number of `size` bytes."""
        return int.from_bytes(self.read_bytes(size), "little")

    def read_block(self) -> bytes:
        """Read bytes after their length."""
        return self.read_bytes(self.read_int(4))

    def read_text(self) -> str:
        """Read a text after its length. Raise DamagedBlockError if it is too long or no UTF-8."""
        try:
            return self.read_block().decode()
        except UnicodeDecodeError as error:
            raise DamagedBlockError("text is not UTF-8") from error


def read_prefix(file: IO[bytes], offset: int) -> tuple[int, int] | None:
    """Return the operation code and the length of the record at a position; None at the end of the file."""
    file.seek(offset)
    data = file.read(PREFIX_SIZE)
    return _PREFIX.unpack(data) if len(data) == PREFIX_SIZE else None


def is_known_opcode(opcode: int) -> bool:
    """Return whether an operation code is that of a record of the specification, or a private one."""
    return 0 < opcode <= _MAX_OPCODE or opcode >= _PRIVATE_OPCODES


def read_chunk_header(file: IO[bytes], offset: int, length: int) -> ChunkHeader:
    """Read the beginning of a chunk.

    Args:
        file: MCAP file.
        offset: position of the chunk's record.
        length: length of the record without its prefix.

    Raises:
        DamagedBlockError: the fields contradict each other.
    """
    file.seek(offset + PREFIX_SIZE)
    data = file.read(_CHUNK_START_SIZE)
    if len(data) < _CHUNK_FIXED_SIZE:
        raise DamagedBlockError("chunk is too short")
    start_ns, end_ns, unpacked_size, crc, name_size = _CHUNK.unpack_from(data)
    name = data[_CHUNK.size : _CHUNK.size + min(name_size, _CHUNK_START_SIZE)]
    end = _CHUNK.size + len(name) + 8
    data_size = int.from_bytes(data[end - 8 : end], "little")
    if name not in _COMPRESSIONS or len(name) != name_size or end + data_size != length:
        raise DamagedBlockError("header of the chunk is damaged")
    return ChunkHeader(
        start_ns, end_ns, unpacked_size, crc, name.decode(), offset + PREFIX_SIZE + end, data_size
    )


def find_chunk(file: IO[bytes], start: int, end: int) -> int | None:
    """Find the next whole chunk between two positions, and return its position; None if there is none."""
    position = start
    while position < end:
        file.seek(position)
        window = file.read(min(_SEARCH_BYTES + _CHUNK_START_SIZE, end - position))
        for match in _CHUNK_START.finditer(window):
            offset = position + match.start()
            length = int.from_bytes(window[match.start() + 1 : match.start() + PREFIX_SIZE], "little")
            if match.start() < _SEARCH_BYTES and offset + PREFIX_SIZE + length <= end:
                try:
                    read_chunk_header(file, offset, length)
                except DamagedBlockError:
                    continue
                return offset
        position += _SEARCH_BYTES
    return None


def read_footer(file: IO[bytes], size: int) -> Footer | None:
    """Read the footer of a finished file; None if the file has none."""
    footer_size = PREFIX_SIZE + _FOOTER.size
    offset = size - footer_size - len(MAGIC)
    if offset < len(MAGIC):
        return None
    file.seek(offset)
    data = file.read(footer_size + len(MAGIC))
    if data[footer_size:] != MAGIC or _PREFIX.unpack_from(data) != (FOOTER, _FOOTER.size):
        return None
    return Footer(offset, *_FOOTER.unpack_from(data, PREFIX_SIZE))


def compute_summary_crc(summary: bytes, footer: Footer) -> int:
    """Compute the checksum of the summary and of the footer, which the footer states."""
    ending = _PREFIX.pack(FOOTER, _FOOTER.size) + struct.pack(
        "<QQ", footer.summary_start, footer.summary_offset_start
    )
    return zlib.crc32(ending, zlib.crc32(summary))


def find_data_end(file: IO[bytes], footer: Footer) -> DataEnd | None:
    """Find the record that ends the data before the summary; None if it is damaged."""
    size = PREFIX_SIZE + 4
    offset = (footer.summary_start or footer.offset) - size
    if offset < len(MAGIC) or read_prefix(file, offset) != (DATA_END, 4):
        return None
    return DataEnd(offset, int.from_bytes(file.read(4), "little"))


def compute_data_crc(file: IO[bytes], end: int) -> int:
    """Compute the checksum of all bytes before a position."""
    file.seek(0)
    crc = 0
    while end > 0:
        data = file.read(min(_SEARCH_BYTES, end))
        if not data:
            break
        crc = zlib.crc32(data, crc)
        end -= len(data)
    return crc


def iterate_block(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the operation code and content of each record in a chunk or summary.

    Raises:
        DamagedBlockError: a record is longer than the rest of the block.
    """
    view = memoryview(data)
    position = 0
    while position < len(view):
        if position + PREFIX_SIZE > len(view):
            raise DamagedBlockError("record is too short")
        opcode, length = _PREFIX.unpack_from(view, position)
        end = position + PREFIX_SIZE + length
        if end > len(view):
            raise DamagedBlockError("record is too long")
        yield opcode, view[position + PREFIX_SIZE : end]
        position = end


def parse_message(content: memoryview) -> tuple[int, int, int, memoryview]:
    """Return the channel, time of recording, time of publication and data of a message.

    Raises:
        DamagedBlockError: the record is too short, or a time is later than the year 2262.
    """
    if len(content) < _MESSAGE.size:
        raise DamagedBlockError("message is too short")
    channel_id, _, log_time_ns, publish_time_ns = _MESSAGE.unpack_from(content)
    if log_time_ns > _MAX_TIME_NS or publish_time_ns > _MAX_TIME_NS:
        raise DamagedBlockError("time of a message is after the year 2262")
    return channel_id, log_time_ns, publish_time_ns, content[_MESSAGE.size :]


def parse_schema(content: memoryview) -> tuple[int, Schema]:
    """Return the number and content of a schema. Raises DamagedBlockError."""
    fields = FieldReader(content)
    return fields.read_int(2), Schema(fields.read_text(), fields.read_text(), fields.read_block())


def parse_channel(content: memoryview) -> Channel:
    """Return a channel. Raises DamagedBlockError."""
    fields = FieldReader(content)
    channel_id, schema_id, topic, _ = (
        fields.read_int(2),
        fields.read_int(2),
        fields.read_text(),
        fields.read_text(),
    )
    return Channel(channel_id, schema_id, topic, parse_text_map(fields.read_block()))


def parse_text_map(content: bytes) -> dict[str, str]:
    """Return a map of texts. Raises DamagedBlockError."""
    fields = FieldReader(content)
    values = {}
    while fields.has_more:
        key = fields.read_text()
        values[key] = fields.read_text()
    return values


def parse_chunk_index(content: memoryview) -> ChunkIndex:
    """Return an entry of the summary for a chunk. Raises DamagedBlockError."""
    fields = FieldReader(content)
    start_ns, end_ns, offset, length = (fields.read_int(8) for _ in range(4))
    entries = FieldReader(fields.read_block())
    channel_ids = set()
    while entries.has_more:
        channel_ids.add(entries.read_int(2))
        entries.read_int(8)
    return ChunkIndex(start_ns, end_ns, offset, length, frozenset(channel_ids))


def parse_statistics(content: memoryview) -> Statistics:
    """Return the statistics of a summary. Raises DamagedBlockError."""
    fields = FieldReader(content)
    message_count = fields.read_int(8)
    for size in (2, 4, 4, 4):  # numbers of schemas, channels, attachments and metadata
        fields.read_int(size)
    chunk_count, start_ns, end_ns = fields.read_int(4), fields.read_int(8), fields.read_int(8)
    entries = FieldReader(fields.read_block())
    counts = {}
    while entries.has_more:
        channel_id = entries.read_int(2)
        counts[channel_id] = entries.read_int(8)
    return Statistics(message_count, chunk_count, start_ns, end_ns, counts)


def is_message_index(content: bytes | memoryview) -> bool:
    """Return whether the content of a record is that of an index of messages."""
    array_offset = 6  # bytes: channel, and size of the array
    if len(content) < array_offset:
        return False
    size = int.from_bytes(content[2:array_offset], "little")
    return size + array_offset == len(content) and size % 16 == 0
