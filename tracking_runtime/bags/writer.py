"""Writer of recordings that stay readable if the process is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

from mcap.writer import CompressionType, Writer

from tracking_runtime.bags.metadata import METADATA, BagStatistics, Qos, Topic, to_qos_profiles, to_yaml
from tracking_runtime.errors import SourceError
from tracking_runtime.files import atomic_write
from tracking_runtime.messages.definitions import find_interface

METADATA_VERSION = 9  # rosbag2 of ROS 2 Jazzy
FLUSH_PERIOD_S = 1.0  # longest time for which messages are lost if the process is killed

Compression = Literal["none", "zstd"]


class BagWriter:
    """A bag opened for writing by one thread.

    Args:
        folder: folder of the bag. The folder must not exist.
        compression: compression of the chunks. `zstd` takes time and shrinks smooth images.

    Raises:
        SourceError: the folder exists.
        OSError: the folder cannot be created.
    """

    def __init__(self, folder: str | Path, *, compression: Compression = "none") -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise SourceError(
                f"{self.folder} exists already, and recordings are never overwritten: choose another name"
            ) from None
        self._path = self.folder / f"{self.folder.name}_0.mcap"
        self._file: IO[bytes] = self._path.open("xb")
        self._writer = Writer(
            self._file, compression=CompressionType.ZSTD if compression == "zstd" else CompressionType.NONE
        )
        self._topics: dict[str, Topic] = {}
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._statistics = BagStatistics()
        self._unflushed = True
        self._flushed_at = time.monotonic()
        self._writer.start(profile="ros2", library="remote_sensing_tracking")
        self.flush()

    @property
    def message_count(self) -> int:
        """Number of messages written."""
        return self._statistics.message_count

    @property
    def topics(self) -> Collection[Topic]:
        """Topics added."""
        return self._topics.values()

    def add_installed_topic(self, name: str, type_name: str, qos: Iterable[Qos] = ()) -> None:
        """Add a topic whose type has a definition in this installation.

        Raises:
            UnknownTypeError: the type has no definition. `add_topic` can record it without.
        """
        self.add_topic(Topic(name, find_interface(type_name), tuple(qos)))

    def add_topic(self, topic: Topic) -> None:
        """Add a topic with the definition of its type as given."""
        interface = topic.interface
        if interface.name not in self._schemas:
            encoding = "ros2msg" if interface.definition else ""
            self._schemas[interface.name] = self._writer.register_schema(
                interface.name, encoding, interface.definition.encode()
            )
        self._channels[topic.name] = self._writer.register_channel(
            topic.name,
            "cdr",
            self._schemas[interface.name],
            {
                "offered_qos_profiles": to_yaml(to_qos_profiles(topic.qos)),
                "topic_type_hash": interface.type_hash,
            },
        )
        self._topics[topic.name] = topic
        self._statistics.counts[topic.name] = 0
        self._unflushed = True

    def write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int | None = None) -> None:
        """Append a serialized message.

        Args:
            topic: name of a topic that was added.
            data: the message in CDR.
            log_time_ns: time of recording in nanoseconds.
            publish_time_ns: time of publication in nanoseconds; None: the time of recording.

        Raises:
            OSError: the disk is full or missing. Messages flushed before stay readable.
        """
        self._writer.add_message(
            self._channels[topic],
            log_time=log_time_ns,
            data=data,
            publish_time=log_time_ns if publish_time_ns is None else publish_time_ns,
            sequence=self._statistics.counts[topic],
        )
        self._statistics.add(topic, log_time_ns)
        self._unflushed = True
        if time.monotonic() - self._flushed_at >= FLUSH_PERIOD_S:
            self.flush()

    def flush(self) -> None:
        """Write all messages and the metadata to the disk. They stay readable if the process is killed."""
        self._flushed_at = time.monotonic()
        if not self._unflushed:
            return
        self._writer.flush()
        os.fdatasync(self._file.fileno())
        self._write_metadata()
        self._unflushed = False

    def close(self) -> None:
        """Finish the bag: summary, index and metadata."""
        self._writer.add_metadata("rosbag2", {"serialized_metadata": to_yaml(self._make_metadata())})
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._write_metadata()

    def abandon(self) -> None:
        """Close the file after an error. The bag stays unfinished and readable up to the last flush."""
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, OSError):
            self.abandon()
        else:
            self.close()

    def _make_metadata(self) -> dict[str, Any]:
        statistics = self._statistics
        span = {
            "duration": {"nanoseconds": statistics.end_ns - statistics.start_ns},
            "starting_time": {"nanoseconds_since_epoch": statistics.start_ns},
            "message_count": statistics.message_count,
        }
        return {
            "version": METADATA_VERSION,
            "storage_identifier": "mcap",
            **span,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.interface.name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": to_qos_profiles(topic.qos),
                        "type_description_hash": topic.interface.type_hash,
                    },
                    "message_count": statistics.counts[topic.name],
                }
                for topic in self._topics.values()
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [self._path.name],
            "files": [{"path": self._path.name, **span}],
            "custom_data": None,
            "ros_distro": "jazzy",
        }

    def _write_metadata(self) -> None:
        with atomic_write(self.folder / METADATA) as path:
            path.write_text(to_yaml({"rosbag2_bagfile_information": self._make_metadata()}))
