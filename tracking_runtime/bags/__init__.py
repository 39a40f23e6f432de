"""Recordings as rosbag2 keeps them, MCAP storage, written and read without a ROS installation.

A bag is a folder: ``metadata.yaml`` beside ``NAME_0.mcap``. The writer closes a chunk and brings it to the
disk at least every second, so that a killed process or a power cut costs no more than that. The reader opens
finished and unfinished bags alike, and any other storage that the rosbags library knows.
"""

from tracking_runtime.bags.background_writer import BackgroundWriter, Progress
from tracking_runtime.bags.metadata import Qos, Record, Topic
from tracking_runtime.bags.reader import BagReader, repair
from tracking_runtime.bags.writer import BagWriter, Compression

__all__ = [
    "BackgroundWriter",
    "BagReader",
    "BagWriter",
    "Compression",
    "Progress",
    "Qos",
    "Record",
    "Topic",
    "repair",
]
