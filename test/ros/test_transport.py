"""Cubes from one process to another, over real DDS."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from tracking_runtime.commands.transport import BenchmarkFailed, Latency, Load, measure_transport
from tracking_runtime.transport import shared_memory_environment


def test_every_cube_arrives_within_the_budget(ros_domain: int) -> None:
    latency = measure_transport(Load(frames=60), shared_memory_environment(), ros_domain)
    assert latency.megabytes == pytest.approx(4.194, abs=0.001)
    assert latency.received == latency.published == 60
    assert latency.p50_ms <= 12.0
    assert latency.p50_ms <= latency.p95_ms <= latency.max_ms


def test_middleware_without_settings_still_carries_small_images(ros_domain: int) -> None:
    latency = measure_transport(Load(frames=10, height=32, width=32), {}, ros_domain)
    assert isinstance(latency, Latency)
    assert latency.received == 10


def test_failure_says_what_the_processes_said(ros_domain: int) -> None:
    with pytest.raises(BenchmarkFailed, match="rmw_absent"):
        measure_transport(Load(frames=1), {"RMW_IMPLEMENTATION": "rmw_absent"}, ros_domain)
