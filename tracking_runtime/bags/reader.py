"""Reading a recording, finished or not."""

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
from tracking_runtime.messages.definitions import describe


class BagReader:
    """Reads a bag: a folder as rosbag2 writes it, or one storage file of it.

    Messages come from the disk one chunk at a time. An unfinished MCAP file (its recorder was killed) is
    scanned once when opened and read up to its last whole chunk.

    Raises:
        SourceError: there is no bag at ``path``, or its files are damaged; the message names them.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._storages = _open_storages(self.path)
        self._typestore = get_typestore(Stores.EMPTY)

    @property
    def complete(self) -> bool:
        """Whether the bag was finished; if not, ``repair`` makes it so."""
        return all(storage.complete for storage in self._storages)

    @property
    def topics(self) -> dict[str, Topic]:
        """The topics by name."""
        return {topic.name: topic for storage in self._storages for topic in storage.topics}

    @property
    def counts(self) -> dict[str, int]:
        """How many messages each topic has."""
        return {name: sum(s.tally.counts.get(name, 0) for s in self._storages) for name in self.topics}

    @property
    def message_count(self) -> int:
        """How many messages there are in all."""
        return sum(storage.tally.total for storage in self._storages)

    @property
    def start_ns(self) -> int:
        """When the first message was received; 0 if there is none."""
        return min((s.tally.start_ns for s in self._storages if s.tally.total), default=0)

    @property
    def end_ns(self) -> int:
        """When the last message was received; 0 if there is none."""
        return max((s.tally.end_ns for s in self._storages if s.tally.total), default=0)

    def topics_of(self, type_name: str) -> list[str]:
        """Names of the topics of one type, in the order of the recording."""
        return [name for name, topic in self.topics.items() if topic.interface.name == type_name]

    def records(self, topics: Iterable[str] | None = None) -> Iterator[Record]:
        """The messages of some topics, or of all, in the order in which they were received."""
        wanted = None if topics is None else set(topics)
        for storage in self._storages:
            yield from storage.records(wanted)

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[tuple[Record, Any]]:
        """The same, each with the message itself: attributes named as its fields, arrays as NumPy arrays."""
        for record in self.records(topics):
            yield record, self.decode(record)

    def decode(self, record: Record) -> Any:
        """A record's message, read by the definition that the bag carries, or else by that installed.

        Raises:
            UnknownType: there is neither.
        """
        interface = self.topics[record.topic].interface
        if interface.name not in self._typestore.types:
            definition = interface.definition or describe(interface.name).definition
            self._typestore.register(get_types_from_msg(definition, interface.name))
        return self._typestore.deserialize_cdr(record.data, interface.name)


def repair(folder: str | Path) -> int:
    """Finish a bag that its recorder could not, so that every reader opens it.

    The bag is written anew beside the old one, which it replaces when it is whole.

    Returns:
        How many messages it holds.

    Raises:
        SourceError: it is no bag.
    """
    folder = Path(folder)
    reader = BagReader(folder)
    repaired = folder.with_name(f".{folder.name}.repaired") / folder.name
    shutil.rmtree(repaired.parent, ignore_errors=True)
    with BagWriter(repaired) as writer:
        for topic in reader.topics.values():
            writer.add(topic)
        for record in reader.records():
            writer.write(*record)
    folder.rename(repaired.parent / "unfinished")
    repaired.rename(folder)
    shutil.rmtree(repaired.parent)
    return writer.message_count


def _open_storages(path: Path) -> list[McapFile] | list[OtherStorage]:
    if path.is_file():
        return [McapFile(path)] if path.suffix == ".mcap" else [OtherStorage(path)]
    if not path.is_dir():
        raise SourceError(f"no recording at {path}")
    files, compressed = _listed_files(path)
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        lacking = missing[0].name if missing else "its storage file"
        raise SourceError(f"{path} is not a recording: {lacking} is missing")
    if compressed or any(file.suffix != ".mcap" for file in files):
        return [OtherStorage(path)]
    return [McapFile(file) for file in files]


def _listed_files(folder: Path) -> tuple[list[Path], bool]:
    """A bag's storage files, and whether whole files or single messages of it are compressed."""
    metadata = folder / METADATA
    if not metadata.is_file():
        return sorted(folder.glob("*.mcap")), False
    try:
        information = yaml.safe_load(metadata.read_text())["rosbag2_bagfile_information"]
        files = [folder / Path(name).name for name in information["relative_file_paths"]]
        return files, bool(information.get("compression_mode"))
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{metadata} is not the metadata of a recording: {error}") from error
