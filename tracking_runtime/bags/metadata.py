"""Topics, QoS profiles and message counts of a recording, as in rosbag2's metadata.yaml."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from tracking_runtime.errors import SourceError, UnsafePathError
from tracking_runtime.files import resolve_inside
from tracking_runtime.messages.definitions import Interface
from tracking_runtime.untrusted.documents import DocumentError, parse_yaml, read_yaml_file

METADATA = "metadata.yaml"
GAP_KEY = "gap_"
"""Start of the keys of `custom_data` that describe gaps of a recording."""

_log = logging.getLogger(__name__)
_INFINITE = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True)
class Qos:
    """The part of a publisher's QoS profile that a replay needs, with the names of rosbag2."""

    reliability: Literal["reliable", "best_effort"] = "reliable"
    durability: Literal["volatile", "transient_local"] = "volatile"
    depth: int = 10


@dataclass(frozen=True)
class Topic:
    """A topic of a recording. `interface.definition` is empty if the recording lacks the definition."""

    name: str
    interface: Interface
    qos: tuple[Qos, ...] = ()


class Record(NamedTuple):
    """A recorded message: its bytes (CDR, with header), time of recording and time of publication."""

    topic: str
    data: bytes
    log_time_ns: int
    publish_time_ns: int


@dataclass(frozen=True)
class Damage:
    """A damaged part of a recording that was skipped.

    Attributes:
        path: storage file.
        offset: position of the part in the file in bytes; for messages, their time in nanoseconds.
        size: size of the part in bytes.
        reason: fault.
    """

    path: Path
    offset: int
    size: int
    reason: str

    def log(self) -> None:
        """Log the damage as a warning."""
        _log.warning("%s", self)

    def __str__(self) -> str:
        return f"{self.path} is damaged at byte {self.offset}, {self.size} bytes: {self.reason}"


@dataclass(frozen=True)
class BagMetadata:
    """Content of a metadata.yaml.

    Attributes:
        files: storage files, inside the folder of the recording.
        topics: topics without definitions of their types.
        compression_mode: unit that rosbag2 compressed: `file`, `message` or empty.
        gaps: times in which nothing could be recorded, as text for users.
    """

    files: list[Path]
    topics: list[Topic]
    compression_mode: str
    gaps: list[str]


@dataclass
class BagStatistics:
    """Number of messages per topic, and the times of the first and the last message."""

    counts: dict[str, int] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0

    @property
    def message_count(self) -> int:
        """Number of messages of all topics."""
        return sum(self.counts.values())

    def add(self, topic: str, log_time_ns: int) -> None:
        """Count one message."""
        self.start_ns = min(self.start_ns, log_time_ns) if self.message_count else log_time_ns
        self.end_ns = max(self.end_ns, log_time_ns) if self.message_count else log_time_ns
        self.counts[topic] = self.counts.get(topic, 0) + 1

    def merge(self, other: BagStatistics) -> None:
        """Add the messages of another file."""
        if other.message_count:
            self.start_ns = min(self.start_ns, other.start_ns) if self.message_count else other.start_ns
            self.end_ns = max(self.end_ns, other.end_ns) if self.message_count else other.end_ns
        for topic, count in other.counts.items():
            self.counts[topic] = self.counts.get(topic, 0) + count

    def copy(self) -> BagStatistics:
        """Return a copy that does not change."""
        return BagStatistics(dict(self.counts), self.start_ns, self.end_ns)


def to_qos_profiles(profiles: Iterable[Qos]) -> list[dict[str, Any]]:
    """Convert QoS profiles to the entries that rosbag2 of ROS 2 Jazzy writes."""
    return [
        {
            "history": "keep_last",
            "depth": qos.depth,
            "reliability": qos.reliability,
            "durability": qos.durability,
            "deadline": _INFINITE,
            "lifespan": _INFINITE,
            "liveliness": "automatic",
            "liveliness_lease_duration": _INFINITE,
            "avoid_ros_namespace_conventions": False,
        }
        for qos in profiles
    ]


def parse_qos(value: str | list[Any]) -> tuple[Qos, ...]:
    """Parse QoS profiles of rosbag2: by name (Jazzy) or by number (earlier).

    Args:
        value: the profiles, or their YAML text.

    Raises:
        ValueError: the profiles are malformed.
    """
    try:
        profiles = parse_yaml(value) if isinstance(value, str) else value
        return tuple(
            Qos(
                "best_effort" if profile["reliability"] in ("best_effort", 2) else "reliable",
                "transient_local" if profile["durability"] in ("transient_local", 1) else "volatile",
                int(profile["depth"]),
            )
            for profile in profiles or []
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"offered QoS profiles are malformed: {error!r}") from error


def read_metadata(folder: Path) -> BagMetadata:
    """Read the metadata.yaml of a recording.

    Raises:
        SourceError: the file is not the metadata of a recording, or names a file outside of the folder.
    """
    path = folder / METADATA
    try:
        content = read_yaml_file(path)
        if content is None:
            raise ValueError("the file is empty")
        information = content["rosbag2_bagfile_information"]
        files = [_find_storage_file(folder, name) for name in information["relative_file_paths"]]
        custom_data = information.get("custom_data")
        return BagMetadata(
            files=list(dict.fromkeys(files)),
            topics=[_parse_topic(entry) for entry in information.get("topics_with_message_count") or []],
            compression_mode=str(information.get("compression_mode") or "").lower().replace("none", ""),
            gaps=_parse_gaps(custom_data) if isinstance(custom_data, Mapping) else [],
        )
    except SourceError:
        raise
    except UnsafePathError as error:
        raise SourceError(f"{path}: {error}") from error
    except (DocumentError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else repr(error)
        raise SourceError(
            f"{path} is not the metadata of a recording: {reason}; run rstrack repair {folder}, "
            "which reads the storage files without it"
        ) from error


def _find_storage_file(folder: Path, name: Any) -> Path:
    """Return the path of a storage file. Early versions of rosbag2 put the name of the folder before it."""
    path = resolve_inside(folder, str(name))
    return path if path.is_file() else resolve_inside(folder, Path(str(name)).name)


def _parse_topic(entry: Mapping[str, Any]) -> Topic:
    topic = entry["topic_metadata"]
    interface = Interface(str(topic["type"]), "", str(topic.get("type_description_hash") or ""))
    return Topic(str(topic["name"]), interface, parse_qos(topic.get("offered_qos_profiles") or []))


def _parse_gaps(custom_data: Mapping[Any, Any]) -> list[str]:
    return [str(value) for key, value in sorted(custom_data.items(), key=str) if str(key).startswith(GAP_KEY)]


class _NoAliases(yaml.SafeDumper):
    """A YAML writer without aliases, which rosbag2's parser does not accept everywhere."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(value: Any) -> str:
    """Serialize a value as YAML that rosbag2 can parse."""
    return yaml.dump(value, Dumper=_NoAliases, sort_keys=False)
