"""Nodes around the trackers whose process hangs or is stopped: their diagnosis tells it, and they go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import Empty

from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import DiagnosticLevel
from tracking_runtime.ros.session import RosSession

pytestmark = pytest.mark.slow
NODES = ("player", "recorder", "visualizer", "georeferencer", "link")


def list_parameters(node: str, folder: Path) -> list[str]:
    values = {
        "player": ["source:=scene:satellite?seed=1&frames=3&size=64", "wait_for_subscribers:=0"],
        "recorder": [f"output:={folder / 'bag'}"],
        "georeferencer": ["pose_source:=fixed"],
        "link": ["domain:=101", "discovery_range:=localhost"],
    }
    return [part for value in ["autostart:=true", *values.get(node, [])] for part in ("-p", value)]


@contextmanager
def run_hanging_node(node: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = Path(__file__).with_name("hanging_node.py")
    arguments = ["--ros-args", "-r", f"__node:={node}", *list_parameters(node, folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, str(program), node, *arguments], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("node", NODES)
def test_stopped_node_goes_on_and_hanging_node_says_so(
    ros: RosSession, tmp_path: Path, wait_for: Callable[..., Any], node: str
) -> None:
    client = LifecycleClient(ros, f"/{node}")
    messages = ros.listen(DiagnosticArray, "/diagnostics", qos.make_track_profile())
    button = ros.node.create_publisher(Empty, "hang", 10)
    with run_hanging_node(node, tmp_path) as process:
        wait_for(lambda: client.diagnosis and client.diagnosis.values.get("state") == "active", 90, node)
        wait_for(button.get_subscription_count, 30, "the topic that hangs")

        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        stopped_s = time.monotonic()
        wait_for(lambda: time.monotonic() - stopped_s > 5)
        os.kill(process.pid, signal.SIGCONT)
        num_messages = len(messages)
        wait_for(lambda: len(messages) > num_messages + 1, 20, "diagnoses after the stop")
        assert process.poll() is None
        assert "no callback" not in client.diagnosis.message
        assert client.state() == "active"

        button.publish(Empty())
        wait_for(lambda: "no callback has run for" in client.diagnosis.message, 30, "the error")
        assert client.diagnosis.level == DiagnosticLevel.ERROR
