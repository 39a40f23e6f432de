"""Test of the node hsi_tracker with a color camera, as a process over DDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from remote_sensing_tracking.msg import TargetTrackArray
from sensor_msgs.msg import Image

from tracking_runtime.ros.clients import HsiTrackerClient, LifecycleClient
from tracking_runtime.ros.processes import NodeProcess, make_local_environment
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

NODE = "/hsi_tracker"
SECOND = 10**9


def test_rgb_branch_tracks_in_images_and_refuses_cubes(
    ros_domain: int, tmp_path: Path, camera_class: Any
) -> None:
    parameters = {
        "engine": "pytorch",
        "camera": "rgb",
        "qos_overrides./image.subscription.reliability": "reliable",
        "qos_overrides./image.subscription.depth": 100,
    }
    noise = np.random.default_rng(0).integers(60, 120, (128, 256, 3), dtype=np.uint8)
    ground = cv2.GaussianBlur(noise, (9, 9), 0)

    def make_frame(number: int) -> Image:
        image = ground.copy()
        image[50:70, 60 + 2 * number : 90 + 2 * number] = (200, 60, 30)
        return camera.make_message(image[..., ::-1].copy(), "rgb8", SECOND + number * SECOND // 10)

    environment = make_local_environment(ros_domain)
    process = NodeProcess(
        "hsi_tracker_ros.node", "hsi_tracker", tmp_path, parameters, environment=environment
    )
    with RosSession("test_rgb_camera", ros_domain) as session, process:
        camera = camera_class(session, NODE, TargetTrackArray)
        lifecycle = LifecycleClient(session, NODE, timeout_s=240)
        lifecycle.configure()
        lifecycle.activate()
        camera.wait_for_node()

        camera.track(make_frame(0))
        HsiTrackerClient(session, NODE, timeout_s=240).set_target([60, 50, 30, 20])
        camera.send(camera.make_message(np.zeros((128, 256, 16), np.uint16), "16UC16", SECOND + SECOND // 20))
        wait_for(lambda: "got 16UC16" in process.log, description="refusal of the cube")
        for number in range(1, 8):
            tracks = camera.track(make_frame(number))

        (track,) = tracks.tracks
        assert abs(track.box.x - 74) < 4
        assert track.state == track.STATE_TRACKING
    assert process.stop() == 0
