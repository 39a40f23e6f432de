"""Recordings in rosbag2's layout with MCAP storage, written and read without a ROS installation.

A bag is a folder with `metadata.yaml` and `NAME_0.mcap`. The writer flushes a chunk to the disk at least
every second: a killed process or a power cut loses at most one second. The reader opens finished and
unfinished bags of MCAP and SQLite files, verifies checksums, and skips and reports what is damaged.
"""

from tracking_runtime.bags.background_writer import BackgroundWriter, WriterProgress
from tracking_runtime.bags.metadata import Damage, Qos, Record, Topic
from tracking_runtime.bags.reader import BagReader
from tracking_runtime.bags.repair import RepairResult, repair_bag, restore_bag
from tracking_runtime.bags.writer import BagWriter, Compression

__all__ = [
    "BackgroundWriter",
    "BagReader",
    "BagWriter",
    "Compression",
    "Damage",
    "Qos",
    "Record",
    "RepairResult",
    "Topic",
    "WriterProgress",
    "repair_bag",
    "restore_bag",
]
