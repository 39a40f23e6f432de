from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tracking_runtime.ros.processes import NodeProcess, free_domain
from tracking_runtime.ros.waiting import wait_for

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_domains_are_held_until_given_back() -> None:
    with free_domain() as first:
        with free_domain() as second:
            assert first != second
        with free_domain() as again:
            assert again == second


def test_process_that_ignores_its_end_is_ended_with_its_children(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    process = NodeProcess("stubborn", "stubborn", tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    process.start()
    child = int(wait_for(lambda: process.log, 20, "the child's number"))
    assert process.stop(patience_s=0.1) == -signal.SIGKILL
    wait_for(lambda: _is_gone(child), 10, "the child's end")


def test_process_that_was_never_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="tracker has not been started"):
        NodeProcess("module", "tracker", tmp_path).stop()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_command_that_is_ended_leaves_no_node(number: int, status: int, tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    command = [sys.executable, "-m", "tracking_runtime.cli", "bench", "lifecycle", "visualizer"]
    with subprocess.Popen([*command, "--output", str(tmp_path)], stdout=subprocess.DEVNULL) as benchmark:
        log = tmp_path / "visualizer.log"
        wait_for(lambda: log.exists() and _children(benchmark.pid), 60, "the node's process")
        (node,) = _children(benchmark.pid)
        wait_for(lambda: len(list(Path(f"/proc/{node}/task").iterdir())) > 5, 60, "the middleware's threads")
        benchmark.send_signal(number)
        assert benchmark.wait(30) == status
    wait_for(lambda: _is_gone(node), 30, "the node's end")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread ended
            found += map(int, (task / "children").read_text().split())
    return found


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
