"""Reader of recordings, finished or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rosbags.typesys.store import Typestore

from tracking_runtime.bags import mcap_records, sqlite_file
from tracking_runtime.bags.mcap_file import McapFile
from tracking_runtime.bags.metadata import METADATA, BagMetadata, Damage, Record, Topic, read_metadata
from tracking_runtime.bags.sqlite_file import SqliteFile
from tracking_runtime.bags.unpacking import unpack_zstd_file
from tracking_runtime.errors import SourceError, UnsafePathError
from tracking_runtime.files import list_visible, resolve_inside
from tracking_runtime.messages.definitions import MessageError, deserialize, find_interface, make_typestore
from tracking_runtime.untrusted.files import open_file

_ROS1_MAGIC = b"#ROSBAG V"
_STORAGE_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_NO_METADATA = BagMetadata([], [], "", [])

_Storage = McapFile | SqliteFile


class BagReader:
    """A bag opened for reading: a folder in rosbag2's layout, or one storage file (MCAP or db3).

    Messages are read from the disk one chunk at a time, and checksums are verified. Damaged chunks are
    skipped, logged and listed in `damages`. An unfinished MCAP file (its recorder was killed) is scanned once
    when it is opened, and read up to its last whole chunk.

    Args:
        path: folder or storage file.
        ignore_metadata: True if the storage files of a folder are read without its metadata.yaml.

    Raises:
        SourceError: `path` is not a bag, or its files cannot be read.
    """

    def __init__(self, path: str | Path, *, ignore_metadata: bool = False) -> None:
        self.path = Path(path)
        self._ignore_metadata = ignore_metadata
        self._typestores: dict[str, Typestore] = {}
        self._unpacked_folder: TemporaryDirectory[str] | None = None
        self._metadata = _NO_METADATA
        self._storages = self._open_storages(ignore_metadata)

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the bag again in the process that receives it."""
        return _open_again, (self.path, self._ignore_metadata)

    @property
    def is_complete(self) -> bool:
        """True if the recorder finished the bag. `repair_bag` finishes it."""
        return all(storage.is_complete for storage in self._storages)

    @property
    def damages(self) -> list[Damage]:
        """Damaged parts found so far. Parts are checked when their messages are read."""
        return [damage for storage in self._storages for damage in storage.damages]

    def check(self) -> list[Damage]:
        """Read the whole bag, and return all damages.

        Raises:
            SourceError: a file unpacks to more than its limit, or cannot be read.
        """
        for storage in self._storages:
            storage.check()
        return self.damages

    @property
    def gaps(self) -> list[str]:
        """Times in which the recorder could not write, as text for users."""
        return self._metadata.gaps

    @property
    def topics(self) -> dict[str, Topic]:
        """Topics by name."""
        return {topic.name: topic for storage in self._storages for topic in storage.topics}

    @property
    def counts(self) -> dict[str, int]:
        """Number of messages by topic, including those in damaged parts of a finished file."""
        return {name: sum(s.statistics.counts.get(name, 0) for s in self._storages) for name in self.topics}

    @property
    def message_count(self) -> int:
        """Number of messages of all topics."""
        return sum(storage.statistics.message_count for storage in self._storages)

    @property
    def start_ns(self) -> int:
        """Time of the first message in nanoseconds; 0 for an empty bag."""
        return min((s.statistics.start_ns for s in self._storages if s.statistics.message_count), default=0)

    @property
    def end_ns(self) -> int:
        """Time of the last message in nanoseconds; 0 for an empty bag."""
        return max((s.statistics.end_ns for s in self._storages if s.statistics.message_count), default=0)

    def find_topics(self, type_name: str) -> list[str]:
        """Return the names of the topics of one message type, in the order of the recording."""
        return [name for name, topic in self.topics.items() if topic.interface.name == type_name]

    def read_records(self, topics: Iterable[str] | None = None) -> Iterator[Record]:
        """Yield the records of some topics, or of all, in the order of the recording."""
        topic_names = None if topics is None else set(topics)
        for storage in self._storages:
            yield from storage.read_records(topic_names)

    def read_messages(self, topics: Iterable[str] | None = None) -> Iterator[tuple[Record, Any]]:
        """Yield each record with its message, in the order of the recording.

        Arrays of the message are NumPy arrays.

        Args:
            topics: names of the topics; None: all topics.

        Raises:
            SourceError: a message does not have its type's fields.
            UnknownTypeError: the type of a topic has no definition.
        """
        for record in self.read_records(topics):
            yield record, self.decode(record)

    def decode(self, record: Record) -> Any:
        """Deserialize the message of a record, by the definition in the bag or else by the installed one.

        Raises:
            SourceError: the message does not have its type's fields, or the definition is malformed.
            UnknownTypeError: neither definition exists.
        """
        interface = self.topics[record.topic].interface
        name = interface.name
        try:
            if name not in self._typestores:
                definition = interface.definition or find_interface(name).definition
                self._typestores[name] = make_typestore(name, definition)
            return deserialize(self._typestores[name], record.data, name)
        except MessageError as error:
            raise SourceError(f"{self.path}, topic {record.topic}: {error}") from error

    def _open_storages(self, ignore_metadata: bool) -> list[_Storage]:
        try:
            if self.path.is_file():
                return [self._open_storage(self.path)]
            if not self.path.is_dir():
                raise SourceError(f"{self.path} does not exist: give a recording")
            if (self.path / METADATA).is_file() and not ignore_metadata:
                self._metadata = read_metadata(self.path)
                files = self._metadata.files
            else:
                files = _list_storage_files(self.path)
            missing = [file for file in files if not file.is_file()]
            if missing or not files:
                file_name = missing[0].name if missing else "its storage file"
                raise SourceError(f"{self.path} is not a recording: {file_name} is missing")
            return [self._open_storage(file) for file in files]
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _open_storage(self, path: Path) -> _Storage:
        if path.suffix == ".zstd":
            path = self._unpack(path)
        with open_file(path) as file:
            start = file.read(len(sqlite_file.MAGIC))
        has_packed_messages = self._metadata.compression_mode == "message"
        if start == sqlite_file.MAGIC:
            return SqliteFile(path, has_packed_messages=has_packed_messages)
        if path.suffix == ".mcap" or start.startswith(mcap_records.MAGIC):
            return McapFile(path, self._metadata.topics, has_packed_messages=has_packed_messages)
        if start.startswith(_ROS1_MAGIC):
            raise SourceError(describe_ros1_recording(path))
        raise SourceError(
            f"{path} cannot be read as a recording: the file is neither MCAP nor SQLite; "
            "give a folder with metadata.yaml, or a file .mcap or .db3"
        )

    def _unpack(self, path: Path) -> Path:
        """Unpack a storage file to a temporary folder, which is deleted with the reader."""
        if self._unpacked_folder is None:
            self._unpacked_folder = TemporaryDirectory(prefix="rstrack-bag-", ignore_cleanup_errors=True)
        target = Path(self._unpacked_folder.name) / path.stem
        unpack_zstd_file(path, target)
        return target


def _open_again(path: Path, ignore_metadata: bool) -> BagReader:
    return BagReader(path, ignore_metadata=ignore_metadata)


def describe_ros1_recording(path: Path) -> str:
    """Return the message of the error for a recording of ROS 1, with the command that converts it."""
    return (
        f"{path} is a recording of ROS 1: convert it by rosbags-convert --src {path} "
        f"--dst {path.with_suffix('')} --dst-storage mcap, and give {path.with_suffix('')}"
    )


def _list_storage_files(folder: Path) -> list[Path]:
    """Return the storage files in a folder without metadata.yaml."""
    files = list_visible(folder)
    try:
        found = [resolve_inside(folder, path.name) for path in files if path.name.endswith(_STORAGE_SUFFIXES)]
    except UnsafePathError as error:
        raise SourceError(f"{folder}: {error}") from error
    recordings_of_ros1 = [path for path in files if path.suffix == ".bag" and path.is_file()]
    if not found and recordings_of_ros1:
        raise SourceError(describe_ros1_recording(recordings_of_ros1[0]))
    return found
