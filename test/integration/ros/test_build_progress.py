"""What a node says on /diagnostics while its engines are built."""

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

NODE = "/hsi_tracker"


def test_stage_share_and_time_left_are_told_while_a_node_configures(
    ros: RosSession, node_process: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    environment = {"RSTRACK_ENGINE_CACHE": str(tmp_path / "engines")}
    parameters = {"engine": "openvino", "model": "hanet_edge_vis16"}
    heard = ros.listen(DiagnosticArray, diagnostics.TOPIC, 100)
    process = node_process(
        "hsi_tracker_ros.node", "hsi_tracker", parameters=parameters, environment=environment
    )
    node = LifecycleClient(ros, NODE, timeout_s=240)
    node.configure()
    assert node.state() == "inactive"
    assert node.diagnosis is not None
    assert "build.stage" not in node.diagnosis.values
    assert process.stop() == 0
    diagnoses = [diagnostics.from_message(message, NODE) for message in heard]
    told = [each for each in diagnoses if each is not None and "build.stage" in each.values]
    assert {each.values["state"] for each in told} == {"configuring"}
    shares = [float(each.values["build.share"]) for each in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1
    stages = " ".join(str(each.values["build.stage"]) for each in told)
    assert "hanet_edge_vis16 search x1: converting for OpenVINO" in stages
    last = told[-1]
    assert float(last.values["build.left_s"]) >= 0
    assert last.message.startswith(f"building {last.values['build.stage']}, ")
