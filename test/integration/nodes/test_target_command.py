"""`rstrack target` with the real tracker and the player."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from click.testing import CliRunner
from remote_sensing_tracking.msg import TargetTrack, TargetTrackArray, TrackArray

from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.cli import rstrack
from tracking_runtime.messages.conversion import read_stamp_ns
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession


@pytest.mark.slow
def test_target_of_ground_truth_is_followed(
    ros: RosSession, node_process: Callable[..., NodeProcess], wait_for: Callable[..., Any]
) -> None:
    tracks = ros.listen(TargetTrackArray, "/hsi_tracker/tracks")
    truths = ros.listen(TrackArray, "/ground_truth")
    node_process("hsi_tracker_ros.node", "hsi_tracker", parameters={"autostart": True, "engine": "pytorch"})
    node_process(
        "tracking_runtime.nodes.player",
        "player",
        parameters={"autostart": True, "source": "scene:hyperspectral?seed=1", "rate": 4, "stamps": "now"},
    )
    wait_for(lambda: tracks, 90, "the first tracks")

    result = CliRunner().invoke(rstrack, ["target", "--label", "car"], catch_exceptions=False)

    assert (result.exit_code, result.output.startswith("target 1, contrast")) == (0, True), result.output
    followed = wait_for(lambda: next((t for t in reversed(tracks) if t.tracks), None), 20, "the target")
    truth = wait_for(
        lambda: next((t for t in truths if read_stamp_ns(t) == read_stamp_ns(followed)), None), 10, "truth"
    )
    (track,) = followed.tracks
    box = [track.box.x, track.box.y, track.box.width, track.box.height]
    assert track.label == "car"
    assert track.state != TargetTrack.STATE_LOST
    assert intersection_over_union(box, truth.boxes[:4])[0, 0] > 0.3


@pytest.mark.parametrize(("box", "reason"), [("1,2,3", "four numbers"), ("a,b,c,d", "four numbers")])
def test_box_of_wrong_form_is_refused(box: str, reason: str) -> None:
    result = CliRunner().invoke(rstrack, ["target", "--box", box])

    assert result.exit_code == 2
    assert reason in result.output
