"""Tracker nodes that recover by themselves from a tracker that ends, hangs or cannot be reset."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from remote_sensing_tracking.msg import TrackArray
from remote_sensing_tracking.srv import ReloadModel
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from tracking_runtime.bags import BagReader
from tracking_runtime.ros.clients import LifecycleClient, RequestRefusedError, TrackerClient
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import DiagnosticLevel
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession

pytestmark = pytest.mark.ros
SECOND = 10**9
NODE = "/brightness"
EXIT, HANG, BREAK, LEAK = 14, 15, 16, 17
FATES = ("processed", "dropped", "refused", "failed", "lost")


class Rig:
    """Active brightness node with a camera. Each frame has the next second as its stamp."""

    def __init__(self, ros: RosSession, process: NodeProcess, camera: Any, make_spot: Any) -> None:
        self.process = process
        self.client = LifecycleClient(ros, NODE)
        self.camera = camera
        self._make_spot = make_spot
        self._second = 0
        self.client.start()
        camera.wait_for_node()

    def make_frame(self, value: int = 200, size: tuple[int, int] = (24, 32)) -> Image:
        self._second += 1
        spot = self._make_spot(1, 1, value=value, size=size)
        return self.camera.make_message(spot, "mono8", self._second * SECOND)

    def send(self, value: int = 200, size: tuple[int, int] = (24, 32)) -> None:
        self.camera.send(self.make_frame(value, size))

    def track(self) -> Any:
        return self.camera.track(self.make_frame())

    def has_message(self, text: str) -> bool:
        return self.client.diagnosis is not None and text in self.client.diagnosis.message

    def has_counted(self, fate: str, number: int) -> bool:
        diagnosis = self.client.diagnosis
        return diagnosis is not None and diagnosis.values.get(f"frames_{fate}") == str(number)

    def count_frames(self) -> int:
        """Deactivate the node and return the sum of its counters."""
        self.client.deactivate()
        return sum(int(self.client.diagnosis.values[f"frames_{fate}"]) for fate in FATES)


@pytest.fixture
def start_rig(
    ros: RosSession, brightness: Callable[..., NodeProcess], make_camera: Any, make_spot: Any
) -> Callable[..., Rig]:
    def start(**parameters: Any) -> Rig:
        return Rig(ros, brightness(**parameters), make_camera(NODE, TrackArray), make_spot)

    return start


@pytest.mark.parametrize(("value", "reason"), [(EXIT, "ended the process"), (BREAK, "broken")])
def test_tracker_that_ended_is_restarted(
    start_rig: Callable[..., Rig], wait_for: Callable[..., Any], value: int, reason: str
) -> None:
    rig = start_rig()
    rig.track()

    rig.send(value)
    wait_for(lambda: rig.has_message(reason), 5, "the error in the diagnosis")
    assert rig.client.diagnosis.level == DiagnosticLevel.ERROR
    wait_for(lambda: "the tracker is restarted with" in rig.process.log, 10)
    tracks = rig.track()

    assert (tracks.epoch > 0, list(tracks.ids)) == (True, [1])
    assert rig.count_frames() == rig.camera.num_published
    assert rig.client.diagnosis.values["restarts"] == "1"


def test_memory_error_costs_one_frame(start_rig: Callable[..., Rig], wait_for: Callable[..., Any]) -> None:
    rig = start_rig()

    rig.send(LEAK)
    wait_for(lambda: rig.has_counted("failed", 1), description="the failed frame")
    rig.track()

    assert rig.count_frames() == rig.camera.num_published
    assert rig.client.diagnosis.values["frames_failed"] == "1"


def test_hanging_tracker_is_reported_and_restarted(
    ros: RosSession, start_rig: Callable[..., Rig], wait_for: Callable[..., Any]
) -> None:
    rig = start_rig(hang=60.0, max_frame_time=6.0)
    rig.track()
    begin_s = time.monotonic()

    rig.send(HANG)
    wait_for(lambda: rig.has_message("busy with one frame"), 5, "the error in the diagnosis")
    assert rig.client.diagnosis.level == DiagnosticLevel.ERROR
    assert rig.client.state() == "active", "services answer meanwhile"
    with pytest.raises(RequestRefusedError, match=r"cleaned up|busy"):
        TrackerClient(ros, NODE).reset()
    wait_for(lambda: "the tracker is restarted with" in rig.process.log, 15)
    assert rig.track().epoch == 1

    assert time.monotonic() - begin_s < 20
    assert rig.count_frames() == rig.camera.num_published
    rig.process.interrupt()
    assert rig.process.wait(20) == 0


def test_deactivation_of_hanging_tracker_ends_inactive(
    start_rig: Callable[..., Rig], wait_for: Callable[..., Any]
) -> None:
    rig = start_rig(hang=60.0, max_frame_time=1.0)
    rig.track()
    rig.send(HANG)
    wait_for(lambda: "the tracker hangs now" in rig.process.log, 30)

    assert rig.count_frames() == rig.camera.num_published
    assert rig.client.state() == "inactive"
    rig.client.activate()
    rig.camera.wait_for_node()
    wait_for(lambda: "the tracker is restarted with" in rig.process.log, 10)
    assert rig.track().ids[0] == 1
    rig.client.deactivate()
    rig.client.cleanup()
    assert rig.client.state() == "unconfigured"


def test_tracker_that_hangs_again_and_again_ends_process(
    start_rig: Callable[..., Rig], wait_for: Callable[..., Any]
) -> None:
    rig = start_rig(hang=60.0, max_frame_time=0.5)
    rig.track()

    def send_until_end() -> bool:
        rig.send(HANG)
        return not rig.process.is_running

    wait_for(send_until_end, 60, "the end of the process")

    assert rig.process.wait(1) == 70
    assert "the process ends with status 70: the tracker hangs" in rig.process.log


def test_exhausted_memory_in_rclpy_ends_or_recovers(
    start_rig: Callable[..., Rig], wait_for: Callable[..., Any]
) -> None:
    rig = start_rig()
    rig.track()
    address_space = psutil.Process(rig.process.pid).memory_info().vms
    resource.prlimit(rig.process.pid, resource.RLIMIT_AS, (address_space + (4 << 20), resource.RLIM_INFINITY))

    def is_affected() -> bool:
        rig.send(size=(6000, 6000))
        has_log = "it cannot be taken" in rig.process.log or "failed to create array" in rig.process.log
        return has_log or not rig.process.is_running

    wait_for(is_affected, 30, "the effect of the limit")
    if rig.process.is_running:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(rig.process.pid, resource.RLIMIT_AS, unlimited)
        rig.track()
        assert rig.client.state() == "active"
    else:
        assert rig.process.wait(1) != 0


@pytest.fixture
def start_recorder(
    ros: RosSession, node_process: Callable[..., NodeProcess], tmp_path: Path, wait_for: Callable[..., Any]
) -> Callable[[], NodeProcess]:
    """Return a function that starts a recorder which keeps the last ten seconds in `bag`."""

    def start() -> NodeProcess:
        topics = ["image", "brightness/tracks", "/diagnostics", "/rosout"]
        process = node_process(
            "tracking_runtime.nodes.recorder",
            "recorder",
            parameters={"autostart": True, "output": str(tmp_path / "bag"), "topics": topics, "keep": 10.0},
            environment={"ROS_LOG_DIR": str(tmp_path / "logs")},
        )
        client = LifecycleClient(ros, "/recorder")
        wait_for(
            lambda: client.diagnosis and client.diagnosis.values["state"] == "active", 60, "the recorder"
        )
        return process

    return start


def read_incident(bag: Path) -> tuple[dict[str, Any], BagReader, list[dict[str, Any]]]:
    """Return the description, the messages and the diagnoses of the only incident; none while not saved."""
    (folder,) = (path.parent for path in bag.glob("incident_*/metadata.yaml"))
    lines = (folder / "diagnoses.jsonl").read_text().splitlines()
    return (
        json.loads((folder / "incident.json").read_text()),
        BagReader(folder),
        [entry for line in lines if (entry := json.loads(line))["node"] == NODE],
    )


def test_end_with_status_70_leaves_the_last_seconds(
    start_rig: Callable[..., Rig], start_recorder: Callable[[], NodeProcess], tmp_path: Path, wait_for: Any
) -> None:
    recorder = start_recorder()
    rig = start_rig(hang=60.0, max_frame_time=0.5)
    rig.track()
    pid = rig.process.pid

    def send_until_end() -> bool:
        rig.send(HANG)
        return not rig.process.is_running

    wait_for(send_until_end, 60, "the end of the process")
    assert rig.process.wait(1) == 70
    wait_for(lambda: [*(tmp_path / "bag").glob("incident_*/metadata.yaml")], 40, "the saved seconds")
    wait_for(lambda: "; see /" in recorder.log, 20, "the end of the saving")

    incident, saved, diagnoses = read_incident(tmp_path / "bag")
    assert (incident["node"], saved.is_complete) == (NODE, True)
    assert f"process {pid} has ended or hangs" in incident["reason"]
    assert saved.counts["/image"] > 0
    assert saved.counts["/rosout"] > 0
    errors = {entry["message"] for entry in diagnoses if entry["level"] == DiagnosticLevel.ERROR}
    assert any("busy with one frame" in message for message in errors)
    assert recorder.stop() == 0


def test_node_out_of_memory_leaves_the_last_seconds(
    start_rig: Callable[..., Rig], start_recorder: Callable[[], NodeProcess], tmp_path: Path, wait_for: Any
) -> None:
    recorder = start_recorder()
    rig = start_rig()
    rig.track()
    pid = rig.process.pid
    size = psutil.Process(pid).memory_info().vms
    resource.prlimit(pid, resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))

    def send_until_end() -> bool:
        rig.send(size=(4000, 4000))
        return not rig.process.is_running

    wait_for(send_until_end, 120, "the end of the process")
    status = rig.process.wait(1)
    wait_for(lambda: [*(tmp_path / "bag").glob("incident_*/metadata.yaml")], 40, "the saved seconds")
    wait_for(lambda: "; see /" in recorder.log, 20, "the end of the saving")

    incident, saved, diagnoses = read_incident(tmp_path / "bag")
    assert (incident["node"], saved.is_complete) == (NODE, True)
    if status == -signal.SIGABRT:  # a native library ended the process, as when no thread can be started
        assert f"process {pid} has ended or hangs" in incident["reason"]
    else:
        assert status == 70, rig.process.log
        assert "ends with status 70: memory has run out" in incident["reason"]
        errors = [entry["message"] for entry in diagnoses if entry["level"] == DiagnosticLevel.ERROR]
        assert any("memory" in message for message in errors)
    assert recorder.stop() == 0


def test_second_reload_during_loading_is_refused(
    ros: RosSession, start_rig: Callable[..., Rig], tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    rig = start_rig()
    fifo = tmp_path / "slow"
    os.mkfifo(fifo)
    client = ros.node.create_client(ReloadModel, f"{NODE}/reload_model")
    client.wait_for_service(10)
    first = client.call_async(ReloadModel.Request(model=str(fifo)))
    writer = os.open(fifo, os.O_RDWR)
    wait_for(lambda: fifo in rig.process.open_files, description="the loading")

    with pytest.raises(RequestRefusedError, match="another model is being loaded"):
        TrackerClient(ros, NODE).reload_model()

    os.close(writer)
    wait_for(first.done)
    assert first.result().success


def test_every_call_of_many_clients_is_answered(
    ros: RosSession, start_rig: Callable[..., Rig], wait_for: Callable[..., Any]
) -> None:
    rig = start_rig(work=0.02)
    profile = qos.make_service_profile()  # each client receives the responses to all clients
    services = {"reset": Trigger, "get_state": GetState, "get_parameters": GetParameters}
    clients = [
        ros.node.create_client(service_type, f"{NODE}/{name}", qos_profile=profile)
        for name, service_type in services.items()
        for _ in range(17)
    ]
    for client in clients:
        assert client.wait_for_service(10)
    for client in clients:  # DDS loses responses to clients that the node has not discovered yet
        wait_for(lambda client=client: _call(client, 1.0), 30)

    calls = [client.call_async(client.srv_type.Request()) for _ in range(10) for client in clients]
    for _ in range(10):
        rig.send()

    wait_for(lambda: all(call.done() for call in calls), 30, "all answers")
    rig.track()


def _call(client: Any, timeout_s: float) -> bool:
    call = client.call_async(client.srv_type.Request())
    deadline_s = time.monotonic() + timeout_s
    while not call.done() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return bool(call.done())
