"""QoS profiles of the topics. Users change them with the parameters `qos_overrides.<topic>.*`."""

from __future__ import annotations

from typing import Literal

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy

OVERRIDABLE_POLICIES = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)
"""QoS policies of each topic that users can override."""
LOSSLESS = {"reliability": "reliable", "depth": 50}
"""QoS policies of a topic of images on which no frame may be lost: of recordings, demos and benchmarks."""


def make_sensor_profile() -> QoSProfile:
    """Return the profile of images: the newest 5, best effort, as sensor drivers offer."""
    return QoSProfile(depth=5, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def make_track_profile() -> QoSProfile:
    """Return the profile of results: reliable, in order, the newest 100."""
    return QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


def make_info_profile() -> QoSProfile:
    """Return the profile of rarely changing facts: late subscribers receive the last message."""
    return QoSProfile(
        depth=1,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def make_service_profile() -> QoSProfile:
    """Return the profile of services and their clients: reliable, with space for many requests at once.

    Each client receives the responses to all clients of the service. With the usual depth of 10, responses
    are lost when many clients call at once.
    """
    return QoSProfile(depth=1000, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


def make_lossless_overrides(topic: str, side: Literal["publisher", "subscription"]) -> dict[str, object]:
    """Return node parameters that set the policies LOSSLESS on one side of a topic.

    Args:
        topic: name of the topic with its namespace.
        side: side of the topic that the node is on.
    """
    return {f"qos_overrides.{topic}.{side}.{policy}": value for policy, value in LOSSLESS.items()}
