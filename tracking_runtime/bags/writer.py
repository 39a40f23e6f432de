"""Writing a recording that survives its writer."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

from mcap.writer import CompressionType, Writer

from tracking_runtime.bags.metadata import METADATA, Qos, Tally, Topic, qos_profiles, to_yaml
from tracking_runtime.errors import SourceError
from tracking_runtime.messages.definitions import describe

METADATA_VERSION = 9  # rosbag2 of ROS 2 Jazzy
FLUSH_PERIOD_S = 1.0

Compression = Literal["none", "zstd"]


class BagWriter:
    """Writes one bag; to be used from one thread.

    Args:
        folder: the bag's folder, made here; it must not exist.
        compression: of the chunks; ``zstd`` costs time and shrinks smooth images.

    Raises:
        SourceError: the folder exists already.
        OSError: it cannot be made.
    """

    def __init__(self, folder: str | Path, *, compression: Compression = "none") -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise SourceError(
                f"{self.folder} exists already, and a recording never overwrites: choose another name"
            ) from None
        self._path = self.folder / f"{self.folder.name}_0.mcap"
        self._file: IO[bytes] = self._path.open("xb")
        self._writer = Writer(
            self._file, compression=CompressionType.ZSTD if compression == "zstd" else CompressionType.NONE
        )
        self._topics: dict[str, Topic] = {}
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._tally = Tally()
        self._unflushed = True
        self._flushed_at = time.monotonic()
        self._writer.start(profile="ros2", library="remote_sensing_tracking")
        self.flush()

    @property
    def message_count(self) -> int:
        """Messages written so far."""
        return self._tally.total

    @property
    def topics(self) -> Collection[Topic]:
        """The topics added so far."""
        return self._topics.values()

    def add_topic(self, name: str, type_name: str, qos: Iterable[Qos] = ()) -> None:
        """Make a topic known whose type can be found in this installation.

        Raises:
            UnknownType: its definition is nowhere to be found; ``add`` records it nevertheless.
        """
        self.add(Topic(name, describe(type_name), tuple(qos)))

    def add(self, topic: Topic) -> None:
        """Make a topic known; what it says of its type goes into the bag as it is."""
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
                "offered_qos_profiles": to_yaml(qos_profiles(topic.qos)),
                "topic_type_hash": interface.type_hash,
            },
        )
        self._topics[topic.name] = topic
        self._tally.counts[topic.name] = 0
        self._unflushed = True

    def write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int | None = None) -> None:
        """Append a serialised message of a topic made known before.

        Raises:
            OSError: the disk is full or gone; what was flushed before stays readable.
        """
        self._writer.add_message(
            self._channels[topic],
            log_time=log_time_ns,
            data=data,
            publish_time=log_time_ns if publish_time_ns is None else publish_time_ns,
            sequence=self._tally.counts[topic],
        )
        self._tally.add(topic, log_time_ns)
        self._unflushed = True
        if time.monotonic() - self._flushed_at >= FLUSH_PERIOD_S:
            self.flush()

    def flush(self) -> None:
        """Bring everything written so far to the disk, readable whatever happens next."""
        self._flushed_at = time.monotonic()
        if not self._unflushed:
            return
        self._writer.flush()
        os.fdatasync(self._file.fileno())
        self._write_metadata()
        self._unflushed = False

    def close(self) -> None:
        """Finish the bag."""
        self._writer.add_metadata("rosbag2", {"serialized_metadata": to_yaml(self._metadata())})
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._write_metadata()

    def abandon(self) -> None:
        """Leave the bag as it is after an error: unfinished, readable up to the last flush."""
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, OSError):
            self.abandon()
        else:
            self.close()

    def _metadata(self) -> dict[str, Any]:
        tally = self._tally
        span = {
            "duration": {"nanoseconds": tally.end_ns - tally.start_ns},
            "starting_time": {"nanoseconds_since_epoch": tally.start_ns},
            "message_count": tally.total,
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
                        "offered_qos_profiles": qos_profiles(topic.qos),
                        "type_description_hash": topic.interface.type_hash,
                    },
                    "message_count": tally.counts[topic.name],
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
        partial = self.folder / f".{METADATA}"
        partial.write_text(to_yaml({"rosbag2_bagfile_information": self._metadata()}))
        os.replace(partial, self.folder / METADATA)
