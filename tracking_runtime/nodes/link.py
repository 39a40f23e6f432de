"""Node `link`: relays selected topics between the ROS domain on board and the domain on the ground."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message

from tracking_runtime.bags import Record, Topic
from tracking_runtime.errors import ParameterError
from tracking_runtime.messages.definitions import load_message_class
from tracking_runtime.nodes.raw_subscriptions import RawSubscriptions
from tracking_runtime.ros.node import diagnostics, qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel, Value
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import NodeParameters, parameter
from tracking_runtime.ros.node.process_watchdog import end_process
from tracking_runtime.ros.node.run import run_node
from tracking_runtime.ros.processes import set_environment
from tracking_runtime.ros.session import RosSession

_DISCOVERY_PERIOD_S = 0.2  # period of the search for new topics
_WINDOW_S = 10.0  # time over which the data rate is averaged
_BEAT_PERIOD_S = 1.0  # period of the sign of life of the ground's thread
_MAX_MISSED_BEATS = 4  # periods without it after which the link reports an error
_MAX_BEATS_TO_END = 60  # periods without it after which the process ends
_MAX_STATUSES = 1000  # nodes whose diagnosis is kept; a hostile peer can report under any name
_MAX_STATUS_CHARACTERS = 20_000  # characters of one diagnosis; longer ones are left out
_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_NEWEST_ONLY = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
_EVERY_MESSAGE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class LinkParameters(NodeParameters):
    """Parameters of the node `link`."""

    domain: int = parameter(
        10, "ROS domain of the ground, different from the domain on board", minimum=0, maximum=101
    )
    discovery_range: str = parameter(
        "subnet", "range of the discovery of nodes on the link", choices=("subnet", "localhost")
    )
    discovery_server: str = parameter(
        "", "HOST:PORT of a Fast DDS discovery server; empty: discovery by multicast"
    )
    down: tuple[str, ...] = parameter(
        ("hsi_tracker/tracks", "spax_tracker/tracks", "visualizer/preview"),
        "topics to send to the ground, besides /diagnostics; relative names are in the node's namespace",
    )
    up: tuple[str, ...] = parameter(
        ("clicked_point", "clicked_box"),
        "topics to receive from the ground; relative names are in the node's namespace",
    )
    rate: float = parameter(
        5.0, "[Hz] highest message rate of each topic that is sent; 0: no limit", minimum=0.0
    )
    diagnostics_rate: float = parameter(
        0.2, "[Hz] rate of the message with the diagnostics of all nodes", minimum=0.01
    )

    def check(self) -> None:
        """Raise ValueError if the values contradict each other."""
        if both := set(self.down) & set(self.up):
            raise ValueError(f"topic {min(both)} is in both parameters down and up, a relay loop: remove one")


class Link(ManagedNode[LinkParameters]):
    """Relay of topics between the domain on board and the domain on the ground, while active."""

    _ground: RosSession | None = None

    def __init__(self) -> None:
        super().__init__("link", LinkParameters)
        self._reset_state()

    def load(self) -> None:
        """Raise ParameterError if the domain on the ground is also the domain on board."""
        if self.context.get_domain_id() == self.parameters.domain:
            raise ParameterError(
                f"parameter domain must differ from the domain on board: got {self.parameters.domain}"
            )

    def start(self) -> None:
        """Join the domain on the ground, and subscribe to the topics on both sides."""
        self._reset_state()
        discovery = {"ROS_AUTOMATIC_DISCOVERY_RANGE": self.parameters.discovery_range.upper()}
        if self.parameters.discovery_server:
            discovery["ROS_DISCOVERY_SERVER"] = self.parameters.discovery_server
        with set_environment(discovery):
            ground = RosSession("link_to_ground", self.parameters.domain)
        self.scope.callback(self._close_ground, ground)
        self._ground = ground
        ground.node.create_timer(
            _BEAT_PERIOD_S, self._beat_on_ground, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.add_timer(_BEAT_PERIOD_S, self._check_ground)
        self._status_publisher = ground.node.create_publisher(
            DiagnosticArray, diagnostics.TOPIC, _EVERY_MESSAGE
        )
        down_subscriptions = RawSubscriptions(
            self,
            [self.resolve_topic_name(name) for name in self.parameters.down],
            put=self._send_to_ground,
            add=lambda topic: self._relay_topic(topic, self._to_ground, ground.node.create_publisher),
        )
        up_subscriptions = RawSubscriptions(
            ground.node,
            [self.resolve_topic_name(name) for name in self.parameters.up],
            put=lambda record: self._to_board[record.topic].publish(record.data),
            add=lambda topic: self._relay_topic(topic, self._to_board, self.advertise),
        )
        self.scope.callback(down_subscriptions.close)
        self.scope.callback(self._close_subscriptions, ground, up_subscriptions)
        for subscriptions in (down_subscriptions, up_subscriptions):
            self.add_timer(_DISCOVERY_PERIOD_S, subscriptions.subscribe_to_published)
        self.subscribe(DiagnosticArray, diagnostics.TOPIC, self._update_statuses, qos.make_track_profile())
        self.add_timer(1 / self.parameters.diagnostics_rate, self._send_statuses)

    def diagnose(self) -> Diagnosis:
        """Return the amount of data sent."""
        values: dict[str, Value] = {
            "domain": self.parameters.domain,
            "bytes_per_s": round(self._compute_bytes_per_s(), 1),
            **{f"sent.{name}.bytes": count for name, count in self._sent_bytes.items()},
            **{f"sent.{name}.messages": count for name, count in self._sent.items()},
        }
        if self._ground is not None and not self._ground.is_alive:
            return Diagnosis(DiagnosticLevel.ERROR, "the thread of the ground's domain has ended", values)
        if self._ground is not None and self._missed_beats > _MAX_MISSED_BEATS:
            silence = (
                f"the thread of the ground's domain hangs for {self._missed_beats * _BEAT_PERIOD_S:.0f} s"
            )
            return Diagnosis(DiagnosticLevel.ERROR, silence, values)
        if self._unsent_since_sent and time.monotonic() - self._unsent_s < _WINDOW_S:
            unheard = (
                f"no receiver in domain {self.parameters.domain}: {self._unsent_since_sent} messages unsent"
            )
            return Diagnosis(DiagnosticLevel.WARN, unheard, values)
        return Diagnosis(DiagnosticLevel.OK, f"sending {self._compute_bytes_per_s() / 1e3:.1f} kB/s", values)

    def stop(self) -> None:
        """Forget the session on the ground, which ends now."""
        self._ground = None

    def _close_subscriptions(self, ground: RosSession, subscriptions: RawSubscriptions) -> None:
        """Unsubscribe on the ground. If its thread hangs, the subscriptions end with it."""
        if self._missed_beats > _MAX_MISSED_BEATS:
            return
        with suppress(TimeoutError):
            ground.run(subscriptions.close)

    def _close_ground(self, ground: RosSession) -> None:
        """End the session on the ground. A thread that hangs is left behind."""
        ground.close()
        if ground.is_alive:
            self.record_stuck_thread("the thread of the ground's domain")

    def _reset_state(self) -> None:
        self._ground = None
        self._to_ground: dict[str, Publisher] = {}
        self._to_board: dict[str, Publisher] = {}
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._due_s: dict[str, float] = {}
        self._sent = Counter[str]()
        self._sent_bytes = Counter[str]()
        self._recent: deque[tuple[float, int]] = deque()
        self._unsent_since_sent = 0
        self._unsent_s = -_WINDOW_S
        self._ground_beats = 0
        self._seen_beats = 0
        self._missed_beats = 0

    def _relay_topic(
        self, topic: Topic, publishers: dict[str, Publisher], advertise: Callable[..., Publisher]
    ) -> None:
        profile = _NEWEST_ONLY if topic.interface.name in _IMAGE_TYPES else _EVERY_MESSAGE
        publishers[topic.name] = advertise(load_message_class(topic.interface.name), topic.name, profile)

    def _send_to_ground(self, record: Record) -> None:
        now = time.monotonic()
        rate = self.parameters.rate
        if now < self._due_s.get(record.topic, 0.0):
            return
        self._due_s[record.topic] = now + (1 / rate if rate else 0.0)
        self._publish(record.topic, self._to_ground[record.topic], record.data)

    def _update_statuses(self, message: DiagnosticArray) -> None:
        for status in message.status:
            is_known = status.name in self._statuses or len(self._statuses) < _MAX_STATUSES
            if is_known and diagnostics.count_characters(status) <= _MAX_STATUS_CHARACTERS:
                self._statuses[status.name] = status

    def _beat_on_ground(self) -> None:
        """Record that the ground's thread runs callbacks."""
        self._ground_beats += 1

    def _check_ground(self) -> None:
        """Count the periods without a sign of life of the ground's thread; end the process after many."""
        self._missed_beats = 0 if self._ground_beats != self._seen_beats else self._missed_beats + 1
        self._seen_beats = self._ground_beats
        if self._missed_beats > _MAX_BEATS_TO_END:
            end_process("the thread of the ground's domain hangs")

    def _send_statuses(self) -> None:
        message = DiagnosticArray(status=list(self._statuses.values()))
        message.header.stamp = self.get_clock().now().to_msg()
        self._publish(diagnostics.TOPIC, self._status_publisher, serialize_message(message))

    def _publish(self, topic: str, publisher: Publisher, data: bytes) -> None:
        """Publish a message if it has a subscriber on the ground, and count its bytes."""
        if not publisher.get_subscription_count():
            if topic != diagnostics.TOPIC:
                self._unsent_since_sent += 1
                self._unsent_s = time.monotonic()
        else:
            publisher.publish(data)
            self._unsent_since_sent = 0
            self._sent[topic] += 1
            self._sent_bytes[topic] += len(data)
            self._recent.append((time.monotonic(), len(data)))

    def _compute_bytes_per_s(self) -> float:
        while self._recent and self._recent[0][0] < time.monotonic() - _WINDOW_S:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / _WINDOW_S


def main() -> int:
    """Run the node until it is shut down."""
    return run_node(Link)


if __name__ == "__main__":
    sys.exit(main())
