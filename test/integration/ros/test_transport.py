"""Cubes from one process to another, over real DDS."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from tracking_runtime.commands.bench_transport import BenchmarkFailed, Latency, Load, measure_transport
from tracking_runtime.ros.processes import NodeProcess, local_environment
from tracking_runtime.ros.shared_memory import (
    PROFILE_VARIABLE,
    free_abandoned_memory,
    shared_memory_environment,
)
from tracking_runtime.ros.waiting import wait_for

MEGABYTE = 1 << 20


def test_every_cube_arrives_within_the_budget(ros_domain: int) -> None:
    latency = measure_transport(Load(frames=60), shared_memory_environment(), ros_domain)
    assert latency.megabytes == pytest.approx(4.194, abs=0.001)
    assert latency.received == latency.published == 60
    assert latency.p50_ms <= 12.0
    assert latency.p50_ms <= latency.p95_ms <= latency.max_ms


def test_middleware_without_settings_still_carries_small_images(ros_domain: int) -> None:
    latency = measure_transport(Load(frames=5, height=32, width=32, rate_hz=2), {}, ros_domain)
    assert isinstance(latency, Latency)
    assert latency.received == 5


def test_what_a_middleware_says_last_is_not_taken_for_figures(ros_domain: int, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import atexit\natexit.register(print, 'session closed')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    latency = measure_transport(
        Load(frames=5, height=32, width=32, rate_hz=2), {"PYTHONPATH": path}, ros_domain
    )
    assert latency.received == 5


def test_documents_name_the_variable_that_is_used() -> None:
    for document in ("README.md", "config/fastdds_shm.xml"):
        assert f"{PROFILE_VARIABLE}=" in (Path(__file__).parents[3] / document).read_text()


def test_failure_says_what_the_processes_said(ros_domain: int) -> None:
    with pytest.raises(BenchmarkFailed, match="rmw_absent"):
        measure_transport(Load(frames=1), {"RMW_IMPLEMENTATION": "rmw_absent"}, ros_domain)


def test_what_a_killed_node_left_in_shared_memory_is_freed_and_no_other(
    ros_domain: int, tmp_path: Path
) -> None:
    def segments_of(process: NodeProcess) -> set[Path]:
        named = {
            path.with_name(path.name[:-3])
            for path in process.open_files
            if path.match("/dev/shm/fast*_????????????????_el")
        }
        return {path for path in named if path.exists()}

    def start(name: str) -> tuple[NodeProcess, set[Path]]:
        environment = local_environment(ros_domain) | shared_memory_environment()
        process = NodeProcess(
            "tracking_runtime.nodes.recorder", name, tmp_path / name, environment=environment
        )
        process.start()

        def large() -> set[Path]:
            found = segments_of(process)
            return found if any(path.stat().st_size > MEGABYTE for path in found) else set()

        return process, wait_for(large, 60, "a segment of shared memory")

    killed, left = start("killed")
    os.kill(killed.pid, signal.SIGKILL)
    killed.stop()
    living, held = start("living")
    assert all(path.exists() for path in left)
    assert free_abandoned_memory(older_than_s=0) > MEGABYTE
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in held)
    assert living.stop() == 0
