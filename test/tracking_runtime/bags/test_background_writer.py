"""A recording made beside other work accounts for every message."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader

from tracking_runtime.bags import BackgroundWriter, BagReader, BagWriter, Record, Topic
from tracking_runtime.messages.definitions import find_interface

ROOT = Path(__file__).parents[3]
TOPIC = Topic("/a", find_interface("std_msgs/msg/UInt8MultiArray"))


@given(st.lists(st.integers(0, 200), max_size=40), st.integers(1, 400))
@settings(deadline=None, max_examples=40)
def test_background_writer_writes_or_drops_every_message(sizes, capacity):
    with TemporaryDirectory() as folder:
        background = BackgroundWriter(BagWriter(Path(folder) / "bag"), capacity_bytes=capacity)
        background.add_topic(TOPIC)
        taken = [i for i, size in enumerate(sizes) if background.put(Record("/a", bytes(size), i, i))]
        progress = background.close()
        assert progress.written.get("/a", 0) == len(taken)
        assert progress.dropped.get("/a", 0) == len(sizes) - len(taken)
        assert progress.queued_bytes == 0
        assert progress.error is None
        assert [record.log_time_ns for record in BagReader(Path(folder) / "bag").read_records()] == taken
        assert not background.put(Record("/a", b"", 0, 0))


def test_full_disk_keeps_flushed_messages(tmp_path):
    """The process may write no file of more than a megabyte: to it, the disk is full."""
    program = f"""
import resource
from tracking_runtime.bags import BackgroundWriter, BagWriter, Record
from test_background_writer import TOPIC
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
writer = BagWriter({str(tmp_path / "bag")!r})
background = BackgroundWriter(writer, capacity_bytes=10**9)
background.add_topic(TOPIC)
taken = sum(background.put(Record("/a", bytes(300_000), i, i)) for i in range(20))
progress = background.close()
assert {f"cannot write {tmp_path / 'bag'}"!r} in progress.error, progress
assert progress.written["/a"] + progress.dropped["/a"] == 20
assert not background.put(Record("/a", b"", 0, 0))
"""
    path = f"{ROOT}:{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, check=True)
    reader = BagReader(tmp_path / "bag")
    assert not reader.is_complete
    assert [record.log_time_ns for record in reader.read_records()] == list(range(reader.message_count))


@pytest.mark.slow
def test_full_disk_then_room_continues_in_a_new_file(tmp_path, wait_for):
    writer = BagWriter(tmp_path / "bag")
    background = BackgroundWriter(writer, capacity_bytes=10**9)
    background.add_topic(TOPIC)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))
    try:
        for number in range(20):
            background.put(Record("/a", bytes(300_000), number, number))
        wait_for(lambda: background.get_progress().error, 10, "an error")
        assert not background.put(Record("/a", bytes(10), 20, 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    wait_for(lambda: not background.get_progress().error, 30, "the next file")
    background.add_topic(Topic("/b", TOPIC.interface))
    for topic in ("/a", "/b"):
        assert background.put(Record(topic, b"after", 30, 30))
    progress = background.close()

    assert progress.error is None
    (gap,) = progress.gaps
    assert "without recording" in gap
    assert "messages dropped: File too large" in gap
    assert progress.written["/a"] + progress.dropped["/a"] == 22
    reader = BagReader(tmp_path / "bag")
    assert reader.is_complete
    assert not reader.check()
    assert reader.gaps == [gap]
    assert reader.counts == progress.written
    times = [record.log_time_ns for record in reader.read_records(["/a"])]
    assert times == [*range(len(times) - 1), 30]
    assert sorted(path.name for path in (tmp_path / "bag").glob("*.mcap")) == ["bag_0.mcap", "bag_1.mcap"]
    with AnyReader([tmp_path / "bag"]) as rosbags:
        assert rosbags.message_count == reader.message_count


@pytest.mark.parametrize("time_ns", [-1, -(2**63), 2**62, 2**63, 2**64 - 1])
def test_invalid_time_is_refused_and_counted(tmp_path, time_ns):
    background = BackgroundWriter(BagWriter(tmp_path / "bag"), capacity_bytes=10**6)
    background.add_topic(TOPIC)

    assert not background.put(Record("/a", b"bad", 1, time_ns))
    assert not background.put(Record("/a", b"bad", time_ns, 1))
    assert background.put(Record("/a", b"good", 2, 2))
    progress = background.close()

    assert progress.refused == {"/a": 2}
    assert progress.written == {"/a": 1}
    assert progress.error is None


@pytest.mark.slow
def test_failed_thread_continues_in_a_new_file(tmp_path, wait_for):
    """A topic that was never added makes the writer raise an error that is not the disk's."""
    background = BackgroundWriter(BagWriter(tmp_path / "bag"), capacity_bytes=10**6)
    background.add_topic(TOPIC)
    background.put(Record("/a", b"before", 1, 1))
    background.put(Record("/unknown", b"", 2, 2))
    wait_for(lambda: background.get_progress().error, 10, "an error")

    wait_for(lambda: not background.get_progress().error, 30, "the next file")
    assert background.put(Record("/a", b"after", 3, 3))
    progress = background.close()

    assert len(progress.gaps) == 1
    assert [record.data for record in BagReader(tmp_path / "bag").read_records()][-1] == b"after"
    assert progress.written["/a"] + progress.dropped.get("/a", 0) == 2


def test_rolling_bag_keeps_the_newest_seconds(tmp_path):
    background = BackgroundWriter(BagWriter(tmp_path / "bag"), capacity_bytes=10**7, keep_s=0.4)
    background.add_topic(TOPIC)
    end_s = time.monotonic() + 1.5
    while time.monotonic() < end_s:
        background.put(Record("/a", b"x", time.time_ns(), time.time_ns()))
        time.sleep(0.005)

    progress = background.close()

    reader = BagReader(tmp_path / "bag")
    kept_s = (reader.end_ns - reader.start_ns) / 1e9
    assert progress.error is None
    assert 0.3 < kept_s < 1.2
    assert reader.message_count < progress.written["/a"]
    assert len(list((tmp_path / "bag").glob("*.mcap"))) <= 7


def test_copy_of_a_bag_in_progress_is_complete(tmp_path):
    background = BackgroundWriter(BagWriter(tmp_path / "bag"), capacity_bytes=10**7)
    background.add_topic(TOPIC)
    for number in range(3):
        background.put(Record("/a", b"x", number, number))
    background.copy_to(tmp_path / "bag" / "copy").result(20)
    background.put(Record("/a", b"x", 3, 3))
    progress = background.close()

    copy, bag = BagReader(tmp_path / "bag" / "copy"), BagReader(tmp_path / "bag")

    assert progress.error is None
    assert [record.log_time_ns for record in copy.read_records()] == [0, 1, 2]
    assert [record.log_time_ns for record in bag.read_records()] == [0, 1, 2, 3]
    assert copy.is_complete
    assert bag.is_complete
    with AnyReader([tmp_path / "bag" / "copy"]) as rosbags:
        assert rosbags.message_count == 3
    assert background.copy_to(tmp_path / "late").cancelled()


def test_failed_copy_does_not_end_the_recording(tmp_path):
    (tmp_path / "copy").write_text("a file, not a folder")
    background = BackgroundWriter(BagWriter(tmp_path / "bag"), capacity_bytes=10**7)
    background.add_topic(TOPIC)
    background.put(Record("/a", b"x", 1, 1))

    error = background.copy_to(tmp_path / "copy").exception(20)
    background.put(Record("/a", b"x", 2, 2))
    progress = background.close()

    assert isinstance(error, OSError)
    assert (progress.error, progress.gaps) == (None, ())
    assert [record.log_time_ns for record in BagReader(tmp_path / "bag").read_records()] == [1, 2]
