"""Recordings by rosbag2: its command line, and a killed recorder if rosbag2 is installed."""

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
from tracking_runtime.ros.launch.rosbag2 import make_record_command
from tracking_runtime.ros.processes import make_local_environment

pytestmark = pytest.mark.ros
VALUES = {"namespace": "", "record": "tracks", "use_sim_time": "false"}


def test_command_records_topics_as_mcap() -> None:
    command = make_record_command(VALUES, ["/tracks", "/diagnostics"], "bag")

    assert command[:7] == ["ros2", "bag", "record", "--storage", "mcap", "--output", "bag"]
    assert command[-3:] == ["--topics", "/tracks", "/diagnostics"]
    assert Path(command[command.index("--storage-config-file") + 1]).is_file()


def test_command_names_recorder_by_namespace() -> None:
    values = VALUES | {"namespace": "/ground/north", "use_sim_time": "true"}

    command = make_record_command(values, ["/ground/north/image"], "bag")

    assert command[command.index("--node-name") + 1] == "ground_north_rosbag2_recorder"
    assert "--use-sim-time" in command
    assert "--node-name" not in make_record_command(VALUES, ["/tracks"], "bag")


@pytest.mark.skipif(shutil.which("ros2") is None, reason="needs rosbag2, which has no wheel")
def test_killed_recorder_leaves_readable_bag(
    ros: Any, ros_domain: int, tmp_path: Path, wait_for: Any
) -> None:
    pytest.importorskip("ros2bag", reason="needs rosbag2, which has no wheel")
    from std_msgs.msg import String

    bag = tmp_path / "bag"
    command = make_record_command(VALUES, ["/words"], str(bag))
    words = ros.node.create_publisher(String, "/words", 10)
    environment = {**os.environ, **make_local_environment(ros_domain)}
    with subprocess.Popen(command, env=environment) as recorder:
        try:
            wait_for(words.get_subscription_count, 60, "the recorder")
            for number in range(8):
                words.publish(String(data=f"{number:1000}"))
            wait_for(lambda: _count_messages(bag) >= 4, 30, "most messages on the disk")
        finally:
            recorder.kill()

    assert _count_messages(bag) >= 4


def _count_messages(bag: Path) -> int:
    """Return the number of readable messages in a bag that is being written."""
    try:
        return BagReader(bag).message_count
    except SourceError:
        return 0
