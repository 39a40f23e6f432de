"""A bag holds what was written, opens elsewhere, and survives the death of its writer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader as RosbagsReader
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from tracking_runtime.bags import BagReader, BagWriter, Qos, Record, Topic, repair_bag
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import TRACKS, serialize_truth
from tracking_runtime.messages.definitions import (
    Interface,
    UnknownTypeError,
    find_message_type,
    load_typestore,
    serialize,
)

ROOT = Path(__file__).parents[3]
STRING = "std_msgs/msg/String"

texts = st.text(max_size=40)
recordings = st.lists(
    st.tuples(st.sampled_from(["/a", "/b/c"]), texts, st.integers(0, 10**12)), min_size=1, max_size=30
).map(lambda items: sorted(items, key=lambda item: item[2]))


def string(text: str) -> bytes:
    return serialize(find_message_type(STRING)(text))


def write(folder: Path, items: list[tuple[str, str, int]], **options: str) -> None:
    with BagWriter(folder, **options) as writer:  # type: ignore[arg-type]
        for topic in ("/a", "/b/c"):
            writer.add_installed_topic(topic, STRING, [Qos("best_effort", "transient_local", 7)])
        for topic, text, time_ns in items:
            writer.write(topic, string(text), time_ns, time_ns // 2)


def contents(reader: BagReader) -> list[tuple[str, str, int]]:
    return [(record.topic, message.data, record.log_time_ns) for record, message in reader.read_messages()]


@pytest.fixture
def folder():
    with TemporaryDirectory() as path:
        yield Path(path)


@given(recordings, st.sampled_from(["none", "zstd"]))
@settings(max_examples=40, deadline=None)
def test_reader_returns_written_messages(items, compression):
    with TemporaryDirectory() as path:
        bag = Path(path) / "bag"
        write(bag, items, compression=compression)
        reader = BagReader(bag)
        assert reader.is_complete
        assert contents(reader) == items
        assert [record.publish_time_ns for record in reader.read_records()] == [
            time_ns // 2 for *_, time_ns in items
        ]
        assert reader.message_count == len(items)
        assert (reader.start_ns, reader.end_ns) == (items[0][2], items[-1][2])
        assert reader.topics["/a"].qos == (Qos("best_effort", "transient_local", 7),)
        only_a = [item for item in items if item[0] == "/a"]
        assert [(r.topic, r.log_time_ns) for r in reader.read_records(["/a"])] == [
            (t, ns) for t, _, ns in only_a
        ]
        assert reader.counts["/a"] == len(only_a)


@given(recordings, st.sampled_from(["none", "zstd"]))
@settings(max_examples=20, deadline=None)
def test_bag_opens_in_rosbags_as_folder_and_file(items, compression):
    with TemporaryDirectory() as path:
        bag = Path(path) / "bag"
        write(bag, items, compression=compression)
        for opened in (bag, bag / "bag_0.mcap"):
            with AnyReader([opened]) as reader:
                assert reader.message_count == len(items)
                read = [
                    (c.topic, reader.deserialize(data, c.msgtype).data, ns)
                    for c, ns, data in reader.messages()
                ]
            assert read == items


def test_bag_contains_definitions_of_own_messages(folder):
    truth = GroundTruth(np.array([3, 5]), np.zeros(2, np.uint8), np.arange(8.0).reshape(2, 4))
    with BagWriter(folder / "bag") as writer:
        writer.add_installed_topic("/tracks", TRACKS)
        writer.write("/tracks", serialize_truth(truth, 1, "camera", (10, 10), ["car"]), 1)
    with AnyReader([folder / "bag"]) as reader:
        ((connection, _, data),) = list(reader.messages())
        assert list(reader.deserialize(data, connection.msgtype).boxes) == list(range(8))
        assert "[px] x, y, width, height of each track" in connection.msgdef.data
    ((_, read),) = BagReader(folder / "bag").read_messages()
    assert list(read.ids) == [3, 5]


def test_bag_file_is_complete_mcap_with_index(folder):
    write(folder / "bag", [("/a", "x" * 5000, i) for i in range(500)])
    path = folder / "bag" / "bag_0.mcap"
    with path.open("rb") as file:
        kinds = [type(record).__name__ for record in StreamReader(file, validate_crcs=True).records]
        assert (kinds[0], kinds[-1]) == ("Header", "Footer")
        file.seek(0)
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == 500
    assert len(summary.chunk_indexes) == summary.statistics.chunk_count > 1
    assert all(index.message_index_offsets for index in summary.chunk_indexes)


def test_metadata_equals_that_of_rosbag2(folder):
    write(folder / "bag", [("/a", "x", 10), ("/a", "y", 30)])
    information = yaml.safe_load((folder / "bag" / "metadata.yaml").read_text())[
        "rosbag2_bagfile_information"
    ]
    assert information["version"] == 9
    assert information["relative_file_paths"] == ["bag_0.mcap"]
    assert information["duration"] == {"nanoseconds": 20}
    assert information["message_count"] == 2
    topic = information["topics_with_message_count"][0]["topic_metadata"]
    assert topic["type"] == STRING
    assert topic["type_description_hash"].startswith("RIHS01_")
    assert topic["offered_qos_profiles"][0]["durability"] == "transient_local"


def test_existing_bag_is_not_overwritten(folder):
    write(folder / "bag", [("/a", "x", 1)])
    with pytest.raises(SourceError, match="bag exists already"):
        BagWriter(folder / "bag")


def test_unknown_type_is_named_in_error(folder):
    with BagWriter(folder / "bag") as writer, pytest.raises(UnknownTypeError, match="nowhere_msgs/msg/Thing"):
        writer.add_installed_topic("/a", "nowhere_msgs/msg/Thing")


def test_type_without_definition_is_read_if_installed(folder):
    with BagWriter(folder / "bag") as writer:
        writer.add_topic(Topic("/a", Interface(STRING, "", "")))
        writer.add_topic(Topic("/b", Interface("nowhere_msgs/msg/Thing", "", "")))
        writer.write("/a", string("x"), 1)
        writer.write("/b", b"\0\1\0\0", 2)
    reader = BagReader(folder / "bag")
    known, unknown = reader.read_records()
    assert reader.decode(known).data == "x"
    with pytest.raises(UnknownTypeError, match="nowhere_msgs"):
        reader.decode(unknown)
    with RosbagsReader(folder / "bag") as rosbags:
        assert len(list(rosbags.messages())) == 2


def test_bag_writer_works_without_ros(folder):
    """Neither its Python packages nor its message definitions."""
    program = f"""
import sys
for name in ("rclpy", "sensor_msgs", "remote_sensing_tracking"):
    sys.modules[name] = None
import numpy as np
from tracking_runtime.bags import BagWriter
from tracking_runtime.messages.conversion import TRACKS, serialize_truth
from tracking_runtime.commands.bag import simulate
from tracking_runtime.frames import GroundTruth
with BagWriter({str(folder / "bag")!r}) as writer:
    writer.add_installed_topic("/ground_truth", TRACKS)
    writer.write("/ground_truth", serialize_truth(GroundTruth(), 1, "camera", (8, 8), ["car"]), 1)
"""
    environment = {name: value for name, value in os.environ.items() if name != "AMENT_PREFIX_PATH"}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment)
    assert BagReader(folder / "bag").counts == {"/ground_truth": 1}


class TestUnfinished:
    items: ClassVar = [("/a" if i % 3 else "/b/c", f"message {i}" * 20, i + 1) for i in range(60)]

    @pytest.fixture(scope="class")
    def whole(self, tmp_path_factory) -> Path:
        """A bag flushed after every tenth message."""
        bag = tmp_path_factory.mktemp("whole") / "bag"
        with BagWriter(bag) as writer:
            for topic in ("/a", "/b/c"):
                writer.add_installed_topic(topic, STRING)
            for i, (topic, text, time_ns) in enumerate(self.items, start=1):
                writer.write(topic, string(text), time_ns)
                if i % 10 == 0:
                    writer.flush()
        return bag

    @given(data=st.data())
    @settings(max_examples=150, deadline=None)
    def test_truncated_anywhere_reads_whole_chunks(self, whole, data):
        content = (whole / "bag_0.mcap").read_bytes()
        length = data.draw(st.integers(0, len(content) - 1))
        with TemporaryDirectory() as path:
            cut = Path(path) / "cut.mcap"
            cut.write_bytes(content[:length])
            reader = BagReader(cut)
            read = contents(reader)
            assert not reader.is_complete
            assert read == self.items[: len(read)]
            assert len(read) % 10 == 0
            assert reader.message_count == len(read)
            ends = [end for end, count in self.chunk_ends(content) if end <= length]
            assert len(read) == 10 * len(ends)

    @staticmethod
    def chunk_ends(content: bytes) -> list[tuple[int, int]]:
        ends, position = [], 8
        while position < len(content) - 8:
            length = int.from_bytes(content[position + 1 : position + 9], "little")
            position += 9 + length
            if content[position - 9 - length] == 0x06:
                ends.append((position, len(ends)))
        return ends

    @given(data=st.data())
    @settings(max_examples=15, deadline=None)
    def test_repaired_bag_opens_in_rosbags(self, whole, data):
        with TemporaryDirectory() as path:
            bag = Path(path) / "bag"
            shutil.copytree(whole, bag)
            file = bag / "bag_0.mcap"
            os.truncate(file, data.draw(st.integers(0, file.stat().st_size - 1)))
            torn = file.read_bytes()
            before = contents(BagReader(bag))
            assert repair_bag(bag) == len(before)
            assert BagReader(bag).is_complete
            assert contents(BagReader(bag)) == before
            with AnyReader([bag]) as reader:
                assert reader.message_count == len(before)
            assert [entry.name for entry in Path(path).iterdir()] == ["bag"]
            assert (bag / "original" / "bag_0.mcap").read_bytes() == torn

    def test_damaged_chunk_is_skipped_and_told(self, whole, folder):
        shutil.copytree(whole, folder / "bag")
        file = folder / "bag" / "bag_0.mcap"
        content = bytearray(file.read_bytes())
        third = self.chunk_ends(bytes(content))[2][0]
        content[third - 100] ^= 0xFF
        file.write_bytes(content[: len(content) - 20])
        reader = BagReader(file)
        assert contents(reader) == self.items[:20] + self.items[30:]
        (damage,) = reader.damages
        assert "chunk skipped: checksum differs" in str(damage)
        assert str(file) in str(damage)

    def test_killed_writer_loses_at_most_one_second(self, folder):
        program = f"""
import itertools, time
from tracking_runtime.bags import BagWriter
from tracking_runtime.messages.definitions import find_message_type, serialize
writer = BagWriter({str(folder / "bag")!r})
writer.add_installed_topic("/a", {STRING!r})
for i in itertools.count():
    writer.write("/a", serialize(find_message_type({STRING!r})(str(i))), time.time_ns())
    print(time.time_ns(), flush=True)
    time.sleep(0.001)
"""
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        times = [int(process.stdout.readline())]
        while times[-1] - times[0] < 1.6e9:
            times.append(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        reader = BagReader(folder / "bag")
        assert not reader.is_complete
        numbers = [message.data for _, message in reader.read_messages()]
        assert numbers == [str(i) for i in range(len(numbers))]
        assert len(numbers) >= sum(time_ns < times[-1] - 1.05e9 for time_ns in times)


class TestOtherStorage:
    items: ClassVar = [("/a", f"{i}", i + 1) for i in range(5)]

    def write(self, folder: Path, plugin: StoragePlugin, mode: CompressionMode) -> None:
        writer = RosbagsWriter(folder, version=9, storage_plugin=plugin)
        writer.set_compression(mode, CompressionFormat.ZSTD)
        with writer:
            connection = writer.add_connection("/a", STRING, typestore=load_typestore())
            for _, text, time_ns in self.items:
                writer.write(connection, time_ns, string(text))

    @pytest.mark.parametrize("plugin", list(StoragePlugin))
    @pytest.mark.parametrize("mode", [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE])
    def test_reader_reads_other_storage_formats(self, folder, plugin, mode):
        self.write(folder / "bag", plugin, mode)
        reader = BagReader(folder / "bag")
        assert contents(reader) == self.items
        assert (reader.message_count, reader.start_ns, reader.end_ns) == (5, 1, 5)


class TestMalformed:
    def test_missing_bag_is_reported(self, folder):
        with pytest.raises(SourceError, match="none does not exist"):
            BagReader(folder / "none")

    def test_folder_without_storage(self, folder):
        with pytest.raises(SourceError, match="is not a recording"):
            BagReader(folder)

    def test_storage_listed_but_missing(self, folder):
        write(folder / "bag", self_items())
        (folder / "bag" / "bag_0.mcap").unlink()
        with pytest.raises(SourceError, match=r"bag_0\.mcap is missing"):
            BagReader(folder / "bag")

    @pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"a: 1", b"[]", b""])
    def test_invalid_metadata_is_reported(self, folder, content):
        write(folder / "bag", self_items())
        (folder / "bag" / "metadata.yaml").write_bytes(content)
        with pytest.raises(SourceError, match=r"metadata\.yaml is not the metadata"):
            BagReader(folder / "bag")

    def test_invalid_file_is_reported(self, folder):
        (folder / "x.mcap").write_bytes(b"PNG" * 100)
        with pytest.raises(SourceError, match=r"x\.mcap is not a recording in MCAP format"):
            BagReader(folder / "x.mcap")
        (folder / "x.db3").write_bytes(b"PNG" * 100)
        with pytest.raises(SourceError, match=r"x\.db3 cannot be read as a recording"):
            BagReader(folder / "x.db3")


def self_items() -> list[tuple[str, str, int]]:
    return [("/a", "x", 1)]


def test_record_is_a_named_tuple():
    assert Record("/a", b"", 1, 2) == ("/a", b"", 1, 2)


def test_resume_without_metadata_is_undone_and_can_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    writer = BagWriter(folder)
    writer.add_installed_topic("/a", STRING)
    writer.write("/a", string("before"), 1)
    writer.flush()
    writer.abandon()
    (folder / "metadata.yaml").unlink()
    (folder / "metadata.yaml").mkdir()  # no file can take this name

    with pytest.raises(OSError, match="directory"):
        writer.resume("the disk was full")
    (folder / "metadata.yaml").rmdir()
    writer.resume("the disk was full")
    writer.write("/a", string("after"), 2)
    writer.close()

    assert contents(BagReader(folder)) == [("/a", "before", 1), ("/a", "after", 2)]
    assert (folder / "metadata.yaml").read_text().count("the disk was full") == 1


def test_split_bag_keeps_new_files_and_latched_messages(folder):
    latched = [Qos("reliable", "transient_local", 1)]
    with BagWriter(folder / "bag") as writer:
        writer.add_installed_topic("/info", STRING, latched)
        writer.add_installed_topic("/a", STRING)
        writer.write("/info", string("bands"), 1)
        for number in range(2, 8):
            writer.write("/a", string(str(number)), number)
            writer.split(number)
            writer.remove_before(number - 2)

    reader = BagReader(folder / "bag")

    assert reader.is_complete
    assert not reader.check()
    assert sorted(path.name for path in (folder / "bag").glob("*.mcap")) == [
        f"bag_{number}.mcap" for number in (3, 4, 5, 6)
    ]
    assert [data for topic, data, _ in contents(reader) if topic == "/a"] == ["5", "6", "7"]
    assert next((data, time) for topic, data, time in contents(reader) if topic == "/info") == ("bands", 4)
    assert {record.publish_time_ns for record in reader.read_records(["/info"])} == {1}
    with AnyReader([folder / "bag"]) as rosbags:
        assert rosbags.message_count == reader.message_count


def test_killed_split_bag_is_readable(folder):
    writer = BagWriter(folder / "bag")
    writer.add_installed_topic("/a", STRING)
    for number in range(1, 5):
        writer.write("/a", string(str(number)), number)
        writer.split(number)
        writer.remove_before(number)
    writer.write("/a", string("5"), 5)
    writer.flush()  # and no end

    reader = BagReader(folder / "bag")

    assert [data for _, data, _ in contents(reader)] == ["4", "5"]
