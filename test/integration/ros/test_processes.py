"""Nodes as child processes, and the domains that they use."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tracking_runtime.ros.processes import NodeProcess, reserve_domain
from tracking_runtime.ros.waiting import wait_for

pytestmark = pytest.mark.ros
STUBBORN_MODULE = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_domain_is_reserved_until_block_ends() -> None:
    with reserve_domain() as first:
        with reserve_domain() as second:
            assert first != second
        with reserve_domain() as third:
            assert third == second


def test_stop_kills_stubborn_process_and_children(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN_MODULE)
    process = NodeProcess("stubborn", "stubborn", tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    process.start()
    child = int(wait_for(lambda: process.log, 20, "the id of the child"))

    assert process.stop(timeout_s=0.1) == -signal.SIGKILL

    wait_for(lambda: _is_ended(child), 10, "the end of the child")


def test_stop_before_start_names_the_node(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="tracker has not been started"):
        NodeProcess("module", "tracker", tmp_path).stop()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_ended_command_leaves_no_node(number: int, status: int, tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    command = [sys.executable, "-m", "tracking_runtime.cli", "bench", "lifecycle", "visualizer"]
    with subprocess.Popen([*command, "--output", str(tmp_path)], stdout=subprocess.DEVNULL) as benchmark:
        log = tmp_path / "visualizer.log"
        process = psutil.Process(benchmark.pid)
        wait_for(lambda: log.exists() and process.children(), 60, "the process of the node")
        (node,) = process.children()
        wait_for(lambda: node.num_threads() > 5, 60, "the threads of the middleware")

        benchmark.send_signal(number)

        assert benchmark.wait(30) == status
    wait_for(lambda: _is_ended(node.pid), 30, "the end of the node")


def _is_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
