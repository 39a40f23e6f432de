"""The configurations of RViz and Foxglove show what the nodes publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = Path(__file__).resolve().parents[2] / "config"
PICTURES = {"hsi_tracker": "/hsi_tracker/false_color", "spax_tracker": "/image"}
SHOWN = {"/visualizer/overlay", "/visualizer/markers"}


@pytest.mark.parametrize("node", PICTURES)
def test_rviz_shows_the_tracks_in_the_plane_of_the_image(node: str) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from tracking_runtime.nodes.visualizer import VisualizerParameters

    manager = yaml.safe_load((CONFIG / f"{node}.rviz").read_text())["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == VisualizerParameters().marker_frame
    topics = {display["Topic"]["Value"] for display in manager["Displays"]}
    assert topics == SHOWN
    assert all(display["Enabled"] for display in manager["Displays"])  # RViz shows an image that is not, too
    tools = {tool["Class"].rpartition("/")[2]: tool for tool in manager["Tools"]}
    assert tools["PublishPoint"]["Topic"]["Value"] == "/clicked_point"


@pytest.mark.parametrize("node", PICTURES)
def test_foxglove_shows_annotations_markers_and_diagnostics(node: str) -> None:
    layout = json.loads((CONFIG / f"{node}.foxglove.json").read_text())
    assert layout["globalVariables"] == {}  # without these two no layout is imported
    assert layout["playbackConfig"]["speed"] == 1
    panels: dict[str, Any] = layout["configById"]
    assert set(_panels(layout["layout"])) == set(panels)
    annotated = panels[f"Image!{node}"]["imageMode"]
    assert annotated["imageTopic"] == PICTURES[node]
    assert list(annotated["annotations"]) == ["/visualizer/annotations"]
    assert panels["Image!overlay"]["imageMode"]["imageTopic"] == "/visualizer/overlay"
    assert panels[f"3D!{node}"]["publish"]["pointTopic"] == "/clicked_point"
    summary = panels[f"DiagnosticSummary!{node}"]  # of all hosts: the status panel shows one, by its name
    assert (summary["topicToRender"], summary["hardwareIdFilter"]) == ("/diagnostics", "")


def _panels(layout: Any) -> list[str]:
    """The ids in a tree of panels."""
    if isinstance(layout, str):
        return [layout]
    return _panels(layout["first"]) + _panels(layout["second"])
