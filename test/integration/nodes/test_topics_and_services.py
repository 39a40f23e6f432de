"""The topics and services of every node equal the list in `test/packaging/public_interface.json`.

Users connect to these names. Add a name to the list with the code and the changelog.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from tracking_runtime.plugins import NODES, load_plugin
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import WaitTimeoutError

ROOT = Path(__file__).resolve().parents[3]
EXPECTED: dict[str, Any] = json.loads((ROOT / "test/packaging/public_interface.json").read_text())["topics"]
INFRASTRUCTURE = ("rcl_interfaces/", "lifecycle_msgs/", "type_description_interfaces/")
"""Packages whose topics and services every lifecycle node has."""


def make_parameters(node: str, folder: Path) -> dict[str, Any]:
    """Return the parameters without which a node does not configure."""
    parameters: dict[str, dict[str, Any]] = {
        "hsi_tracker": {"engine": "pytorch", "camera": "rgb"},
        "player": {"source": "scene:satellite?seed=1&frames=2&size=128"},
        "recorder": {"output": str(folder / "bag")},
        "spax_tracker": {"engine": "pytorch"},
    }
    return parameters.get(node, {})


def describe_graph(ros: RosSession, node: str) -> dict[str, dict[str, str]]:
    """Return the type of each topic and service of a node by its name, without those of every node."""
    graph = {
        "publishers": ros.node.get_publisher_names_and_types_by_node(node, "/"),
        "subscriptions": ros.node.get_subscriber_names_and_types_by_node(node, "/"),
        "services": ros.node.get_service_names_and_types_by_node(node, "/"),
    }
    return {
        kind: {name: types[0] for name, types in sorted(entries) if not types[0].startswith(INFRASTRUCTURE)}
        for kind, entries in graph.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("node", list(EXPECTED))
def test_topics_and_services_are_those_of_the_list(
    ros: RosSession,
    node_process: Callable[..., Any],
    wait_for: Callable[..., Any],
    tmp_path: Path,
    node: str,
) -> None:
    module = load_plugin(NODES, node).__module__
    parameters = {"autostart": False, **make_parameters(node, tmp_path)}
    node_process(module, node, parameters=parameters)
    client = LifecycleClient(ros, f"/{node}")
    client.configure()
    client.activate()

    def is_complete() -> bool:
        return describe_graph(ros, node) == EXPECTED.get(node)

    try:
        wait_for(is_complete, 20, "the listed topics and services")
    except WaitTimeoutError:
        assert describe_graph(ros, node) == EXPECTED.get(node)
