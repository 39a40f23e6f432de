"""A recording made beside other work accounts for every message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

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
