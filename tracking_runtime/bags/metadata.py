"""Topics, QoS profiles and message counts of a recording, as in rosbag2's metadata.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import yaml

from tracking_runtime.messages.definitions import Interface

METADATA = "metadata.yaml"

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


def parse_qos(text: str) -> tuple[Qos, ...]:
    """Parse QoS profiles of rosbag2: by name (Jazzy) or by number (earlier)."""
    return tuple(
        Qos(
            "best_effort" if profile["reliability"] in ("best_effort", 2) else "reliable",
            "transient_local" if profile["durability"] in ("transient_local", 1) else "volatile",
            profile["depth"],
        )
        for profile in yaml.safe_load(text) or []
    )


class _NoAliases(yaml.SafeDumper):
    """A YAML writer without aliases, which rosbag2's parser does not accept everywhere."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(value: Any) -> str:
    """Serialize a value as YAML that rosbag2 can parse."""
    return yaml.dump(value, Dumper=_NoAliases, sort_keys=False)
