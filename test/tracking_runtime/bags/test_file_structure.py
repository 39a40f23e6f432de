"""A recording down to its bytes: everything that the command ``mcap doctor`` complains of is looked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    Footer,
    McapRecord,
    Message,
    MessageIndex,
    Schema,
    Statistics,
)
from mcap.stream_reader import StreamReader, breakup_chunk, get_chunk_data_stream

from tracking_runtime.bags import BagWriter, repair_bag
from tracking_runtime.cli import rstrack

FRAMES = 5


def complaints(path: Path) -> list[str]:
    """What is wrong with a file, warnings included."""
    with path.open("rb") as file:
        records = list(StreamReader(file, emit_chunks=True, validate_crcs=True).records)
    ends = [number for number, record in enumerate(records) if type(record).__name__ == "DataEnd"]
    if len(ends) != 1 or not isinstance(records[-1], Footer):
        return ["no end of the data section, or no footer"]
    data, summary = records[: ends[0]], records[ends[0] + 1 :]
    chunks = [record for record in data if isinstance(record, Chunk)]
    inside = [record for chunk in chunks for record in breakup_chunk(chunk, validate_crc=True)]
    return [
        *(["messages outside of chunks"] if any(isinstance(record, Message) for record in data) else []),
        *_definitions([*data, *inside], summary),
        *(line for chunk, indices in _indexed(data) for line in _chunk(chunk, indices)),
        *_order([record for record in inside if isinstance(record, Message)]),
        *_chunk_indices(path, chunks, [record for record in summary if isinstance(record, ChunkIndex)]),
        *_statistics(inside, summary),
    ]


def _definitions(data: list[McapRecord], summary: list[McapRecord]) -> list[str]:
    found = []
    for kind in (Schema, Channel):
        defined: dict[int, McapRecord] = {}
        for record in data:
            if isinstance(record, kind):
                found += [f"{kind.__name__} {record.id} twice"] if record.id in defined else []
                found += [f"{kind.__name__} 0"] if kind is Schema and not record.id else []
                found += [f"Schema {record.name} is empty"] if kind is Schema and not record.data else []
                defined[record.id] = record
        repeated = {record.id: record for record in summary if isinstance(record, kind)}
        found += [] if repeated == defined else [f"{kind.__name__}s of data and summary differ"]
    schemas = {record.id for record in data if isinstance(record, Schema)}
    unknown = {record.schema_id for record in data if isinstance(record, Channel)} - schemas
    return found + [f"unknown schema {number}" for number in unknown]


def _indexed(data: list[McapRecord]) -> list[tuple[Chunk, list[MessageIndex]]]:
    found: list[tuple[Chunk, list[MessageIndex]]] = []
    for record in data:
        if isinstance(record, Chunk):
            found.append((record, []))
        elif isinstance(record, MessageIndex):
            found[-1][1].append(record)
    return found


def _chunk(chunk: Chunk, indices: list[MessageIndex]) -> list[str]:
    stream, size = get_chunk_data_stream(chunk)
    actual = defaultdict(list)
    while stream.count < size:
        offset = stream.count
        opcode, length = stream.read1(), stream.read8()
        body = stream.read(length)
        if opcode == Opcode.MESSAGE:
            message = Message.read(ReadDataStream(BytesIO(body)), length)
            actual[message.channel_id].append((message.log_time, offset))
        elif opcode not in (Opcode.SCHEMA, Opcode.CHANNEL):
            return [f"record {opcode} in a chunk"]
    times = [time for entries in actual.values() for time, _ in entries]
    told = {index.channel_id: sorted(index.records) for index in indices}
    span = (min(times), max(times)) if times else (chunk.message_start_time, chunk.message_end_time)
    return [
        *([] if size == chunk.uncompressed_size else ["uncompressed size"]),
        *([] if span == (chunk.message_start_time, chunk.message_end_time) else ["times of a chunk"]),
        *([] if len(told) == len(indices) else ["two indices of a channel"]),
        *([] if told == {k: sorted(v) for k, v in actual.items()} else ["index of messages"]),
    ]


def _order(messages: list[Message]) -> list[str]:
    times = np.array([message.log_time for message in messages], np.int64)
    return ["messages out of order"] if (np.diff(times) < 0).any() else []


def _chunk_indices(path: Path, chunks: list[Chunk], indices: list[ChunkIndex]) -> list[str]:
    found = [] if len(indices) == len(chunks) else [f"{len(indices)} indices of {len(chunks)} chunks"]
    content = path.read_bytes()
    for index in indices:
        stream = ReadDataStream(BytesIO(content[index.chunk_start_offset :]))
        opcode, length = stream.read1(), stream.read8()
        chunk = Chunk.read(stream) if opcode == Opcode.CHUNK else None
        told = (index.chunk_length, index.compression, index.compressed_size, index.uncompressed_size,
                index.message_start_time, index.message_end_time)  # fmt: skip
        if chunk is None or told != (
            length + 9, chunk.compression, len(chunk.data), chunk.uncompressed_size,
            chunk.message_start_time, chunk.message_end_time,
        ):  # fmt: skip
            found.append(f"index of the chunk at {index.chunk_start_offset}")
    return found


def _statistics(inside: list[McapRecord], summary: list[McapRecord]) -> list[str]:
    told = [record for record in summary if isinstance(record, Statistics)]
    messages = [record for record in inside if isinstance(record, Message)]
    times = [message.log_time for message in messages]
    counts = Counter(message.channel_id for message in messages)
    actual = (len(messages), min(times, default=0), max(times, default=0), dict(counts))
    if len(told) != 1:
        return ["no statistics, or two"]
    counted = {number: count for number, count in told[0].channel_message_counts.items() if count}
    found = (told[0].message_count, told[0].message_start_time, told[0].message_end_time, counted)
    return [] if found == actual else [f"statistics {found}, but {actual}"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """A simulated scene with truth, by the command."""
    path = tmp_path_factory.mktemp("bags") / "scene"
    arguments = ["simulate", f"satellite?seed=3&frames={FRAMES}&size=96", str(path)]
    result = CliRunner().invoke(rstrack, arguments)
    assert result.exit_code == 0, result.output
    return path


def test_simulated_and_converted_bags_have_no_faults(recorded, tmp_path):
    for compression in ("none", "zstd"):
        arguments = ["convert", str(recorded), str(tmp_path / compression), "--compression", compression]
        result = CliRunner().invoke(rstrack, arguments)
        assert result.exit_code == 0, result.output
    for path in (recorded, *tmp_path.glob("*/*")):
        assert [complaints(file) for file in path.glob("*.mcap")] == [[]], path


def test_flushed_and_repaired_bags_have_no_faults(tmp_path):
    for name, finish in (("closed", BagWriter.close), ("torn", BagWriter.abandon)):
        writer = BagWriter(tmp_path / name)
        for topic in ("/a", "/never"):
            writer.add_installed_topic(topic, "std_msgs/msg/String")
        for number in range(20):
            writer.write("/a", bytes(range(number + 8)), 10 + number // 2)
            writer.flush()
        finish(writer)
    with (tmp_path / "torn" / "torn_0.mcap").open("ab") as file:
        file.write(b"\x06\x99")
    repair_bag(tmp_path / "torn")
    for path in (tmp_path / "closed", tmp_path / "torn"):
        assert [complaints(file) for file in path.glob("*.mcap")] == [[]], path


def test_damaged_bag_has_faults(recorded, tmp_path):
    (source,) = recorded.glob("*.mcap")
    content = source.read_bytes()
    with source.open("rb") as file:
        statistics = next(r for r in StreamReader(file).records if isinstance(r, Statistics))
    told = statistics.message_count.to_bytes(8, "little")
    at = content.rindex(told + statistics.schema_count.to_bytes(2, "little"))
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(content[:at] + (99).to_bytes(8, "little") + content[at + 8 :])
    assert [line for line in complaints(damaged) if line.startswith("statistics (99")]
