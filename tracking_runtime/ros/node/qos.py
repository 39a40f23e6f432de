"""Quality of service of the topics; users change it by the parameters ``qos_overrides.<topic>.…``."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def sensor() -> QoSProfile:
    """Images: the newest few, rather lost than late; what sensor drivers offer."""
    return QoSProfile(depth=5, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def track() -> QoSProfile:
    """Results: all of them, in order."""
    return QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


def info() -> QoSProfile:
    """What rarely changes: the last one is there for whoever comes later."""
    return QoSProfile(
        depth=1,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
