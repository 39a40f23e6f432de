"""Recordings by rosbag2: how it is called, and, where it is installed, what a killed one leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from tracking_runtime.bags import BagReader
from tracking_runtime.errors import SourceError
from tracking_runtime.ros.launch.rosbag2 import record_command
from tracking_runtime.ros.processes import local_environment

VALUES = {"namespace": "", "record": "tracks", "use_sim_time": "false"}


def test_records_topics_as_mcap() -> None:
    command = record_command(VALUES, ["/tracks", "/diagnostics"], "bag")
    assert command[:7] == ["ros2", "bag", "record", "--storage", "mcap", "--output", "bag"]
    assert command[-3:] == ["--topics", "/tracks", "/diagnostics"]
    assert Path(command[command.index("--storage-config-file") + 1]).is_file()


def test_several_recorders_have_names_of_their_own() -> None:
    values = VALUES | {"namespace": "/ground/north", "record": "snapshot", "use_sim_time": "true"}
    command = record_command(values, ["/ground/north/image"], "bag")
    assert command[command.index("--node-name") + 1] == "ground_north_rosbag2_recorder"
    assert {"--snapshot-mode", "--use-sim-time"} <= set(command)
    assert "--node-name" not in record_command(VALUES, ["/tracks"], "bag")


@pytest.mark.skipif(shutil.which("ros2") is None, reason="needs rosbag2, of which there is no wheel")
def test_what_rosbag2_took_survives_its_being_killed(
    ros: Any, ros_domain: int, tmp_path: Path, wait_for: Any
) -> None:
    pytest.importorskip("ros2bag", reason="needs rosbag2, of which there is no wheel")
    from std_msgs.msg import String

    command = record_command(VALUES, ["/words"], str(tmp_path / "bag"))
    words = ros.node.create_publisher(String, "/words", 10)
    environment = {**os.environ, **local_environment(ros_domain)}
    with subprocess.Popen(command, env=environment) as recorder:
        try:
            wait_for(words.get_subscription_count, 60, "the recorder")
            for number in range(8):
                words.publish(String(data=f"{number:1000}"))
            wait_for(lambda: _count(tmp_path / "bag") >= 4, 30, "most of them on the disk")
        finally:
            recorder.kill()
    assert _count(tmp_path / "bag") >= 4


def _count(bag: Path) -> int:
    """Messages in a bag that is being written."""
    try:
        return BagReader(bag).message_count
    except SourceError:
        return 0
