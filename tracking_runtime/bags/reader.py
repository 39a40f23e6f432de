"""Reader and repair of recordings, finished or not."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tracking_runtime.bags.metadata import METADATA, Record, Topic
from tracking_runtime.bags.storage import McapFile, OtherStorage
from tracking_runtime.bags.writer import BagWriter
from tracking_runtime.errors import SourceError
from tracking_runtime.messages.definitions import find_interface


class BagReader:
    """A bag opened for reading: a folder in rosbag2's layout, or one storage file.

    Messages are read from the disk one chunk at a time. An unfinished MCAP file (its recorder was killed) is
    scanned once when it is opened, and read up to its last whole chunk.

    Args:
        path: folder or storage file.

    Raises:
        SourceError: `path` is not a bag, or its files are damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._storages = _open_storages(self.path)
        self._typestore = get_typestore(Stores.EMPTY)

    @property
    def is_complete(self) -> bool:
        """Whether the recorder finished the bag. `repair_bag` finishes it."""
        return all(storage.is_complete for storage in self._storages)

    @property
    def topics(self) -> dict[str, Topic]:
        """Topics by name."""
        return {topic.name: topic for storage in self._storages for topic in storage.topics}

    @property
    def counts(self) -> dict[str, int]:
        """Number of messages by topic."""
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
        """Yield each record with its message. Arrays of the message are NumPy arrays."""
        for record in self.read_records(topics):
            yield record, self.decode(record)

    def decode(self, record: Record) -> Any:
        """Deserialize the message of a record, by the definition in the bag or else by the installed one.

        Raises:
            UnknownTypeError: neither definition exists.
        """
        interface = self.topics[record.topic].interface
        if interface.name not in self._typestore.types:
            definition = interface.definition or find_interface(interface.name).definition
            self._typestore.register(get_types_from_msg(definition, interface.name))
        return self._typestore.deserialize_cdr(record.data, interface.name)


def repair_bag(folder: str | Path) -> int:
    """Finish a bag whose recorder was killed, so that every reader opens it.

    A new bag is written beside the old one and replaces it at the end.

    Returns:
        Number of messages in the bag.

    Raises:
        SourceError: the folder is not a bag.
    """
    folder = Path(folder)
    reader = BagReader(folder)
    repaired = folder.with_name(f".{folder.name}.repaired") / folder.name
    shutil.rmtree(repaired.parent, ignore_errors=True)
    with BagWriter(repaired) as writer:
        for topic in reader.topics.values():
            writer.add_topic(topic)
        for record in reader.read_records():
            writer.write(*record)
    folder.rename(repaired.parent / "unfinished")
    repaired.rename(folder)
    shutil.rmtree(repaired.parent)
    return writer.message_count


def _open_storages(path: Path) -> list[McapFile] | list[OtherStorage]:
    if path.is_file():
        return [McapFile(path)] if path.suffix == ".mcap" else [OtherStorage(path)]
    if not path.is_dir():
        raise SourceError(f"{path} does not exist: give a recording")
    files, compressed = _list_storage_files(path)
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        file_name = missing[0].name if missing else "its storage file"
        raise SourceError(f"{path} is not a recording: {file_name} is missing")
    if compressed or any(file.suffix != ".mcap" for file in files):
        return [OtherStorage(path)]
    return [McapFile(file) for file in files]


def _list_storage_files(folder: Path) -> tuple[list[Path], bool]:
    """Return a bag's storage files, and whether rosbag2 compressed its files or messages."""
    metadata = folder / METADATA
    if not metadata.is_file():
        return sorted(folder.glob("*.mcap")), False
    try:
        information = yaml.safe_load(metadata.read_text())["rosbag2_bagfile_information"]
        files = [folder / Path(name).name for name in information["relative_file_paths"]]
        return files, bool(information.get("compression_mode"))
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{metadata} is not the metadata of a recording: {error}") from error
