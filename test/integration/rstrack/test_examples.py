"""Every example script runs as its docstring says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
HYPERSPECTRAL = "scene:hyperspectral?seed=3&frames=4"
SATELLITE = "scene:satellite?seed=3&frames=6&size=192"


def run_example(name: str, *arguments: str, folder: Path) -> list[str]:
    """Run an example in a folder and return the lines it prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    finished = subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


@pytest.mark.slow
def test_track_cubes_prints_one_state_per_frame(tmp_path: Path) -> None:
    lines = run_example("track_cubes.py", HYPERSPECTRAL, "100", "60", "24", "18", folder=tmp_path)

    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_track_satellite_video_prints_mot_rows(tmp_path: Path) -> None:
    lines = run_example("track_satellite_video.py", SATELLITE, folder=tmp_path)

    assert lines
    assert all(len(line.split(",")) == 7 for line in lines)


def test_own_detector_tracks_three_movers(tmp_path: Path) -> None:
    lines = run_example("own_detector.py", folder=tmp_path)

    assert len(lines) == 30
    assert all(f"{track_id}: [" in lines[-1] for track_id in (1, 2, 3))


def test_custom_scene_writes_a_recording(tmp_path: Path) -> None:
    lines = run_example("custom_scene.py", "runway", folder=tmp_path)

    assert lines == ["40 frames in runway"]
    assert (tmp_path / "runway" / "metadata.yaml").is_file()


@pytest.mark.slow
def test_evaluate_tracker_prints_metrics(tmp_path: Path) -> None:
    lines = run_example("evaluate_tracker.py", SATELLITE, folder=tmp_path)

    assert "clear" in " ".join(lines).lower()


@pytest.mark.ros
@pytest.mark.slow
def test_set_target_sets_a_target_of_the_node(
    ros: Any, node_process: Callable[..., Any], wait_for: Callable[..., Any], tmp_path: Path
) -> None:
    from tracking_runtime.io import open_source
    from tracking_runtime.ros.clients import LifecycleClient
    from tracking_runtime.ros.conversions.image_messages import make_image_message
    from tracking_runtime.ros.node import qos

    node_process("hsi_tracker_ros.node", "hsi_tracker", parameters={"camera": "vis16"})
    frame = next(iter(open_source(HYPERSPECTRAL)))
    client = LifecycleClient(ros, "/hsi_tracker")
    client.start()
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    publisher = ros.node.create_publisher(Image, "/image", qos.make_sensor_profile())

    def has_processed_frame() -> bool:
        header = Header(stamp=ros.node.get_clock().now().to_msg(), frame_id="camera")
        publisher.publish(make_image_message(frame.image, frame.encoding, header))
        return bool(client.diagnosis and client.diagnosis.values.get("frames_processed", "0") != "0")

    wait_for(has_processed_frame, 60, "a processed frame")

    lines = run_example("set_target.py", "/hsi_tracker", "100", "60", "24", "18", folder=tmp_path)

    assert lines == ["target 1"]
