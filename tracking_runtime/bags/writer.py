"""Writer of recordings that stay readable if the process is killed."""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from mcap.writer import CompressionType, Writer

from tracking_runtime.bags import mcap_records
from tracking_runtime.bags.mcap_file import WRITER_LIBRARY
from tracking_runtime.bags.metadata import (
    GAP_KEY,
    METADATA,
    BagStatistics,
    Qos,
    Topic,
    to_qos_profiles,
    to_yaml,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.files import atomic_write
from tracking_runtime.messages.definitions import find_interface

METADATA_VERSION = 9  # rosbag2 of ROS 2 Jazzy
FLUSH_PERIOD_S = 1.0  # longest time for which messages are lost if the process is killed

MAX_TIME_NS = 4_102_444_800 * 10**9
"""Latest time of a message, the year 2100, in nanoseconds. Later times come from damaged messages."""

Compression = Literal["none", "zstd"]

_LOG_TYPE = "rcl_interfaces/msg/Log"
_NUM_CHECKPOINTS = 64  # chunks whose end is known, in case the newest do not reach the disk
_ENDING = (
    struct.pack("<BQI", mcap_records.DATA_END, 4, 0)
    + struct.pack("<BQQQI", mcap_records.FOOTER, 20, 0, 0, 0)
    + mcap_records.MAGIC
)
"""End of an MCAP file without index: the smallest that makes an interrupted file complete."""


class _Checkpoint(NamedTuple):
    """The end of a chunk: position in the file in bytes, and statistics of the file up to there."""

    position: int
    statistics: BagStatistics


class _StorageFile:
    """One MCAP file of a bag, open for writing.

    Args:
        path: file, which must not exist.
        compression: compression of the chunks.
        topics: topics that the file begins with.
    """

    def __init__(self, path: Path, compression: Compression, topics: Iterable[Topic]) -> None:
        self.path = path
        self.statistics = BagStatistics()
        self._file: IO[bytes] = path.open("xb")
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._checkpoints: deque[_Checkpoint] = deque([_Checkpoint(0, BagStatistics())], _NUM_CHECKPOINTS)
        self._writer = Writer(
            self._file,
            compression=CompressionType.ZSTD if compression == "zstd" else CompressionType.NONE,
            enable_data_crcs=True,
        )
        self._writer.start(profile="ros2", library=WRITER_LIBRARY)
        for topic in topics:
            self.add_topic(topic)

    def add_topic(self, topic: Topic) -> None:
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
        self.statistics.counts[topic.name] = 0

    def write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int) -> None:
        self._writer.add_message(
            self._channels[topic],
            log_time=log_time_ns,
            data=data,
            publish_time=publish_time_ns,
            sequence=self.statistics.counts[topic],
        )
        self.statistics.add(topic, log_time_ns)
        self._add_checkpoint()

    def flush(self) -> None:
        self._writer.flush()
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._add_checkpoint()

    def finish(self, metadata: str) -> None:
        self._writer.add_metadata("rosbag2", {"serialized_metadata": metadata})
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> Counter[str]:
        """Close the file after an error, cut it after the last whole chunk, and return the lost messages."""
        with suppress(OSError):
            self._file.close()
        counts = Counter(self.statistics.counts)
        with suppress(OSError):
            size = self.path.stat().st_size
            intact = max(
                (entry for entry in self._checkpoints if entry.position <= size),
                key=lambda entry: entry.position,
                default=self._checkpoints[0],
            )
            os.truncate(self.path, min(intact.position, size))
            self.statistics = intact.statistics
        return counts - Counter(self.statistics.counts)

    def complete(self) -> None:
        """Write the end of an abandoned file, so that every reader opens it, if there is room."""
        with suppress(OSError), self.path.open("ab") as file:
            file.write(_ENDING)
            file.flush()
            os.fsync(file.fileno())

    def _add_checkpoint(self) -> None:
        position = self._file.tell()
        if position != self._checkpoints[-1].position:
            self._checkpoints.append(_Checkpoint(position, self.statistics.copy()))


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
        self._compression = compression
        self._topics: dict[str, Topic] = {}
        self._finished_files: list[_StorageFile] = []
        self._latched: dict[str, tuple[bytes, int]] = {}
        self._number = 0
        self._file = self._open_file()
        self._gaps: list[str] = []
        self._unflushed = True
        self._flushed_at = time.monotonic()
        self.flush()

    @property
    def message_count(self) -> int:
        """Number of messages written."""
        return sum(file.statistics.message_count for file in self._files)

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
        self._file.add_topic(topic)
        self._topics[topic.name] = topic
        self._unflushed = True

    def write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int | None = None) -> None:
        """Append a serialized message.

        Args:
            topic: name of a topic that was added.
            data: the message in CDR.
            log_time_ns: time of recording in nanoseconds.
            publish_time_ns: time of publication in nanoseconds; None: the time of recording.

        Raises:
            ValueError: a time is before 1970 or after 2100. Nothing is written.
            OSError: the disk is full or missing. Messages flushed before stay readable.
        """
        publish_time_ns = log_time_ns if publish_time_ns is None else publish_time_ns
        if not (0 <= log_time_ns < MAX_TIME_NS and 0 <= publish_time_ns < MAX_TIME_NS):
            raise ValueError(
                f"time of a message on {topic} must be between 1970 and 2100: got {log_time_ns} and "
                f"{publish_time_ns} ns"
            )
        if time.monotonic() - self._flushed_at >= FLUSH_PERIOD_S:
            self.flush()
        self._file.write(topic, data, log_time_ns, publish_time_ns)
        if _is_latched(self._topics[topic]):
            self._latched[topic] = (data, publish_time_ns)
        self._unflushed = True

    def flush(self) -> None:
        """Write all messages and the metadata to the disk. They stay readable if the process is killed."""
        self._flushed_at = time.monotonic()
        if not self._unflushed:
            return
        self._file.flush()
        self._write_metadata()
        self._unflushed = False

    def close(self) -> None:
        """Finish the bag: summary, index and metadata."""
        self._file.finish(to_yaml(self._make_metadata(self._files)))
        self._write_metadata()

    def abandon(self) -> dict[str, int]:
        """Close the file after an error. The bag stays unfinished and readable up to the last whole chunk.

        Returns:
            Number of messages by topic that were written, and are lost.
        """
        return dict(self._file.abandon())

    def resume(self, gap: str) -> None:
        """Continue an abandoned bag in a new file of the same bag. The file of before gets an end.

        Args:
            gap: time and reason of the gap, as text for users. The metadata keep it.

        Raises:
            OSError: the disk is still full or missing. The bag stays as it is.
        """
        file = self._open_next_file()
        previous = self._file
        self._finished_files.append(previous)
        self._file = file
        self._gaps.append(gap)
        try:
            self._write_metadata()
        except OSError:
            self._finished_files.pop()
            self._file = previous
            self._gaps.pop()
            file.abandon()
            file.path.unlink(missing_ok=True)
            raise
        self._number += 1
        previous.complete()

    def split(self, log_time_ns: int) -> None:
        """Finish the file, and continue in a new one of the same bag.

        The new file begins with the last message of each latched topic (transient local), such as the
        description of the camera. It is readable without the files before.

        Args:
            log_time_ns: time of recording of these messages in nanoseconds.

        Raises:
            OSError: the disk is full or missing.
        """
        file = self._open_next_file()
        self._number += 1
        previous, self._file = self._file, file
        self._finished_files.append(previous)
        for topic, (data, publish_time_ns) in self._latched.items():
            file.write(topic, data, log_time_ns, publish_time_ns)
        previous.finish(to_yaml(self._make_metadata(self._files)))
        self._unflushed = True
        self.flush()

    def copy_to(self, folder: Path) -> None:
        """Make a bag of the finished files, with links where the disk allows. `split` finishes the newest.

        Args:
            folder: folder of the new bag. It may exist.

        Raises:
            OSError: the disk is full or missing, or the folder has files of the bag.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for file in self._finished_files:
            try:
                os.link(file.path, folder / file.path.name)
            except OSError:
                shutil.copyfile(file.path, folder / file.path.name)
        _write_metadata(folder, self._make_metadata(self._finished_files))

    def remove_before(self, time_ns: int) -> None:
        """Remove the finished files without a message from a time on, in nanoseconds."""
        old = [file for file in self._finished_files if file.statistics.end_ns < time_ns]
        if not old:
            return
        self._finished_files = [file for file in self._finished_files if file not in old]
        self._write_metadata()
        for file in old:
            file.path.unlink(missing_ok=True)

    @property
    def _files(self) -> list[_StorageFile]:
        return [*self._finished_files, self._file]

    def _find_path(self, number: int) -> Path:
        return self.folder / f"{self.folder.name}_{number}.mcap"

    def _open_file(self, number: int = 0) -> _StorageFile:
        return _StorageFile(self._find_path(number), self._compression, self._topics.values())

    def _open_next_file(self) -> _StorageFile:
        """Open the next file of the bag and flush it. Nothing is left of it after an error of the disk."""
        try:
            file = self._open_file(self._number + 1)
            file.flush()
        except OSError:
            self._find_path(self._number + 1).unlink(missing_ok=True)
            raise
        return file

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, OSError):
            self.abandon()
        else:
            self.close()

    def _make_metadata(self, files: Sequence[_StorageFile]) -> dict[str, Any]:
        total = BagStatistics()
        for file in files:
            total.merge(file.statistics)
        return {
            "version": METADATA_VERSION,
            "storage_identifier": "mcap",
            **_describe_span(total),
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.interface.name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": to_qos_profiles(topic.qos),
                        "type_description_hash": topic.interface.type_hash,
                    },
                    "message_count": total.counts.get(topic.name, 0),
                }
                for topic in self._topics.values()
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file.path.name for file in files],
            "files": [{"path": file.path.name, **_describe_span(file.statistics)} for file in files],
            "custom_data": {f"{GAP_KEY}{number:03}": gap for number, gap in enumerate(self._gaps, 1)} or None,
            "ros_distro": "jazzy",
        }

    def _write_metadata(self) -> None:
        _write_metadata(self.folder, self._make_metadata(self._files))


def _write_metadata(folder: Path, metadata: Mapping[str, Any]) -> None:
    with atomic_write(folder / METADATA) as path:
        path.write_text(to_yaml({"rosbag2_bagfile_information": metadata}))


def _is_latched(topic: Topic) -> bool:
    """Return whether late subscribers of a topic receive its last message. Log messages are no such facts."""
    if topic.interface.name == _LOG_TYPE:
        return False
    return bool(topic.qos) and all(qos.durability == "transient_local" for qos in topic.qos)


def _describe_span(statistics: BagStatistics) -> dict[str, Any]:
    return {
        "duration": {"nanoseconds": statistics.end_ns - statistics.start_ns},
        "starting_time": {"nanoseconds_since_epoch": statistics.start_ns},
        "message_count": statistics.message_count,
    }
