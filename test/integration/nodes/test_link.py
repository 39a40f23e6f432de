"""The link between the domain on board and the one of the ground, over real DDS."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from shutil import which
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, PointStamped
from remote_sensing_tracking.msg import TrackArray
from sensor_msgs.msg import CompressedImage

from tracking_runtime.ros.clients import LifecycleClient, RequestRefusedError, set_parameters
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import DiagnosticLevel
from tracking_runtime.ros.processes import reserve_domain
from tracking_runtime.ros.session import RosSession

GROUND = """
import os
from remote_sensing_tracking.msg import TrackArray
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

with RosSession("ground") as session:
    heard = session.listen(TrackArray, "/tracks")
    wait_for(lambda: heard, 60)
    os._exit(heard[0].image_width)
"""


@pytest.fixture
def ground_domain(ros_domain: int) -> Iterator[int]:
    with reserve_domain() as domain:
        assert domain != ros_domain
        yield domain


@pytest.fixture
def ground(ground_domain: int) -> Iterator[RosSession]:
    with RosSession("ground", ground_domain) as session:
        yield session


def start(node_process: Any, domain: int, **parameters: Any) -> None:
    link = {
        "domain": domain,
        "discovery_range": "localhost",
        "autostart": True,
        "down": ["tracks", "preview"],
    }
    node_process("tracking_runtime.nodes.link", "link", parameters={**link, **parameters})


def test_link_limits_rate_down_and_relays_clicks_up(
    ros: RosSession, ground: RosSession, ground_domain: int, node_process: Any, wait_for: Callable[..., Any]
) -> None:
    start(node_process, ground_domain, rate=0.01, diagnostics_rate=5.0)
    board = LifecycleClient(ros, "/link")
    tracks = ros.node.create_publisher(TrackArray, "/tracks", qos.make_track_profile())
    previews = ros.node.create_publisher(CompressedImage, "/preview", 5)
    images = ros.node.create_publisher(CompressedImage, "/image", 5)
    heard = ground.listen(TrackArray, "/tracks", qos.make_track_profile())
    seen = ground.listen(CompressedImage, "/preview", qos.make_sensor_profile())
    diagnoses = ground.listen(DiagnosticArray, "/diagnostics")
    wait_for(lambda: ground.node.count_publishers("/tracks") and ground.node.count_publishers("/preview"), 30)
    wait_for(lambda: tracks.get_subscription_count() and previews.get_subscription_count(), 30)
    wait_for(lambda: diagnoses, 30, "a diagnosis on the ground")
    for number in range(1, 6):
        tracks.publish(TrackArray(image_width=number, ids=[number] * 100))
        previews.publish(CompressedImage(format="jpeg", data=[number] * 2000))
    wait_for(lambda: heard and seen, 30, "tracks and a preview on the ground")
    sent = wait_for(
        lambda: board.diagnosis and "sent./preview.bytes" in board.diagnosis.values and board.diagnosis.values
    )
    assert (len(heard), len(seen), heard[0].image_width) == (1, 1, 1)
    assert (sent["sent./tracks.messages"], sent["sent./preview.messages"]) == ("1", "1")
    assert 2000 < int(sent["sent./preview.bytes"]) < 2100
    assert float(sent["bytes_per_s"]) > 0
    assert diagnoses[-1].status[0].name == "/link"
    assert images.get_subscription_count() == ground.node.count_publishers("/image") == 0

    clicks = ros.listen(PointStamped, "/clicked_point", 10)
    finger = ground.node.create_publisher(PointStamped, "/clicked_point", 10)
    wait_for(finger.get_subscription_count, 30, "who takes clicks")
    wait_for(lambda: ros.node.count_publishers("/clicked_point"), 30, "clicks on board")
    finger.publish(PointStamped(point=Point(x=3.0)))
    wait_for(lambda: clicks, 30, "the click on board")
    assert clicks[0].point.x == 3.0


def test_link_without_receiver_on_the_ground_warns(
    ros: RosSession, ground_domain: int, node_process: Any, wait_for: Callable[..., Any]
) -> None:
    start(node_process, ground_domain, rate=0.0)
    board = LifecycleClient(ros, "/link")
    tracks = ros.node.create_publisher(TrackArray, "/tracks", qos.make_track_profile())
    wait_for(tracks.get_subscription_count, 30, "the link on board")

    def is_warned() -> bool:
        tracks.publish(TrackArray())
        diagnosis = board.diagnosis
        return diagnosis is not None and f"no receiver in domain {ground_domain}" in diagnosis.message

    wait_for(is_warned, 30, "the warning")
    assert board.diagnosis.level == DiagnosticLevel.WARN
    with RosSession("late_ground", ground_domain) as late_ground:
        late_ground.listen(TrackArray, "/tracks", qos.make_track_profile())

        def is_sending() -> bool:
            tracks.publish(TrackArray())
            return board.diagnosis.message.startswith("sending")

        wait_for(is_sending, 30, "a diagnosis without warning")


def test_hanging_ground_thread_is_an_error_and_link_still_ends(
    ros: RosSession, ground: RosSession, ground_domain: int, node_process: Any, wait_for: Callable[..., Any]
) -> None:
    folder = str(Path(__file__).resolve().parent)
    link = {"domain": ground_domain, "discovery_range": "localhost", "autostart": True}
    path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    process = node_process("hanging_link", "link", parameters=link, environment={"PYTHONPATH": path})
    board = LifecycleClient(ros, "/link")
    finger = ground.node.create_publisher(PointStamped, "/clicked_point", 10)
    wait_for(finger.get_subscription_count, 30, "the link on the ground")

    finger.publish(PointStamped())
    wait_for(lambda: board.diagnosis and "domain hangs for" in board.diagnosis.message, 30, "the error")

    assert board.diagnosis.level == DiagnosticLevel.ERROR
    board.deactivate()
    assert board.state() == "inactive"
    assert "the thread of the ground's domain hangs and is left behind" in process.log
    assert process.stop() == 0


def test_link_refuses_own_domain_and_topics_both_ways(
    ros: RosSession, ros_domain: int, node_process: Any
) -> None:
    start(node_process, ros_domain, autostart=False)
    node = LifecycleClient(ros, "/link")
    with pytest.raises(RequestRefusedError, match="must differ from the domain on board"):
        node.configure()
    with pytest.raises(RequestRefusedError, match="topic tracks is in both parameters down and up"):
        set_parameters(ros, "/link", up=["tracks"])


def test_link_connects_by_discovery_server(
    ros: RosSession, ground_domain: int, node_process: Any, wait_for: Callable[..., Any]
) -> None:
    server = which("fast-discovery-server")
    if server is None:
        pytest.skip("fast-discovery-server is not installed")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    command = [server, "-i", "0", "-l", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "ROS_DISCOVERY_SERVER": address, "ROS_DOMAIN_ID": str(ground_domain)}
    ground = [sys.executable, "-c", GROUND]
    with ExitStack() as stack:
        for program, variables in [(command, None), (ground, environment)]:
            process = subprocess.Popen(program, env=variables, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        start(node_process, ground_domain, discovery_server=address, rate=0.0)
        tracks = ros.node.create_publisher(TrackArray, "/tracks", qos.make_track_profile())

        def arrived() -> bool:
            tracks.publish(TrackArray(image_width=7))
            return process.poll() is not None

        wait_for(arrived, 60, "tracks on the ground")
    assert process.returncode == 7
