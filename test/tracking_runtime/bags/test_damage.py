"""Damaged, hostile and unusual recordings: told, skipped or refused, never believed."""

from __future__ import annotations

import os
import pickle
import random
import resource
import shutil
import sqlite3
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import lz4.frame
import pytest
import yaml
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from tracking_runtime.bags import BagReader, BagWriter, Topic, repair_bag, restore_bag
from tracking_runtime.errors import SourceError, TrackingError
from tracking_runtime.messages.definitions import (
    Interface,
    MessageError,
    UnknownTypeError,
    find_message_type,
    load_message_class,
    load_typestore,
    make_typestore,
    serialize,
)

STRING = "std_msgs/msg/String"
ITEMS = [(f"{number} " * 40, number + 1) for number in range(60)]


def make_string(text: str) -> bytes:
    return serialize(find_message_type(STRING)(text))


def write_bag(bag: Path, *, finish: bool, compression: str = "none") -> Path:
    """Write a bag with a chunk for every ten messages, and return its storage file."""
    writer = BagWriter(bag, compression=compression)  # type: ignore[arg-type]
    writer.add_installed_topic("/a", STRING)
    for number, (text, time_ns) in enumerate(ITEMS, start=1):
        writer.write("/a", make_string(text), time_ns)
        if number % 10 == 0:
            writer.flush()
    writer.close() if finish else writer.abandon()
    return bag / f"{bag.name}_0.mcap"


def read_items(path: Path) -> tuple[BagReader, list[tuple[str, int]]]:
    reader = BagReader(path)
    return reader, [(message.data, record.log_time_ns) for record, message in reader.read_messages()]


@pytest.fixture(scope="module")
def bags(tmp_path_factory) -> dict[tuple[bool, str], Path]:
    folder = tmp_path_factory.mktemp("bags")
    cases = [(finish, compression) for finish in (True, False) for compression in ("none", "zstd")]
    for finish, compression in cases:
        write_bag(folder / f"{compression}{finish:d}" / "bag", finish=finish, compression=compression)
    return {case: folder / f"{case[1]}{case[0]:d}" / "bag" for case in cases}


@given(data=st.data(), finish=st.booleans(), compression=st.sampled_from(["none", "zstd"]))
@settings(max_examples=150, deadline=None)
def test_flipped_bit_loses_at_most_one_chunk_and_is_told(bags, data, finish, compression):
    source = bags[finish, compression]
    content = bytearray((source / "bag_0.mcap").read_bytes())
    position = data.draw(st.integers(8, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    with TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        shutil.copytree(source, bag)
        (bag / "bag_0.mcap").write_bytes(content)

        reader, items = read_items(bag)

        assert set(items) <= set(ITEMS)
        assert len(items) >= len(ITEMS) - 10
        if len(items) < len(ITEMS):
            assert reader.damages
        if finish:
            reader.check()
            assert reader.damages or not reader.is_complete


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_flipped_bit_in_the_size_of_a_chunk_is_damage_not_a_bomb(bags, tmp_path, compression):
    bag = tmp_path / "bag"
    shutil.copytree(bags[True, compression], bag)
    content = bytearray((bag / "bag_0.mcap").read_bytes())
    position = 8
    while content[position] != 6:  # opcode of a chunk
        position += 9 + int.from_bytes(content[position + 1 : position + 9], "little")
    content[position + 9 + 16 + 4] ^= 1  # bit 32 of the unpacked size
    (bag / "bag_0.mcap").write_bytes(content)

    reader, items = read_items(bag)

    assert 0 < len(ITEMS) - len(items) <= 10
    assert reader.damages


@given(data=st.data(), finish=st.booleans(), compression=st.sampled_from(["none", "zstd"]))
@settings(max_examples=40, deadline=None)
def test_repair_skips_damage_and_keeps_the_original(bags, data, finish, compression):
    content = bytearray((bags[finish, compression] / "bag_0.mcap").read_bytes())
    position = data.draw(st.integers(8, len(content) - 40))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    with TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        shutil.copytree(bags[finish, compression], bag)
        (bag / "bag_0.mcap").write_bytes(content)
        _, before = read_items(bag)

        result = restore_bag(bag)

        reader, items = read_items(bag)
        assert items == before
        assert reader.is_complete
        assert not reader.check()
        assert len(items) == result.message_count >= len(ITEMS) - 10
        assert result.original is not None
        assert (result.original / "bag_0.mcap").read_bytes() == content


def test_repair_of_an_intact_bag_changes_nothing(bags, tmp_path):
    shutil.copytree(bags[True, "none"], tmp_path / "bag")

    result = restore_bag(tmp_path / "bag")

    assert result.original is None
    assert result.message_count == len(ITEMS)
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == ["bag_0.mcap", "metadata.yaml"]


def test_repair_twice_keeps_both_originals(bags, tmp_path):
    bag = tmp_path / "bag"
    shutil.copytree(bags[False, "none"], bag)
    repair_bag(bag)
    os.truncate(bag / "bag_0.mcap", 2000)

    repair_bag(bag)

    assert (bag / "original" / "bag_0.mcap").is_file()
    assert (bag / "original_2" / "bag_0.mcap").stat().st_size == 2000


def test_repair_without_room_leaves_the_bag_as_it_was(bags, tmp_path):
    bag = tmp_path / "bag"
    shutil.copytree(bags[False, "none"], bag)
    before = {path.name: path.read_bytes() for path in bag.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(SourceError, match=r"cannot be repaired: File too large.*free space"):
            repair_bag(bag)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert {path.name: path.read_bytes() for path in bag.iterdir()} == before


def test_repair_works_without_usable_metadata(bags, tmp_path):
    bag = tmp_path / "bag"
    shutil.copytree(bags[True, "none"], bag)
    (bag / "metadata.yaml").write_bytes(b"")
    with pytest.raises(SourceError, match=r"the file is empty.*rstrack repair"):
        BagReader(bag)

    assert repair_bag(bag) == len(ITEMS)

    assert read_items(bag)[1] == ITEMS


# Compression bombs


def make_chunk(compression: str, packed: bytes, unpacked_size: int) -> bytes:
    name = compression.encode()
    body = (
        struct.pack("<QQQII", 1, 1, unpacked_size, 0, len(name))
        + name
        + struct.pack("<Q", len(packed))
        + packed
    )
    return b"\x06" + struct.pack("<Q", len(body)) + body


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("is_stated", [True, False])
def test_compression_bomb_is_refused_against_the_limit(tmp_path, compression, is_stated):
    size = 300_000_000
    block = bytes(1_000_000)
    if compression == "zstd":
        compressor = zstandard.ZstdCompressor().compressobj()
        packed = b"".join(compressor.compress(block) for _ in range(size // len(block))) + compressor.flush()
    else:
        packer = lz4.frame.LZ4FrameCompressor()
        packed = packer.begin() + b"".join(packer.compress(block) for _ in range(size // len(block)))
        packed += packer.flush()
    path = tmp_path / "bomb.mcap"
    path.write_bytes(b"\x89MCAP0\r\n" + make_chunk(compression, packed, size if is_stated else 1000))

    if is_stated:
        with pytest.raises(
            SourceError, match=r"bomb\.mcap: unpacked block: 300000000 .* RSTRACK_MAX_UNPACKED"
        ):
            BagReader(path)
    else:
        (damage,) = BagReader(path).damages
        assert "chunk skipped" in str(damage)


def test_many_small_bombs_are_refused_against_the_ratio(tmp_path, monkeypatch):
    monkeypatch.setenv("RSTRACK_MAX_UNPACKED_BYTES", "1000000")
    chunk = make_chunk("zstd", zstandard.ZstdCompressor().compress(bytes(900_000)), 900_000)
    path = tmp_path / "bombs.mcap"
    path.write_bytes(b"\x89MCAP0\r\n" + 300 * chunk)

    with pytest.raises(SourceError, match="RSTRACK_MAX_UNPACKED_RATIO"):
        BagReader(path)


# SQLite


def write_db3(folder: Path) -> Path:
    with RosbagsWriter(folder, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/a", STRING, typestore=load_typestore())
        for text, time_ns in ITEMS:
            writer.write(connection, time_ns, make_string(text))
    return folder / f"{folder.name}.db3"


def test_db3_without_metadata_is_read(tmp_path):
    path = write_db3(tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").unlink()

    for place in (tmp_path / "bag", path):
        reader, items = read_items(place)
        assert items == ITEMS
        assert reader.counts == {"/a": len(ITEMS)}
        assert (reader.start_ns, reader.end_ns) == (1, len(ITEMS))


def test_db3_without_metadata_is_repaired_to_mcap(tmp_path):
    write_db3(tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").unlink()

    assert repair_bag(tmp_path / "bag") == len(ITEMS)

    assert read_items(tmp_path / "bag")[1] == ITEMS
    assert (tmp_path / "bag" / "bag_0.mcap").is_file()
    assert (tmp_path / "bag" / "original" / "bag.db3").is_file()


def test_db3_with_an_endless_view_is_refused(tmp_path):
    path = tmp_path / "x.db3"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE topics (id INTEGER, name TEXT, type TEXT, serialization_format TEXT)"
        )
        connection.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) "
            "SELECT id, 1 AS topic_id, id AS timestamp, x'00' AS data FROM n"
        )
    connection.close()

    with pytest.raises(SourceError, match=r"x\.db3 cannot be read as a recording: tables"):
        BagReader(path)


def test_db3_with_damaged_messages_tells_them(tmp_path):
    path = write_db3(tmp_path / "bag")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE messages SET timestamp = -5 WHERE id = 3")
        connection.execute("UPDATE messages SET data = 'text' WHERE id = 4")
    connection.close()

    reader, items = read_items(path)

    assert items == [item for number, item in enumerate(ITEMS, start=1) if number not in (3, 4)]
    assert len(reader.damages) == 2


# Paths, other formats


def test_recording_of_ros1_names_the_command(tmp_path):
    path = tmp_path / "old.bag"
    path.write_bytes(b"#ROSBAG V2.0\n" + bytes(100))

    for place in (path, tmp_path):
        with pytest.raises(SourceError, match=rf"ROS 1: convert it by rosbags-convert --src {path} --dst"):
            BagReader(place)


@pytest.mark.parametrize("name", ["../secret/secret_0.mcap", "/etc/passwd", "link.mcap", "a\0b"])
def test_metadata_that_leads_out_of_the_folder_is_refused(bags, tmp_path, name):
    shutil.copytree(bags[True, "none"], tmp_path / "secret")
    bag = tmp_path / "bag"
    shutil.copytree(bags[True, "none"], bag)
    (bag / "link.mcap").symlink_to(tmp_path / "secret" / "bag_0.mcap")
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())
    metadata["rosbag2_bagfile_information"]["relative_file_paths"] = [name]
    (bag / "metadata.yaml").write_text(yaml.safe_dump(metadata))

    with pytest.raises(SourceError, match=r"metadata\.yaml: .* must be a path inside"):
        BagReader(bag)


def test_hidden_files_are_no_storage_files(bags, tmp_path):
    shutil.copytree(bags[True, "none"], tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").unlink()
    (tmp_path / "bag" / "._bag_0.mcap").write_bytes(b"resource fork")

    assert read_items(tmp_path / "bag")[1] == ITEMS


def test_reader_sent_to_another_process_opens_the_bag_again(bags):
    reader, items = read_items(bags[True, "zstd"])

    received = pickle.loads(pickle.dumps(reader))

    assert [(message.data, record.log_time_ns) for record, message in received.read_messages()] == items


# Definitions


@pytest.mark.parametrize(
    "name",
    ["a/msg/B:\n  pass\nimport os\nclass X", "unittest::__main__::X", "a.b/msg/C", "../../x", "", "x/msg"],
)
def test_type_name_that_is_code_is_refused(name):
    with pytest.raises(UnknownTypeError, match=r"is not a message type"):
        make_typestore(name, "string data")
    with pytest.raises(UnknownTypeError, match="is not a message type"):
        load_message_class(name)


@pytest.mark.parametrize(
    "definition", ["string[1000000] names", "nonsense", "A a\n" + "=" * 80 + "\nMSG: a/B\nA b"]
)
def test_malformed_definition_is_refused(definition):
    with pytest.raises(MessageError, match="definition of a/msg/A cannot be read"):
        make_typestore("a/msg/A", definition)


def test_peer_cannot_choose_a_module_to_import(tmp_path, monkeypatch):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text("")
    (tmp_path / "evil" / "msg.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UnknownTypeError, match="evil/msg/Thing is not installed"):
        load_message_class("evil/msg/Thing")


def test_hostile_definition_in_a_bag_is_an_error_of_the_bag(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic(Topic("/a", Interface("a/msg/B:\n  x = print('run')\nclass C", "string data", "")))
        writer.write("/a", make_string("x"), 1)

    with pytest.raises(TrackingError, match="is not a message type"):
        list(BagReader(tmp_path / "bag").read_messages())


# Any bytes


@pytest.fixture(scope="module")
def seeds(bags, tmp_path_factory) -> list[tuple[str, bytes]]:
    db3 = write_db3(tmp_path_factory.mktemp("db3") / "bag")
    files = [bags[case] / "bag_0.mcap" for case in bags] + [db3, bags[True, "none"] / "metadata.yaml"]
    return [(path.name, path.read_bytes()) for path in files]


def mutate(content: bytes, random_: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(random_.randint(1, 6)):
        position = random_.randrange(len(data) or 1)
        kind = random_.randrange(4)
        if kind == 0:
            data[position : position + 8] = random_.randbytes(8)
        elif kind == 1:
            data[position : position + 8] = struct.pack("<Q", random_.choice([0, 1, 2**31, 2**63, 2**64 - 1]))
        elif kind == 2:
            del data[position : position + random_.randint(1, 50)]
        elif data:
            data[position : position + 1] = bytes([data[min(position, len(data) - 1)] ^ 255])
    return bytes(data)


@given(seed=st.integers(0, 10**9))
@settings(max_examples=400, deadline=None)
def test_any_bytes_give_messages_or_a_source_error(seeds, seed):
    random_ = random.Random(seed)
    name, content = random_.choice(seeds)
    with TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        bag.mkdir()
        (bag / name).write_bytes(mutate(content, random_))
        if name == "metadata.yaml":
            (bag / "bag_0.mcap").write_bytes(seeds[0][1])
        try:
            for _ in BagReader(bag).read_messages():
                pass
        except TrackingError as error:
            lines = str(error).splitlines()
            assert len(lines) == 1
