"""SQLite files of rosbag2 (db3), read without their metadata.yaml."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tracking_runtime.bags.metadata import BagStatistics, Damage, Record, Topic, parse_qos
from tracking_runtime.bags.unpacking import DamagedBlockError, UnpackingBudget, unpack_zstd_message
from tracking_runtime.errors import SourceError
from tracking_runtime.messages.definitions import Interface
from tracking_runtime.untrusted.limits import UNPACKED_BYTES

MAGIC = b"SQLite format 3\0"

_MAX_TEXT_BYTES = 1 << 20  # longest name, definition or list of QoS profiles
_LENGTH_LIMIT = 0  # SQLITE_LIMIT_LENGTH, without a name before Python 3.11
_NEEDED_TABLES = {"topics", "messages"}


class SqliteFile:
    """A db3 file of rosbag2. The format has neither checksums nor times of publication.

    Args:
        path: file.
        has_packed_messages: True if rosbag2 compressed each message.

    Attributes:
        is_complete: always true: SQLite leaves no unfinished files.
        statistics: number and times of the messages.
        damages: damaged messages that were found so far.

    Raises:
        SourceError: the file is not a db3 file of rosbag2, or is damaged.
    """

    is_complete = True

    def __init__(self, path: Path, *, has_packed_messages: bool = False) -> None:
        self._path = path
        self._has_packed_messages = has_packed_messages
        self.damages: list[Damage] = []
        self.statistics = BagStatistics()
        self._topics: dict[int, Topic] = {}
        with self._connect() as connection:
            self._read_topics(connection)
            self._count(connection)

    @property
    def topics(self) -> list[Topic]:
        """Topics of the file."""
        return list(self._topics.values())

    def read_records(self, topics: Collection[str] | None) -> Iterator[Record]:
        """Yield the records of some topics, or of all, by time of recording."""
        ids = [number for number, topic in self._topics.items() if topics is None or topic.name in topics]
        marks = ",".join("?" * len(ids))
        order = f"WHERE topic_id IN ({marks}) ORDER BY timestamp, id"
        query = f"SELECT topic_id, timestamp, data FROM messages {order}"
        budget = UnpackingBudget(self._path)
        with self._connect() as connection:
            for number, time_ns, data in connection.execute(query, ids):
                record = self._make_record(self._topics[number].name, time_ns, data, budget)
                if record is not None:
                    yield record

    def check(self) -> None:
        """Read the whole file, so that all damages are found. Raises SourceError if SQLite cannot read it."""
        for _ in self.read_records(None):
            pass

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """Open the file for reading. Errors of SQLite in the block become SourceError."""
        has_log = self._path.with_name(f"{self._path.name}-wal").exists()
        address = f"file:{quote(str(self._path.absolute()))}?mode=ro{'' if has_log else '&immutable=1'}"
        try:
            with closing(sqlite3.connect(address, uri=True, check_same_thread=False)) as connection:
                connection.execute("PRAGMA trusted_schema = OFF")
                if hasattr(connection, "setlimit"):  # from Python 3.11 on
                    connection.setlimit(_LENGTH_LIMIT, UNPACKED_BYTES.value)
                yield connection
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SourceError(
                f"{self._path} cannot be read as a recording: {reason}; recover a damaged file by "
                f"sqlite3 {self._path} .recover | sqlite3 recovered.db3"
            ) from error

    def _read_topics(self, connection: sqlite3.Connection) -> None:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if not tables >= _NEEDED_TABLES:
            raise SourceError(
                f"{self._path} cannot be read as a recording: tables topics and messages are missing"
            )
        definitions = _read_definitions(connection) if "message_definitions" in tables else {}
        columns = {row[1] for row in connection.execute("PRAGMA table_info(topics)")}
        optional = [
            name if name in columns else "''" for name in ("offered_qos_profiles", "type_description_hash")
        ]
        query = f"SELECT id, name, type, serialization_format, {', '.join(optional)} FROM topics ORDER BY id"
        for number, name, type_name, serialization, qos, type_hash in connection.execute(query):
            self._check_texts(name, type_name, serialization, qos, type_hash)
            if serialization != "cdr":
                raise SourceError(f"{self._path}, topic {name}: messages are {serialization[:40]!r}, not cdr")
            try:
                profiles = parse_qos(qos)
            except ValueError as error:
                raise SourceError(f"{self._path}, topic {name}: {error}") from error
            interface = Interface(type_name, definitions.get(type_name, ""), type_hash)
            self._topics[number] = Topic(name, interface, profiles)

    def _check_texts(self, *values: Any) -> None:
        if not all(isinstance(value, str) and len(value) <= _MAX_TEXT_BYTES for value in values):
            raise SourceError(f"{self._path} cannot be read as a recording: a topic has invalid fields")

    def _count(self, connection: sqlite3.Connection) -> None:
        query = "SELECT topic_id, COUNT(*), MIN(timestamp), MAX(timestamp) FROM messages GROUP BY topic_id"
        spans = []
        for number, count, start_ns, end_ns in connection.execute(query):
            if number in self._topics and isinstance(start_ns, int) and isinstance(end_ns, int):
                self.statistics.counts[self._topics[number].name] = count
                spans.append((start_ns, end_ns))
        for topic in self._topics.values():
            self.statistics.counts.setdefault(topic.name, 0)
        if spans:
            self.statistics.start_ns = min(start_ns for start_ns, _ in spans)
            self.statistics.end_ns = max(end_ns for _, end_ns in spans)

    def _make_record(self, topic: str, time_ns: Any, data: Any, budget: UnpackingBudget) -> Record | None:
        """Return a record; None if its fields are damaged."""
        try:
            if not isinstance(time_ns, int) or time_ns < 0 or not isinstance(data, bytes):
                raise DamagedBlockError("time or data are invalid")
            packed = unpack_zstd_message(data, budget) if self._has_packed_messages else data
            return Record(topic, packed, time_ns, time_ns)
        except DamagedBlockError as error:
            offset = time_ns if isinstance(time_ns, int) else 0
            damage = Damage(self._path, offset, 0, f"message of {topic} skipped: {error}")
            if damage not in self.damages:
                self.damages.append(damage)
                damage.log()
            return None


def _read_definitions(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the definitions of message types by name, from schema 4 of rosbag2 on."""
    query = (
        "SELECT topic_type, encoded_message_definition FROM message_definitions "
        f"WHERE encoding = 'ros2msg' AND length(encoded_message_definition) <= {_MAX_TEXT_BYTES}"
    )
    return {name: text for name, text in connection.execute(query) if isinstance(text, str)}
