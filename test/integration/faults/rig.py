"""Rig of the fault suite: both trackers, recorder and visualizer as processes that are started again."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from codes import Code
from numpy.typing import NDArray
from remote_sensing_tracking.msg import TargetTrackArray, TrackArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from tracking_runtime.messages.conversion import read_stamp_ns
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.conversions import image_messages, track_messages
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import WaitTimeoutError, wait_for

FATES = ("processed", "dropped", "refused", "failed", "lost")
_FOLDER = Path(__file__).resolve().parent
_QUIET_S = 0.3  # time without frames before the counters are compared
_ACCOUNT_S = 6.0  # longest wait for the counters of the last frame
_STANDSTILL_S = 1.3  # time without a change, after which the counters stand still
RESPAWN_S = 0.5
"""Time after which an ended process is started again, in seconds."""


class FaultyNodeProcess(NodeProcess):
    """Process of one of the nodes in `faulty_nodes.py`."""

    def _make_command(self) -> list[str]:
        python, _, _, *options = super()._make_command()
        return [python, str(_FOLDER / "faulty_nodes.py"), self.name, *options]


class Respawned:
    """Process of a node that is started again whenever it ends, as launch does with use_respawn.

    Attributes:
        process: newest process.
        exits: exit statuses of the processes that have ended.
    """

    def __init__(self, make: Callable[[int], NodeProcess]) -> None:
        self._make = make
        self.exits: list[int] = []
        self._is_closing = threading.Event()
        self.process = make(0)
        self.process.start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Id of the newest process."""
        return self.process.pid

    def _watch(self) -> None:
        # The thread starts the processes, which end with the thread that started them.
        while not self._is_closing.wait(RESPAWN_S):
            if not self.process.is_running:
                self.exits.append(self.process.wait(1))
                process = self._make(len(self.exits))
                process.start()
                self.process = process
        self.last_exit = self.process.stop()

    def close(self) -> int:
        """End the process by SIGINT and return its exit status."""
        self._is_closing.set()
        self._thread.join()
        return self.last_exit


class FaultCamera:
    """Camera that sends frames at a rate from a thread, with stamps that end in a fault's code.

    Attributes:
        num_published: number of published frames.
        offset_ns: difference of the stamps from the clock, in nanoseconds.
    """

    def __init__(
        self, session: RosSession, topic: str, images: list[NDArray[Any]], encoding: str, rate_hz: float
    ):
        self.publisher = session.node.create_publisher(Image, topic, 100)
        self.num_published = 0
        self.offset_ns = 0
        self.topic = topic
        self._images = images
        self._encoding = encoding
        self._period_s = 1 / rate_hz
        self._lock = threading.RLock()
        self._is_paused = threading.Event()
        self._is_closing = threading.Event()
        self._last_stamp_ns = 0
        self._thread = threading.Thread(target=self._send_frames, daemon=True)
        self._thread.start()

    def make(self, code: int = Code.NONE, stamp_ns: int | None = None) -> Image:
        """Return the message of the next frame."""
        image = self._images[self.num_published % len(self._images)]
        if stamp_ns is None:
            stamp_ns = time.time_ns() // 1000 * 1000 + self.offset_ns + code
        return self.encode(image, self._encoding, stamp_ns)

    def encode(self, image: NDArray[Any], encoding: str, stamp_ns: int | None = None) -> Image:
        """Return the message of an image."""
        stamp_ns = stamp_ns or time.time_ns() // 1000 * 1000 + self.offset_ns
        header = Header(stamp=track_messages.to_time(stamp_ns), frame_id="camera")
        return image_messages.make_image_message(image, encoding, header)

    def send(self, message: Image | None = None) -> int:
        """Send a message, or the next frame, and return its stamp."""
        with self._lock:
            message = message or self.make()
            self.publisher.publish(message)
            self.num_published += 1
            return read_stamp_ns(message)

    def count_others(self, number: int) -> None:
        """Count frames that another publisher has sent on the topic."""
        with self._lock:
            self.num_published += number

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Send no frames by itself in the block."""
        self._is_paused.set()
        with self._lock:
            pass
        try:
            yield
        finally:
            self._is_paused.clear()

    def close(self) -> None:
        """End the thread."""
        self._is_closing.set()
        self._thread.join()

    def _send_frames(self) -> None:
        while not self._is_closing.wait(self._period_s):
            with self._lock:
                if not self._is_paused.is_set():
                    self.send()


@dataclass
class Usage:
    """Resources of a process after a fault."""

    pid: int
    threads: int
    handles: int
    memory_mb: float


@dataclass
class Tracker:
    """Tracker under test, with its camera.

    Attributes:
        node: name of the node with its namespace.
        process: process, started again when it ends.
        camera: camera of the tracker.
        client: client of its lifecycle and diagnosis.
        tracks: received tracks.
    """

    node: str
    process: Respawned
    camera: FaultCamera
    client: LifecycleClient
    tracks: list[Any]
    _base: tuple[int, int, int] = field(default=(0, 0, 0))

    @property
    def diagnosis(self) -> Diagnosis:
        """Newest diagnosis."""
        return self.client.diagnosis or Diagnosis(DiagnosticLevel.ERROR, "no diagnosis yet")

    def is_healthy(self, since_ns: int) -> bool:
        """Return whether a frame from after a time was tracked, and a later diagnosis has no error."""
        is_tracked = any(read_stamp_ns(message) > since_ns for message in self.tracks[-20:])
        is_later = self.client.diagnosis_stamp_ns > since_ns
        diagnosis = self.diagnosis
        is_active = diagnosis.values.get("state") == "active"
        return is_tracked and is_later and is_active and diagnosis.level != DiagnosticLevel.ERROR

    def measure(self) -> Usage:
        """Measure the resources of the process."""
        process = psutil.Process(self.process.pid)
        memory_mb = process.memory_info().rss / 1e6
        return Usage(process.pid, process.num_threads(), process.num_fds(), round(memory_mb, 1))

    def find_difference(self) -> str:
        """Compare the counters with the published frames of a paused camera.

        Returns:
            the difference as text; empty if there is none, or if the process is another one since.
        """
        pid, counted_before, published_before = self._base
        published = self.camera.num_published

        def is_right() -> bool:
            return self._count() - counted_before == published - published_before

        difference = ""
        is_right_life = pid == self.process.pid and counted_before <= self._count()
        if is_right_life:
            with contextlib.suppress(WaitTimeoutError):
                wait_for(is_right, _ACCOUNT_S)
                self._base = (pid, self._count(), published)
                return ""
            if counted_before <= self._count():
                counted = self._count() - counted_before
                difference = f"{self.node}: {counted} counted, {published - published_before} published"
        self._begin_account()
        return difference

    def _begin_account(self) -> None:
        """Begin a new account as soon as the counters stand still."""
        last, since_s = -1, time.monotonic()
        while time.monotonic() - since_s < _STANDSTILL_S:
            if self._count() != last:
                last, since_s = self._count(), time.monotonic()
            time.sleep(0.05)
        self._base = (self.process.pid, last, self.camera.num_published)

    def _count(self) -> int:
        values = self.diagnosis.values
        return sum(int(values.get(f"frames_{fate}", 0)) for fate in FATES)


def check_accounts(trackers: Sequence[Tracker]) -> str:
    """Pause all cameras, compare all counters, and return the differences as text."""
    with contextlib.ExitStack() as pauses:
        for tracker in trackers:
            pauses.enter_context(tracker.camera.paused())
        time.sleep(_QUIET_S)
        for tracker in trackers:
            tracker.camera.send()  # shows the gap that lost frames leave
        return "; ".join(filter(None, [tracker.find_difference() for tracker in trackers]))


class Rig:
    """Both trackers with cameras, recorder and visualizer.

    Args:
        session: session of the suite.
        folder: folder of logs and recordings.
        environment: environment variables of the processes.
    """

    def __init__(self, session: RosSession, folder: Path, environment: Mapping[str, str]) -> None:
        self.session = session
        self.folder = folder
        self.environment = dict(environment)
        path = os.pathsep.join([str(_FOLDER), os.environ.get("PYTHONPATH", "")])
        self.environment["PYTHONPATH"] = path
        rng = np.random.default_rng(0)
        scene = rng.integers(40, 80, (96, 128), dtype=np.uint8)
        frames = []
        for number in range(16):
            frame = scene.copy()
            frame[30:34, 10 + 4 * number : 15 + 4 * number] = 220
            frames.append(frame)
        cubes = [np.repeat(frame[..., None], 16, axis=2).astype(np.uint16) * 4 for frame in frames]
        self.trackers = [
            self._start_tracker("spax_tracker", frames, "mono8", TrackArray, {}),
            self._start_tracker(
                "hsi_tracker", cubes, "16UC16", TargetTrackArray, {"start_box": [20.0, 20.0, 24.0, 24.0]}
            ),
        ]
        topics = ["/spax_tracker/image", "/spax_tracker/tracks", "/hsi_tracker/tracks", "/diagnostics"]
        self.recorder = self.start(
            "tracking_runtime.nodes.recorder", "recorder", {"topics": topics}, bag=True
        )
        self.visualizer = self.start(
            "tracking_runtime.nodes.visualizer", "visualizer", {"tracker": "satellite"},
            {"image": "/spax_tracker/image", "tracks": "/spax_tracker/tracks"},
        )  # fmt: skip
        self.others = {"recorder": self.recorder, "visualizer": self.visualizer}
        self.clients = {name: LifecycleClient(session, f"/{name}") for name in self.others}
        self._overlays = session.listen(Image, "/visualizer/overlay", 10)

    def start(
        self,
        module: str,
        name: str,
        parameters: Mapping[str, Any],
        remappings: Mapping[str, str] | None = None,
        *,
        bag: bool = False,
    ) -> Respawned:
        """Start a node that is started again when it ends."""

        def make(number: int) -> NodeProcess:
            folder = self.folder / f"{name}_{number}"
            own = {"output": str(folder / "bag")} if bag else {}
            kind = FaultyNodeProcess if not module else NodeProcess
            return kind(
                module,
                name,
                folder,
                {"autostart": True, **parameters, **own},
                remappings or {},
                self.environment,
            )

        return Respawned(make)

    def _start_tracker(
        self, name: str, images: list[NDArray[Any]], encoding: str, kind: Any, parameters: Mapping[str, Any]
    ) -> Tracker:
        topic = f"/{name}/image"
        overrides = {
            f"qos_overrides.{topic}.subscription.reliability": "reliable",
            f"qos_overrides.{topic}.subscription.depth": 500,
        }
        given = {"engine": "pytorch", "max_frame_time": 4.0, **overrides, **parameters}
        process = self.start("", name, given, {"image": topic})
        camera = FaultCamera(self.session, topic, images, encoding, 8.0)
        client = LifecycleClient(self.session, f"/{name}")
        tracks = self.session.listen(kind, f"/{name}/tracks", qos.make_track_profile())
        return Tracker(f"/{name}", process, camera, client, tracks)

    def is_healthy(self, since_ns: int, started_ns: int) -> bool:
        """Return whether all nodes work.

        Args:
            since_ns: time of the clock after which trackers must have tracked, in nanoseconds.
            started_ns: time of the clock after which the other nodes must have reported, in nanoseconds.
        """
        are_others_fine = all(
            client.diagnosis_stamp_ns > started_ns
            and client.diagnosis is not None
            and client.diagnosis.values.get("state") == "active"
            and client.diagnosis.level != DiagnosticLevel.ERROR
            for client in self.clients.values()
        )
        return are_others_fine and all(tracker.is_healthy(since_ns) for tracker in self.trackers)

    def describe(self) -> str:
        """Return the state of all nodes for a message."""
        diagnoses = {tracker.node: tracker.diagnosis for tracker in self.trackers}
        diagnoses |= {name: client.diagnosis for name, client in self.clients.items()}
        return "; ".join(
            f"{name}: {diagnosis.level.name if diagnosis else 'none'} {diagnosis and diagnosis.message}"
            for name, diagnosis in diagnoses.items()
        )

    def close(self) -> dict[str, int]:
        """End all processes and return their exit statuses."""
        for tracker in self.trackers:
            tracker.camera.close()
        processes = {tracker.node.lstrip("/"): tracker.process for tracker in self.trackers} | self.others
        return {name: process.close() for name, process in processes.items()}


def python_command(*arguments: str) -> list[str]:
    """Return the command line of a Python program."""
    return [sys.executable, *arguments]
