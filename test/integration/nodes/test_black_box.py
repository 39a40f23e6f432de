"""A crash of a node leaves the last frames, tracks, diagnoses and logs in one folder."""

from __future__ import annotations

import json
import os
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from click.testing import CliRunner
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from tracking_runtime.bags import BagReader
from tracking_runtime.cli import rstrack
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.conversions import image_messages, track_messages

RECORDER, VISUALIZER = "tracking_runtime.nodes.recorder", "tracking_runtime.nodes.visualizer"
TOPICS = ["image", "visualizer/overlay", "/diagnostics", "/rosout"]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def camera(ros):
    """Publish 20 frames a second."""
    publisher = ros.node.create_publisher(Image, "image", 10)

    def send() -> None:
        header = Header(stamp=track_messages.to_time(time.time_ns()), frame_id="camera")
        publisher.publish(image_messages.make_image_message(np.zeros((32, 48), np.uint8), "mono8", header))

    timer = ros.node.create_timer(0.05, send)
    yield
    ros.run(timer.cancel)


@pytest.fixture
def start(node_process, tmp_path):
    def start(module: str, name: str, **parameters):
        environment = {"ROS_LOG_DIR": str(tmp_path / "logs")}
        given = {"autostart": True, **parameters}
        return node_process(module, name, parameters=given, environment=environment)

    return start


def is_active(client: LifecycleClient) -> bool:
    return bool(client.diagnosis and client.diagnosis.values.get("state") == "active")


def count_images(client: LifecycleClient) -> int:
    return int(client.diagnosis.values.get("written./image", 0)) if is_active(client) else 0


def find_incidents(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("incident_*") if (path / "incident.json").exists())


def read_incident(folder: Path) -> dict:
    return json.loads((folder / "incident.json").read_text())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_crash_leaves_last_frames_and_logs_together(ros, start, tmp_path, wait_for, number):
    recorder = start(RECORDER, "recorder", output=str(tmp_path / "bag"), topics=TOPICS, keep=10.0)
    visualizer = start(VISUALIZER, "visualizer", tracker="satellite")
    clients = [LifecycleClient(ros, f"/{name}") for name in ("recorder", "visualizer")]
    wait_for(lambda: all(map(is_active, clients)), 60, "both nodes")
    wait_for(lambda: count_images(clients[0]) > 20, 60, "frames")

    os.kill(visualizer.pid, number)
    crashed_ns = time.time_ns()
    wait_for(lambda: "visualizer" in recorder.log and "; see /" in recorder.log, 30, "the incident")

    (folder,) = find_incidents(tmp_path / "bag")
    incident = read_incident(folder)
    assert (incident["node"], incident["recording"]) == ("/visualizer", ".")
    assert f"process {visualizer.pid} has ended or hangs" in incident["reason"]
    assert "torch" in incident["versions"]
    saved = BagReader(folder)
    assert saved.is_complete
    frames = [record.publish_time_ns for record in saved.read_records(["/image"])]
    assert frames[0] < crashed_ns < frames[-1], "frames from before and after the crash"
    diagnoses = [json.loads(line) for line in (folder / "diagnoses.jsonl").read_text().splitlines()]
    assert {entry["node"] for entry in diagnoses} == {"/recorder", "/visualizer"}
    assert list((folder / "logs").glob("*.log"))
    assert saved.counts["/rosout"] > 0
    assert not list(folder.rglob("*.png"))
    assert recorder.stop() == 0
    assert BagReader(tmp_path / "bag").is_complete


def test_restarted_node_is_an_incident_at_once(ros, start, tmp_path, wait_for):
    recorder = start(RECORDER, "recorder", output=str(tmp_path / "bag"), topics=TOPICS)
    client = LifecycleClient(ros, "/visualizer")
    first = start(VISUALIZER, "visualizer", tracker="satellite")
    wait_for(lambda: is_active(client), 60, "the visualizer")
    os.kill(first.pid, signal.SIGKILL)
    first.wait(10)

    second = start(VISUALIZER, "visualizer", tracker="satellite")

    wait_for(lambda: find_incidents(tmp_path / "bag"), 60, "the incident")
    incident = read_incident(find_incidents(tmp_path / "bag")[0])
    assert incident["recording"] == "..", "everything is kept, so that no copy is needed"
    wait_for(
        lambda: is_active(client) and client.diagnosis.values["pid"] == str(second.pid),
        60,
        "the second visualizer",
    )
    assert second.stop() == 0
    wait_for(lambda: client.diagnosis.values["state"] == "finalized", 20, "its shutdown")
    assert recorder.stop() == 0
    assert len(find_incidents(tmp_path / "bag")) == 1, "a shutdown is no incident"


def test_killed_recorder_leaves_its_seconds_and_is_reported(ros, start, tmp_path, wait_for):
    client = LifecycleClient(ros, "/recorder")
    recorder = start(RECORDER, "recorder", output=str(tmp_path / "bag"), topics=TOPICS, keep=10.0)
    wait_for(lambda: count_images(client) > 60, 60, "three seconds")
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.wait(10)

    again = start(RECORDER, "recorder", output=str(tmp_path / "bag_1"), topics=TOPICS, keep=10.0)

    wait_for(lambda: find_incidents(tmp_path / "bag"), 60, "the incident")
    (folder,) = find_incidents(tmp_path / "bag")
    assert "without finishing" in read_incident(folder)["reason"]
    assert BagReader(tmp_path / "bag").counts["/image"] > 20
    assert again.stop() == 0
    assert not find_incidents(tmp_path / "bag_1")


def test_snapshot_on_request_saves_the_newest_messages(ros, start, tmp_path, wait_for):
    client = LifecycleClient(ros, "/recorder")
    start(RECORDER, "recorder", output=str(tmp_path / "bag"), topics=TOPICS, keep=10.0, max_incidents=1)
    wait_for(lambda: is_active(client), 60, "the recorder")

    answer = ros.call(Trigger, "/recorder/snapshot", Trigger.Request())
    wait_for(lambda: find_incidents(tmp_path / "bag"), 20, "the snapshot")
    folder = find_incidents(tmp_path / "bag")[0]
    wait_for(lambda: (folder / "metadata.yaml").exists(), 20, "the messages")

    assert answer.success
    assert answer.message == f"written to {folder}"
    assert BagReader(folder).is_complete
    refused = ros.call(Trigger, "/recorder/snapshot", Trigger.Request())
    assert not refused.success
    assert "max_incidents 1" in refused.message


def test_report_has_parameters_and_history_of_nodes(ros, start, tmp_path, wait_for):
    client = LifecycleClient(ros, "/visualizer")
    start(VISUALIZER, "visualizer", tracker="satellite")
    recorder = start(RECORDER, "recorder", output=str(tmp_path / "bag"), topics=TOPICS)
    wait_for(lambda: is_active(client) and "active" in recorder.log, 60, "both nodes")
    report, bag = tmp_path / "report.zip", tmp_path / "bag"

    def read_report():
        """Return parameters, diagnoses and names of files of a new report; None while a node is missing."""
        report.unlink(missing_ok=True)
        CliRunner().invoke(rstrack, ["doctor", "--report", str(report), "--recording", str(bag)])
        with zipfile.ZipFile(report) as archive:
            parameters = json.loads(archive.read("parameters.json"))
            diagnoses = [json.loads(line) for line in archive.read("diagnoses.jsonl").splitlines()]
            found = parameters.keys() & {entry["node"] for entry in diagnoses}
            return (parameters, diagnoses, archive.namelist()) if len(found) >= 2 else None

    # On a busy machine, a node may answer after the time in which the report listens.
    parameters, diagnoses, names = wait_for(read_report, 120, "a report of both nodes")

    assert parameters["/visualizer"]["tracker"] == "satellite"
    assert parameters["/recorder"]["topics"] == TOPICS
    assert {"/visualizer", "/recorder"} <= {entry["node"] for entry in diagnoses}
    assert "recordings/bag/log.txt" in names
    assert not any(name.endswith(".mcap") for name in names)
