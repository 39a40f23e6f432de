"""Carries what people on the ground need over a thin link, and what they click back on board."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message

from tracking_runtime.bags import Record, Topic
from tracking_runtime.nodes.raw_subscriptions import Taps, message_class
from tracking_runtime.ros.node import diagnostics, qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, Level, Value
from tracking_runtime.ros.node.managed_node import TrackingNode, run_node
from tracking_runtime.ros.node.parameters import NodeParameters, parameter
from tracking_runtime.ros.processes import set_environment
from tracking_runtime.ros.session import RosSession

_LOOK_PERIOD_S = 0.2
_WINDOW_S = 10.0
_PICTURES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
_EVERY = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class LinkParameters(NodeParameters):
    """Parameters of the link."""

    domain: int = parameter(
        10, "ROS domain of the link, which the ground is in; not the one on board", minimum=0, maximum=101
    )
    discovery_range: str = parameter(
        "subnet", "how far on the link others are looked for", choices=("subnet", "localhost")
    )
    discovery_server: str = parameter(
        "", "HOST:PORT of a Fast DDS discovery server, instead of multicast; empty: none"
    )
    down: tuple[str, ...] = parameter(
        ("hsi_tracker/tracks", "spax_tracker/tracks", "visualizer/preview"),
        "topics to send, beside /diagnostics; names are relative to the node's namespace",
    )
    up: tuple[str, ...] = parameter(
        ("clicked_point", "clicked_box"), "topics to take from the ground, likewise"
    )
    rate: float = parameter(5.0, "[Hz] messages a second of each topic sent at most; 0: all", minimum=0.0)
    diagnostics_rate: float = parameter(
        0.2, "[Hz] how often the diagnoses of all nodes are sent, as one message", minimum=0.01
    )

    def check(self) -> None:
        """Raise ValueError where values do not fit together."""
        if both := set(self.down) & set(self.up):
            raise ValueError(f"parameters down and up both have {min(both)}: it would go round and round")


class Link(TrackingNode[LinkParameters]):
    """Relays topics between the domain on board and that of the link, while it is active."""

    def __init__(self) -> None:
        super().__init__("link", LinkParameters)
        self._forget()

    def load(self) -> None:
        """See that there are two domains."""
        if self.context.get_domain_id() == self.parameters.domain:
            raise ValueError(f"parameter domain is {self.parameters.domain}, which is the one on board")

    def start(self) -> None:
        """Join the link, and look for topics on both sides."""
        self._forget()
        discovery = {"ROS_AUTOMATIC_DISCOVERY_RANGE": self.parameters.discovery_range.upper()}
        if self.parameters.discovery_server:
            discovery["ROS_DISCOVERY_SERVER"] = self.parameters.discovery_server
        with set_environment(discovery):
            ground = self.scope.enter_context(RosSession("link_to_ground", self.parameters.domain))
        self._diagnoses = ground.node.create_publisher(DiagnosticArray, diagnostics.TOPIC, _EVERY)
        down = Taps(
            self,
            [self.resolve_topic_name(name) for name in self.parameters.down],
            put=self._send,
            add=lambda topic: self._carry(topic, self._to_ground, ground.node.create_publisher),
        )
        up = Taps(
            ground.node,
            [self.resolve_topic_name(name) for name in self.parameters.up],
            put=lambda record: self._to_board[record.topic].publish(record.data),
            add=lambda topic: self._carry(topic, self._to_board, self.advertise),
        )
        self.scope.callback(down.close)
        self.scope.callback(ground.run, up.close)
        for taps in (down, up):
            self.repeat(_LOOK_PERIOD_S, taps.look)
        self.subscribe(DiagnosticArray, diagnostics.TOPIC, self._hear_diagnoses, qos.track())
        self.repeat(1 / self.parameters.diagnostics_rate, self._send_diagnoses)

    def diagnose(self) -> Diagnosis:
        """How much is sent."""
        values: dict[str, Value] = {
            "domain": self.parameters.domain,
            "bytes_per_s": round(self._bytes_per_s(), 1),
            **{f"sent.{name}.bytes": count for name, count in self._sent_bytes.items()},
            **{f"sent.{name}.messages": count for name, count in self._sent.items()},
        }
        return Diagnosis(Level.OK, f"sending {self._bytes_per_s() / 1e3:.1f} kB/s", values)

    def _forget(self) -> None:
        self._to_ground: dict[str, Publisher] = {}
        self._to_board: dict[str, Publisher] = {}
        self._known: dict[str, DiagnosticStatus] = {}
        self._due_s: dict[str, float] = {}
        self._sent, self._sent_bytes = Counter[str](), Counter[str]()
        self._recent: deque[tuple[float, int]] = deque()

    def _carry(self, topic: Topic, into: dict[str, Publisher], advertise: Callable[..., Publisher]) -> None:
        profile = _NEWEST if topic.interface.name in _PICTURES else _EVERY
        into[topic.name] = advertise(message_class(topic.interface.name), topic.name, profile)

    def _send(self, record: Record) -> None:
        now, rate = time.monotonic(), self.parameters.rate
        if now < self._due_s.get(record.topic, 0.0):
            return
        self._due_s[record.topic] = now + (1 / rate if rate else 0.0)
        self._publish(record.topic, self._to_ground[record.topic], record.data)

    def _hear_diagnoses(self, message: DiagnosticArray) -> None:
        self._known.update({status.name: status for status in message.status})

    def _send_diagnoses(self) -> None:
        message = DiagnosticArray(status=list(self._known.values()))
        message.header.stamp = self.get_clock().now().to_msg()
        self._publish(diagnostics.TOPIC, self._diagnoses, serialize_message(message))

    def _publish(self, topic: str, publisher: Publisher, data: bytes) -> None:
        """Send a message, if somebody listens on the ground."""
        if publisher.get_subscription_count():
            publisher.publish(data)
            self._sent[topic] += 1
            self._sent_bytes[topic] += len(data)
            self._recent.append((time.monotonic(), len(data)))

    def _bytes_per_s(self) -> float:
        while self._recent and self._recent[0][0] < time.monotonic() - _WINDOW_S:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / _WINDOW_S


def main() -> int:
    """Run the node until it is told to end."""
    return run_node(Link)


if __name__ == "__main__":
    sys.exit(main())
