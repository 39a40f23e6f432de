"""Subscribing to topics as they are, for recording them."""

from __future__ import annotations

import importlib
import re
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from tracking_runtime.bags import Qos, Record, Topic
from tracking_runtime.messages.definitions import Interface, UnknownType, describe

_DEPTH = 100  # messages that may wait for the executor


class Taps:
    """Takes the serialised messages of topics, each from the moment that somebody publishes it.

    Quality of service is adapted to what the publishers offer, as rosbag2 does: reliable and transient local
    only if all of them are.

    Args:
        node: that subscribes.
        names: of the topics, fully resolved.
        pattern: of the names of more topics, which it has to match as a whole; empty: none.
        put: called with each message.
        add: called with a topic before its first message.

    Attributes:
        received: messages by topic.
        lost: messages by topic that were published after the first one received, but did not arrive; counted
            for topics with one publisher.
        refused: why a topic cannot be recorded, by name.
    """

    def __init__(
        self,
        node: Node,
        names: Collection[str],
        pattern: str = "",
        *,
        put: Callable[[Record], object],
        add: Callable[[Topic], object] = lambda _: None,
    ) -> None:
        self.received: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.refused: dict[str, str] = {}
        self._node = node
        self._names = names
        self._pattern = re.compile(pattern) if pattern else None
        self._add = add
        self._put = put
        self._subscriptions: dict[str, Subscription] = {}
        self._last_sequence: dict[str, int] = {}

    @property
    def tapped(self) -> list[str]:
        """The topics subscribed to."""
        return list(self._subscriptions)

    @property
    def awaited(self) -> list[str]:
        """The topics asked for by name that nobody publishes yet."""
        return [name for name in self._names if name not in self._subscriptions and name not in self.refused]

    def look(self) -> None:
        """Subscribe to the wanted topics that are published by now."""
        for name, types in self._node.get_topic_names_and_types():
            if self._wants(name) and name not in self._subscriptions and name not in self.refused:
                publishers = self._node.get_publishers_info_by_topic(name)
                if publishers:
                    self._tap(name, types, publishers)

    def close(self) -> None:
        """Unsubscribe from all."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _wants(self, name: str) -> bool:
        return name in self._names or bool(self._pattern and self._pattern.fullmatch(name))

    def _tap(self, name: str, types: list[str], publishers: list[TopicEndpointInfo]) -> None:
        if len(types) > 1:
            self.refused[name] = f"has several types: {', '.join(types)}"
            return
        try:
            kind = message_class(types[0])
        except (ImportError, AttributeError) as error:
            self.refused[name] = f"its type {types[0]} is not installed: {error}"
            return
        self._add(Topic(name, _interface(types[0], publishers[0]), tuple(_offered(p) for p in publishers)))
        is_single = len(publishers) == 1

        def take(data: bytes, information: dict[str, Any]) -> None:
            self._take(name, data, information, count_gaps=is_single)

        self._subscriptions[name] = self._node.create_subscription(
            kind, name, take, _adapted(publishers), raw=True
        )

    def _take(self, name: str, data: bytes, information: dict[str, Any], *, count_gaps: bool) -> None:
        self.received[name] += 1
        sequence = information["publication_sequence_number"]
        if sequence is not None and count_gaps:
            last = self._last_sequence.get(name, sequence - 1)
            self.lost[name] += max(0, sequence - last - 1)
            self._last_sequence[name] = sequence
        self._put(Record(name, data, time.time_ns(), information["source_timestamp"]))


def message_class(type_name: str) -> Any:
    """The class of a message type, as package/msg/Name. Raises ImportError or AttributeError."""
    package, kind, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), name)


def _interface(type_name: str, publisher: TopicEndpointInfo) -> Interface:
    """The type as it is installed; if that has no text, what its publisher says of it."""
    try:
        return describe(type_name)
    except UnknownType:
        return Interface(type_name, "", str(publisher.topic_type_hash))


def _offered(publisher: TopicEndpointInfo) -> Qos:
    profile = publisher.qos_profile
    return Qos(
        "best_effort" if profile.reliability == ReliabilityPolicy.BEST_EFFORT else "reliable",
        "transient_local" if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL else "volatile",
        max(profile.depth, 1),
    )


def _adapted(publishers: list[TopicEndpointInfo]) -> QoSProfile:
    offers = [_offered(publisher) for publisher in publishers]
    reliable = all(offer.reliability == "reliable" for offer in offers)
    kept = all(offer.durability == "transient_local" for offer in offers)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
    )
