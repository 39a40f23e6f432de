"""What a recording says of its topics, in the words of rosbag2."""

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
    """What a publisher offers, as far as a replay has to know it; names as rosbag2 writes them."""

    reliability: Literal["reliable", "best_effort"] = "reliable"
    durability: Literal["volatile", "transient_local"] = "volatile"
    depth: int = 10


@dataclass(frozen=True)
class Topic:
    """A topic of a recording. ``interface.definition`` is empty if the recording does not carry it."""

    name: str
    interface: Interface
    qos: tuple[Qos, ...] = ()


class Record(NamedTuple):
    """One recorded message: its bytes (CDR, with header) and when it was recorded and published."""

    topic: str
    data: bytes
    log_time_ns: int
    publish_time_ns: int


@dataclass
class Tally:
    """What a bag holds."""

    counts: dict[str, int] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0

    @property
    def total(self) -> int:
        """Messages in all."""
        return sum(self.counts.values())

    def add(self, topic: str, log_time_ns: int) -> None:
        """Count a message."""
        self.start_ns = min(self.start_ns, log_time_ns) if self.total else log_time_ns
        self.end_ns = max(self.end_ns, log_time_ns) if self.total else log_time_ns
        self.counts[topic] = self.counts.get(topic, 0) + 1


def qos_profiles(profiles: Iterable[Qos]) -> list[dict[str, Any]]:
    """The profiles as rosbag2 of Jazzy writes them."""
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
    """The profiles that rosbag2 wrote, by name (Jazzy) or by number (before)."""
    return tuple(
        Qos(
            "best_effort" if profile["reliability"] in ("best_effort", 2) else "reliable",
            "transient_local" if profile["durability"] in ("transient_local", 1) else "volatile",
            profile["depth"],
        )
        for profile in yaml.safe_load(text) or []
    )


class _NoAliases(yaml.SafeDumper):
    """Writes equal parts out each time: rosbag2's parser reads no aliases in every place."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(value: Any) -> str:
    """YAML as rosbag2 parses it."""
    return yaml.dump(value, Dumper=_NoAliases, sort_keys=False)
