"""Warnings of a tracker node for its operator: no frames, loss in transport, overload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.subscription import Subscription

from tracking_runtime.ros.tracker_node.configuration import Configuration

MAX_SILENCE_S = 5.0
"""Time without frames after which the operator is warned, in seconds."""
_MAX_LOST_FRACTION = 0.1  # fraction of frames lost in transport above which the operator is warned
_SLOW_PERIODS = 4.0  # time of a frame in periods of the camera, from which it is much too slow
_LOSS_CURE = "start its publisher with the transport profile, see Large images in docs/troubleshooting.md"


def find_warning(subscription: Subscription, configuration: Configuration[Any], work: str) -> str:
    """Return the most urgent warning of an active node, or an empty text.

    Args:
        subscription: subscription to the images.
        configuration: frame counters and load level of the node.
        work: amount of work of a frame, for the warning; empty: unknown.
    """
    topic, num_publishers = subscription.topic_name, subscription.get_publisher_count()
    counters, load = configuration.counters, configuration.load
    if num_publishers > 1:
        return f"{num_publishers} cameras publish on {topic}: remap it to the topic of one"
    if counters.silence_s > MAX_SILENCE_S:
        return _describe_silence(topic, num_publishers)
    # A node without time for its frames also loses frames in transport, so that overload comes first.
    if slow_frames := describe_slow_frames(list(load.recent_busy_ms), counters.rate_hz, work):
        return slow_frames
    if not load.shedder.is_overloaded and counters.lost_fraction > _MAX_LOST_FRACTION:
        return f"{counters.lost_fraction:.0%} of the frames are lost in transport: {_LOSS_CURE}"
    return load.describe_overload()


def describe_slow_frames(busy_ms: Sequence[float], rate_hz: float, work: str) -> str:
    """Return a warning if each recent frame took much longer than the time between two frames, else nothing.

    Args:
        busy_ms: times that the newest frames took, in milliseconds.
        rate_hz: rate of the received frames in hertz; 0: unknown.
        work: amount of work of a frame, for the warning; empty: unknown.
    """
    fastest_ms = min(busy_ms, default=0.0)
    if fastest_ms * rate_hz < _SLOW_PERIODS * 1e3:
        return ""
    cause = f" with {work}" if work else ""
    return f"overloaded: a frame takes {fastest_ms / 1e3:.2g} s{cause}, frames come at {rate_hz:.3g} Hz"


def _describe_silence(topic: str, num_publishers: int) -> str:
    if not num_publishers:
        return f"no frames on {topic}: nobody publishes there"
    return f"no frames on {topic}: its publisher is silent, or all are lost in transport: {_LOSS_CURE}"
