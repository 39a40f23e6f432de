"""Subscriptions to topics of any type as serialized bytes."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from tracking_runtime.bags import Qos, Record, Topic
from tracking_runtime.errors import TrackingError
from tracking_runtime.messages.definitions import (
    Interface,
    UnknownTypeError,
    find_interface,
    load_message_class,
)
from tracking_runtime.nodes.sequence_numbers import LossCounter

_DEPTH = 100  # messages in the queue of a subscription


class RawSubscriptions:
    """Subscriptions to the serialized messages of topics, from when a topic has a publisher.

    The QoS profile follows the publishers, as in rosbag2: reliable and transient local only if all publishers
    of the topic are.

    Args:
        node: the node that subscribes.
        names: fully resolved names of the topics.
        pattern: regular expression; topics whose whole name matches are added. Empty: none.
        put: callback for each message.
        add: callback for each topic, before its first message.

    Attributes:
        received: number of messages by topic.
        refused: reason why a topic cannot be recorded now, by name.
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
        self.refused: dict[str, str] = {}
        self._node = node
        self._names = names
        self._pattern = re.compile(pattern) if pattern else None
        self._add = add
        self._put = put
        self._subscriptions: dict[str, Subscription] = {}
        self._losses: dict[str, LossCounter] = {}
        self._refused_types: dict[str, list[str]] = {}

    @property
    def subscribed_topics(self) -> list[str]:
        """Names of the subscribed topics."""
        return list(self._subscriptions)

    @property
    def lost(self) -> Mapping[str, int]:
        """Number of messages by topic that were lost after the first one of their publisher."""
        return {name: counter.lost for name, counter in self._losses.items()}

    @property
    def awaited_topics(self) -> list[str]:
        """Names of the requested topics that have no publisher yet."""
        return [name for name in self._names if name not in self._subscriptions and name not in self.refused]

    def subscribe_to_published(self) -> None:
        """Subscribe to the selected topics that have a publisher by now.

        A topic that cannot be subscribed to is refused until its types change, as when the peer that offered
        another type has left. The other topics are not affected.
        """
        for name, types in self._node.get_topic_names_and_types():
            is_refused = name in self.refused and self._refused_types.get(name) == types
            if self._is_selected(name) and name not in self._subscriptions and not is_refused:
                try:
                    publishers = self._node.get_publishers_info_by_topic(name)
                    if publishers:
                        self._subscribe(name, types, publishers)
                except Exception as error:  # peers choose names and QoS, rclpy raises many types
                    self._refuse(name, " ".join(str(error).split()) or type(error).__name__)
                if name in self.refused:
                    self._refused_types[name] = types

    def close(self) -> None:
        """Unsubscribe from all topics."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _is_selected(self, name: str) -> bool:
        return name in self._names or bool(self._pattern and self._pattern.fullmatch(name))

    def _refuse(self, name: str, reason: str) -> None:
        self.refused[name] = reason
        self._node.get_logger().warning(f"{name} is not subscribed to: {reason}")

    def _subscribe(self, name: str, types: list[str], publishers: list[TopicEndpointInfo]) -> None:
        if len(types) > 1:
            self._refuse(name, f"has several types: {', '.join(types)[:400]}")
            return
        try:
            message_class = load_message_class(types[0])
        except TrackingError as error:
            self._refuse(name, str(error))
            return
        self.refused.pop(name, None)
        self._add(
            Topic(
                name,
                _find_interface(types[0], publishers[0]),
                tuple(_read_offered_qos(p) for p in publishers),
            )
        )
        self._losses[name] = LossCounter(lambda: self._node.count_publishers(name))

        def handle(data: bytes, information: dict[str, Any]) -> None:
            self._handle_message(name, data, information)

        self._subscriptions[name] = self._node.create_subscription(
            message_class, name, handle, _adapt_qos(publishers), raw=True
        )

    def _handle_message(self, name: str, data: bytes, information: dict[str, Any]) -> None:
        self.received[name] += 1
        sequence = information["publication_sequence_number"]
        if sequence is not None:
            self._losses[name].add(sequence)
        self._put(Record(name, data, time.time_ns(), information["source_timestamp"]))


def _find_interface(type_name: str, publisher: TopicEndpointInfo) -> Interface:
    """Return the installed definition of a type, else an empty one with the hash of the publisher."""
    try:
        return find_interface(type_name)
    except UnknownTypeError:
        return Interface(type_name, "", str(publisher.topic_type_hash))


def _read_offered_qos(publisher: TopicEndpointInfo) -> Qos:
    profile = publisher.qos_profile
    return Qos(
        "best_effort" if profile.reliability == ReliabilityPolicy.BEST_EFFORT else "reliable",
        "transient_local" if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL else "volatile",
        max(profile.depth, 1),
    )


def _adapt_qos(publishers: list[TopicEndpointInfo]) -> QoSProfile:
    offers = [_read_offered_qos(publisher) for publisher in publishers]
    is_reliable = all(offer.reliability == "reliable" for offer in offers)
    is_transient_local = all(offer.durability == "transient_local" for offer in offers)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_transient_local else DurabilityPolicy.VOLATILE,
    )
