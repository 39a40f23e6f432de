"""Diagnostics of a node while it builds its engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("openvino", reason="needs OpenVINO")

from diagnostic_msgs.msg import DiagnosticArray

from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.node import diagnostics
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession

pytestmark = pytest.mark.ros
NODE = "/hsi_tracker"


def test_build_progress_is_in_diagnostics(
    ros: RosSession, node_process: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    messages = ros.listen(DiagnosticArray, diagnostics.TOPIC, 100)
    process = node_process(
        "hsi_tracker_ros.node",
        "hsi_tracker",
        parameters={"engine": "openvino", "model": "hanet_edge_vis16"},
        environment={"RSTRACK_ENGINE_CACHE": str(tmp_path / "engines")},
    )
    node = LifecycleClient(ros, NODE, timeout_s=240)

    node.configure()

    assert node.state() == "inactive"
    assert node.diagnosis is not None
    assert "build.stage" not in node.diagnosis.values
    assert process.stop() == 0
    diagnoses = [diagnostics.from_message(message, NODE) for message in messages]
    builds = [diagnosis for diagnosis in diagnoses if diagnosis and "build.stage" in diagnosis.values]
    assert {build.values["state"] for build in builds} == {"configuring"}
    shares = [float(build.values["build.share"]) for build in builds]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1
    stages = " ".join(str(build.values["build.stage"]) for build in builds)
    assert "hanet_edge_vis16 search x1: converting for OpenVINO" in stages
    last = builds[-1]
    assert float(last.values["build.left_s"]) >= 0
    assert last.message.startswith(f"building {last.values['build.stage']}, ")
