"""Kinds of faults. Each injects one fault into a rig; the run waits for the recovery."""

# ruff: noqa: ARG001  # all kinds have the same arguments

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from codes import Code
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from remote_sensing_tracking.msg import SpectralInfo
from remote_sensing_tracking.srv import ReloadModel, SetTarget
from rig import Rig, Tracker, python_command
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.session import ServiceError
from tracking_runtime.ros.waiting import WaitTimeoutError, wait_for

Inject = Callable[[Rig, Tracker, np.random.Generator], None]
_START_S = 60.0  # limit of the recovery by a new process on a busy machine
_USUAL_S = 15.0  # limit of any other recovery
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
_PEER = """
import os, sys, time
import rclpy
from remote_sensing_tracking.msg import TargetTrackArray, TrackArray
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("peer")
kind = TargetTrackArray if "hsi" in sys.argv[1] else TrackArray
subscription = node.create_subscription(kind, sys.argv[1] + "/tracks", lambda _: None, 10)
print("ready", flush=True)
time.sleep(100)
"""
_NAMESAKE = """
import sys, time
import rclpy
rclpy.init()
node = rclpy.create_node(sys.argv[1].lstrip("/"))
print("ready", flush=True)
time.sleep(100)
"""
_CLIENTS = """
import sys, time
import rclpy
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from std_srvs.srv import Trigger
from tracking_runtime.ros.node.qos import make_service_profile
tracker, seconds = sys.argv[1].split()
types = {"reset": Trigger, "get_state": GetState, "get_parameters": GetParameters}
rclpy.init()
node = rclpy.create_node("clients")
clients = [
    node.create_client(kind, f"{tracker}/{name}", qos_profile=make_service_profile())
    for name, kind in types.items() for _ in range(17)
]
for client in clients:
    client.wait_for_service(20)
call = lambda client: client.call_async(client.srv_type.Request())
for client in clients:  # until the node has discovered each client
    future = call(client)
    while not future.done():
        rclpy.spin_until_future_complete(node, future, timeout_sec=1)
        future = future if future.done() else call(client)
num_calls, num_answers, calls = 0, 0, {}
print("ready", flush=True)
end_s = time.monotonic() + float(seconds)
while time.monotonic() < end_s + 20 and (calls or time.monotonic() < end_s):
    for client in clients:
        if client in calls and calls[client].done():
            del calls[client]
            num_answers += 1
        if client not in calls and time.monotonic() < end_s:
            calls[client] = call(client)
            num_calls += 1
    rclpy.spin_once(node, timeout_sec=0.02)
print(num_calls, num_answers, flush=True)
"""


@dataclass(frozen=True)
class Kind:
    """Kind of fault.

    Attributes:
        name: name of the kind.
        inject: function that injects one fault and returns when the fault is over.
        limit_s: longest time to the recovery after the fault, in seconds.
        is_quick: true if the fault belongs to the short run.
        keeps_counters: false if the fault configures a tracker again, which begins its counters at 0.
    """

    name: str
    inject: Inject
    limit_s: float = _USUAL_S
    is_quick: bool = False
    keeps_counters: bool = True


KINDS: dict[str, Kind] = {}


def fault(
    *, limit_s: float = _USUAL_S, is_quick: bool = False, keeps_counters: bool = True
) -> Callable[[Inject], Inject]:
    """Register a function as a kind of fault."""

    def register(inject: Inject) -> Inject:
        name = inject.__name__
        KINDS[name] = Kind(name, inject, limit_s, is_quick, keeps_counters)
        return inject

    return register


# Processes


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _stop(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@fault(limit_s=_START_S)
def kill_tracker(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _kill(tracker.process.pid, signal.SIGKILL)


@fault(limit_s=_START_S)
def terminate_tracker_at_any_moment(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    pid = tracker.process.pid
    time.sleep(rng.uniform(0, 0.5))
    _kill(pid, signal.SIGTERM)


@fault(limit_s=_START_S)
def terminate_tracker_during_start(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    pid = tracker.process.pid
    _kill(pid, signal.SIGKILL)
    wait_for(lambda: tracker.process.pid != pid, 10, "the next process")
    time.sleep(rng.uniform(0, 5))
    _kill(tracker.process.pid, signal.SIGTERM)


@fault()
def stop_tracker(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _stop(tracker.process.pid, rng.uniform(1, 5))


@fault(limit_s=_START_S)
def kill_recorder(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _kill(rig.recorder.pid, signal.SIGKILL)


@fault(is_quick=True)
def stop_recorder(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _stop(rig.recorder.pid, rng.uniform(0.5, 3))


@fault(limit_s=_START_S)
def kill_visualizer(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _kill(rig.visualizer.pid, signal.SIGKILL)


@fault()
def stop_visualizer(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _stop(rig.visualizer.pid, rng.uniform(0.5, 3))


# Frames


@fault()
def stall(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    with tracker.camera.paused():
        time.sleep(rng.uniform(1, 6))


@fault(is_quick=True)
def burst(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(50, 200))):
        tracker.camera.send()


@fault(is_quick=True)
def duplicates(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    message = tracker.camera.make()
    for _ in range(int(rng.integers(2, 10))):
        tracker.camera.send(message)
        time.sleep(0.02)


@fault()
def reordering(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    with tracker.camera.paused():
        now_ns = time.time_ns() // 1000 * 1000
        for offset in rng.permutation(10):
            tracker.camera.send(tracker.camera.make(stamp_ns=now_ns + int(offset) * 10_000_000))
            time.sleep(0.02)


def _jump(tracker: Tracker, jump_s: float) -> None:
    tracker.camera.offset_ns = int(jump_s * 1e9) // 1000 * 1000
    time.sleep(0.6)
    tracker.camera.offset_ns = 0


@fault()
def clock_jump_forward(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _jump(tracker, rng.uniform(10, 10_000))


@fault(is_quick=True)
def clock_jump_back(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _jump(tracker, -rng.uniform(10, 10_000))


def _send_images(tracker: Tracker, images: list[tuple[Any, str]]) -> None:
    with tracker.camera.paused():
        for image, encoding in images:
            tracker.camera.send(tracker.camera.encode(image, encoding))
            time.sleep(0.05)


@fault(is_quick=True)
def change_of_size(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    shape = (int(rng.integers(1, 200)), int(rng.integers(1, 200)))
    image = np.zeros((*shape, 16), np.uint16) if "hsi" in tracker.node else np.zeros(shape, np.uint8)
    _send_images(tracker, [(image, "16UC16" if "hsi" in tracker.node else "mono8")] * 3)


@fault()
def change_of_encoding(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    images: list[tuple[Any, str]] = [
        (np.zeros((96, 128, 3), np.uint8), "bgr8"),
        (np.zeros((96, 128), np.uint16), "mono16"),
        (np.zeros((96, 128, 7), np.uint8), "8UC7"),
    ]
    _send_images(tracker, [images[index] for index in rng.permutation(3)])


@fault(is_quick=True)
def values_that_are_not_finite(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    shape = (96, 128, 16) if "hsi" in tracker.node else (96, 128)
    value = rng.choice([np.nan, np.inf, -np.inf])
    _send_images(tracker, [(np.full(shape, value, np.float32), f"32FC{16 if len(shape) == 3 else 1}")])


@fault(is_quick=True)
def malformed_messages(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    changes: list[dict[str, Any]] = [
        {"step": 1},
        {"height": 2**31},
        {"width": 0},
        {"encoding": "\\x00" * 100},
        {"encoding": "8UC99999"},
        {"data": b""},
    ]
    with tracker.camera.paused():
        for index in rng.permutation(len(changes)):
            message = tracker.camera.make()
            for name, value in changes[index].items():
                setattr(message, name, value)
            tracker.camera.send(message)
            time.sleep(0.02)


# Tracker and engine


def _send_code(tracker: Tracker, code: Code) -> None:
    with tracker.camera.paused():
        time.sleep(0.15)
        tracker.camera.send(tracker.camera.make(code))
        time.sleep(0.2)


@fault(is_quick=True)
def engine_raises(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _send_code(tracker, Code.RAISE)


@fault(limit_s=30)
def engine_hangs(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _send_code(tracker, Code.HANG)


@fault()
def engine_exits(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _send_code(tracker, Code.EXIT)


@fault()
def engine_without_memory(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _send_code(tracker, Code.MEMORY)


@fault()
def reset_fails(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _send_code(tracker, Code.BREAK)


@fault(limit_s=_START_S)
def memory_cap(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    pid = tracker.process.pid
    size = psutil.Process(pid).memory_info().vms
    resource.prlimit(pid, resource.RLIMIT_AS, (size + (1 << 20), resource.RLIM_INFINITY))
    _send_images(tracker, [(np.zeros((4000, 4000), np.uint8), "mono8")] * 3)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, _UNLIMITED)


@fault()
def cpu_starvation(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    command = python_command("-c", "while True: pass")
    burners = [subprocess.Popen(command) for _ in range(2 * (os.cpu_count() or 1))]
    time.sleep(rng.uniform(2, 4))
    for burner in burners:
        burner.kill()
        burner.wait()


@fault()
def handle_limit(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    pid = tracker.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, limits[1]))
    _call(rig, ReloadModel, f"{tracker.node}/reload_model", ReloadModel.Request())
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


# Disk


@fault(limit_s=30)
def disk_full(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    pid = rig.recorder.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    time.sleep(rng.uniform(1.5, 3))
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, _UNLIMITED)


@fault(limit_s=30)
def disk_read_only(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        _change_state(rig, "/recorder", transition)
    folder = rig.recorder.process.folder / f"bag_{time.time_ns()}"
    for output in ("/proc/rstrack/bag", str(folder)):
        _set_parameters(rig, "/recorder", output=output)
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            _change_state(rig, "/recorder", transition)
        if output.startswith("/proc"):
            _change_state(rig, "/recorder", Transition.TRANSITION_CLEANUP)


# Peers


def _run_peer(code: str, argument: str) -> subprocess.Popen[bytes]:
    peer = subprocess.Popen(python_command("-c", code, argument), stdout=subprocess.PIPE)
    assert peer.stdout is not None
    peer.stdout.readline()
    return peer


def _end_peer(peer: subprocess.Popen[bytes]) -> None:
    peer.kill()
    peer.wait()
    assert peer.stdout is not None
    peer.stdout.close()


@fault()
def peer_vanishes(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    peer = _run_peer(_PEER, tracker.node)
    time.sleep(0.5)
    _end_peer(peer)


@fault()
def subscriber_that_never_reads(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    peer = _run_peer(_PEER, tracker.node)
    peer.send_signal(signal.SIGSTOP)
    time.sleep(rng.uniform(2, 4))
    _end_peer(peer)


@fault()
def second_node_of_the_name(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    peer = _run_peer(_NAMESAKE, tracker.node)
    time.sleep(1)
    _end_peer(peer)


@fault(is_quick=True)
def second_camera(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    with tracker.camera.paused():
        publisher = rig.session.node.create_publisher(Image, tracker.camera.topic, 100)
        wait_for(lambda: publisher.get_subscription_count() >= 1, 10, "the tracker")
        for _ in range(5):
            publisher.publish(tracker.camera.make())
            tracker.camera.count_others(1)
            time.sleep(0.05)
        rig.session.run(lambda: rig.session.node.destroy_publisher(publisher))


@fault()
def bad_camera_description(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    publisher = rig.session.node.create_publisher(SpectralInfo, "/spectral_info", qos.make_info_profile())
    with contextlib.suppress(WaitTimeoutError):
        wait_for(publisher.get_subscription_count, 5, "the tracker")
    publisher.publish(SpectralInfo(wavelengths=[float("nan")] * 16, mosaic_rows=4))
    time.sleep(0.5)
    good = SpectralInfo(wavelengths=[460.0 + 11 * band for band in range(16)])
    publisher.publish(good)
    time.sleep(0.5)
    rig.session.run(lambda: rig.session.node.destroy_publisher(publisher))


# Requests


def _call(rig: Rig, kind: Any, name: str, request: Any) -> Any:
    """Call a service. Return None if DDS loses the response, or the service is gone."""
    try:
        return rig.session.call(kind, name, request, 15.0)
    except ServiceError:
        return None


def _change_state(rig: Rig, node: str, transition: int) -> None:
    request = ChangeState.Request(transition=Transition(id=transition))
    _call(rig, ChangeState, f"{node}/change_state", request)


def _set_parameters(rig: Rig, node: str, **values: Any) -> None:
    parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    _call(rig, SetParameters, f"{node}/set_parameters", SetParameters.Request(parameters=parameters))


def _storm(rig: Rig, kind: Any, name: str, make: Callable[[], Any], number: int) -> None:
    """Send many requests at once, and check that each is answered."""
    client = rig.session.node.create_client(kind, name, qos_profile=qos.make_service_profile())
    try:
        client.wait_for_service(10)
        wait_for(client.call_async(make()).done, 10, "the first answer")
        calls = [client.call_async(make()) for _ in range(number)]
        wait_for(lambda: all(call.done() for call in calls), 30, f"{number} answers of {name}")
    finally:
        rig.session.run(lambda: rig.session.node.destroy_client(client))


@fault(limit_s=30, is_quick=True)
def service_storm(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    _storm(rig, Trigger, f"{tracker.node}/reset", Trigger.Request, int(rng.integers(20, 100)))


@fault(limit_s=30)
def many_clients(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    seconds = rng.uniform(3, 10)
    with subprocess.Popen(
        python_command("-c", _CLIENTS, f"{tracker.node} {seconds}"), stdout=subprocess.PIPE, text=True
    ) as clients:
        output, _ = clients.communicate(timeout=120)
    num_calls, num_answers = map(int, output.split()[1:])
    if num_answers != num_calls:
        raise RuntimeError(f"{num_calls} calls, {num_answers} answers")


@fault(limit_s=30)
def target_storm(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    hsi = rig.trackers[1]
    box = track_messages.to_box(np.array([20.0, 20, 24, 24]))
    _storm(rig, SetTarget, f"{hsi.node}/set_target", lambda: SetTarget.Request(box=box), 40)
    _storm(rig, Trigger, f"{hsi.node}/reset", Trigger.Request, 1)


@fault()
def parameter_storm(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    def make() -> Any:
        value = Parameter("max_age", value=float(rng.choice([-1.0, 0.0]))).to_parameter_msg()
        return SetParameters.Request(parameters=[value])

    _storm(rig, SetParameters, f"{tracker.node}/set_parameters", make, 100)
    _set_parameters(rig, tracker.node, max_age=0.0)


@fault(limit_s=30)
def model_reload_under_load(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    for model in ("", "/absent.yaml", ""):
        _call(rig, ReloadModel, f"{tracker.node}/reload_model", ReloadModel.Request(model=model))


@fault(limit_s=_START_S, keeps_counters=False)
def lifecycle_in_disorder(rig: Rig, tracker: Tracker, rng: np.random.Generator) -> None:
    transitions = [Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP]
    transitions += [Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE]
    for transition in (*rng.permutation(transitions), *transitions[2:]):
        _change_state(rig, tracker.node, int(transition))
