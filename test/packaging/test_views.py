"""The configurations of RViz and Foxglove show the topics of the nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = Path(__file__).resolve().parents[2] / "config"
IMAGE_TOPICS = {"hsi_tracker": "/hsi_tracker/false_color", "spax_tracker": "/image"}
VISUALIZER_TOPICS = {"/visualizer/overlay", "/visualizer/markers"}


@pytest.mark.parametrize("node", IMAGE_TOPICS)
def test_rviz_shows_overlay_and_markers(node: str) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from tracking_runtime.nodes.visualizer import VisualizerParameters

    manager = yaml.safe_load((CONFIG / f"{node}.rviz").read_text())["Visualization Manager"]

    assert manager["Global Options"]["Fixed Frame"] == VisualizerParameters().marker_frame
    topics = {display["Topic"]["Value"] for display in manager["Displays"]}
    assert topics == VISUALIZER_TOPICS
    assert all(display["Enabled"] for display in manager["Displays"])  # RViz also shows disabled images
    tools = {tool["Class"].rpartition("/")[2]: tool for tool in manager["Tools"]}
    assert tools["PublishPoint"]["Topic"]["Value"] == "/clicked_point"


@pytest.mark.parametrize("node", IMAGE_TOPICS)
def test_foxglove_shows_annotations_and_diagnostics(node: str) -> None:
    layout = json.loads((CONFIG / f"{node}.foxglove.json").read_text())

    assert layout["globalVariables"] == {}  # Foxglove imports no layout without this and the next key
    assert layout["playbackConfig"]["speed"] == 1
    panels: dict[str, Any] = layout["configById"]
    assert set(_list_panel_ids(layout["layout"])) == set(panels)
    image_mode = panels[f"Image!{node}"]["imageMode"]
    assert image_mode["imageTopic"] == IMAGE_TOPICS[node]
    assert list(image_mode["annotations"]) == ["/visualizer/annotations"]
    assert panels["Image!overlay"]["imageMode"]["imageTopic"] == "/visualizer/overlay"
    assert panels[f"3D!{node}"]["publish"]["pointTopic"] == "/clicked_point"
    # The summary shows the diagnostics of all hosts; the status panel needs the name of one.
    summary = panels[f"DiagnosticSummary!{node}"]
    assert (summary["topicToRender"], summary["hardwareIdFilter"]) == ("/diagnostics", "")


def _list_panel_ids(layout: Any) -> list[str]:
    """Return the ids in a tree of panels."""
    if isinstance(layout, str):
        return [layout]
    return _list_panel_ids(layout["first"]) + _list_panel_ids(layout["second"])
