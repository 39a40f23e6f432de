"""Warnings of a tracker node for its operator: no frames, loss in transport, overload."""

from __future__ import annotations

from collections.abc import Sequence

from tracking_runtime.ros.tracker_node.frame_counters import FrameCounters
from tracking_runtime.ros.tracker_node.load_shedding import LoadShedder

MAX_SILENCE_S = 5.0
"""Time without frames after which the operator is warned, in seconds."""
_MAX_LOST_FRACTION = 0.1  # fraction of frames lost in transport above which the operator is warned
_SLOW_PERIODS = 4.0  # time of a frame in periods of the camera, from which it is much too slow
_LOSS_CURE = "start its publisher with the transport profile, see Large images in docs/troubleshooting.md"


def find_warning(
    topic: str,
    num_publishers: int,
    counters: FrameCounters,
    shedder: LoadShedder,
    overload: str,
    slow_frames: str,
) -> str:
    """Return the most urgent warning of an active node, or an empty text.

    Args:
        topic: name of the topic of the images.
        num_publishers: number of publishers of this topic.
        counters: counts of the frames.
        shedder: load level of the node.
        overload: value of the parameter `overload`.
        slow_frames: result of `describe_slow_frames`.
    """
    if num_publishers > 1:
        return f"{num_publishers} cameras publish on {topic}: remap it to the topic of one"
    if counters.silence_s > MAX_SILENCE_S:
        return _describe_silence(topic, num_publishers)
    # A node without time for its frames also loses frames in transport, so that overload comes first.
    if slow_frames or shedder.is_overloaded:
        return slow_frames or describe_overload(shedder, overload)
    if counters.lost_fraction > _MAX_LOST_FRACTION:
        return f"{counters.lost_fraction:.0%} of the frames are lost in transport: {_LOSS_CURE}"
    return describe_overload(shedder, overload)


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


def describe_overload(shedder: LoadShedder, overload: str) -> str:
    """Return a warning if a node is overloaded or sheds load, else an empty text.

    Args:
        shedder: load level of the node.
        overload: value of the parameter `overload`.
    """
    if shedder.is_overloaded:
        return f"overloaded: {shedder.dropped_fraction:.0%} of the frames are skipped"
    if not shedder.level:
        return ""
    action = "light_model is used" if overload == "light" else f"the search is shrunk, level {shedder.level},"
    return f"overloaded: {action} until there is spare time"
