"""Session of a demo scenario: player, tracker, visualizer and recorder as processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from remote_sensing_tracking.msg import TargetTrackArray, TrackArray
from sensor_msgs.msg import Image

from tracking_runtime.boxes import Boxes
from tracking_runtime.demo.scenario import (
    TRUTH_TOPIC,
    DemoPlan,
    DemoScenario,
    ProgressCallback,
    SessionResult,
)
from tracking_runtime.errors import TrackingError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import read_image, read_stamp_ns, read_truth
from tracking_runtime.messages.image_encodings import encode_jpeg
from tracking_runtime.reports.report_data import FrameAccounting
from tracking_runtime.ros.clients import HsiTrackerClient, LifecycleClient, RequestRefusedError
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import BESIDES_ENGINE, read_stages
from tracking_runtime.ros.processes import (
    NodeProcess,
    make_local_environment,
    reserve_domain,
    set_environment,
)
from tracking_runtime.ros.session import RosSession, ServiceError
from tracking_runtime.ros.waiting import wait_for
from tracking_runtime.timing import StageSummary

T = TypeVar("T")

IMAGE_TOPIC = "/image"
OVERLAY_TOPIC = "/visualizer/overlay"
_TRACKS_TYPES = {"hsi": TargetTrackArray, "satellite": TrackArray}  # message type by the visualizer's view
_NUM_IMAGE_SUBSCRIBERS = 2  # tracker and recorder; the player waits for both before the first image
_NUM_LOG_LINES = 25  # lines of a node's log in an error message
_START_TIMEOUT_S = 60.0
_CONFIGURE_TIMEOUT_S = 180.0
_FIRST_FRAME_TIMEOUT_S = 60.0
_MAX_FRAME_S = 5.0  # longest processing time of a frame, for the timeout of the playback
_ACCOUNTING_TIMEOUT_S = 30.0  # longest time from the last frame until all frames are accounted for
_JPEG_QUALITY = 90


class SessionError(TrackingError, RuntimeError):
    """A scenario that could not be finished. The message ends with the log of the node that failed."""


def run_session(
    scenario: DemoScenario, plan: DemoPlan, folder: Path, on_progress: ProgressCallback
) -> SessionResult:
    """Start all nodes, play and record every frame of a scenario, and stop the nodes.

    Args:
        scenario: scenario of a tracker.
        plan: source and model of the scenario.
        folder: folder of the bag and of the nodes' logs.
        on_progress: called repeatedly with the stage of the session and the number of played frames.

    Raises:
        SessionError: a node ended, refused a request, or did not finish in time.
    """
    with (
        reserve_domain() as domain_id,
        set_environment(make_local_environment(domain_id)),
        DemoSession(scenario, plan, folder, on_progress) as session,
    ):
        return session.run(domain_id)


class DemoSession:
    """Session of one scenario. As a `DemoControl`, it also serves the scenario.

    Args:
        scenario: scenario of a tracker.
        plan: source and model of the scenario.
        folder: folder of the bag and of the nodes' logs.
        on_progress: called repeatedly with the stage of the session and the number of played frames.
    """

    def __init__(
        self, scenario: DemoScenario, plan: DemoPlan, folder: Path, on_progress: ProgressCallback
    ) -> None:
        self._scenario = scenario
        self._plan = plan
        self._bag = folder / "bag"
        self._nodes = _DemoNodes(_make_processes(scenario, plan, folder))
        self._messages = _ReceivedMessages()
        self._on_progress = on_progress
        self._num_played = 0
        self._reported_progress = ("", 0)
        self._stack = ExitStack()

    def __enter__(self) -> DemoSession:
        return self

    def __exit__(self, *_: object) -> None:
        with _defer_signals():
            self._nodes.interrupt()
            self._stack.close()

    def run(self, domain_id: int) -> SessionResult:
        """Run the scenario from the start of the nodes to the finished bag.

        Args:
            domain_id: ROS domain of the nodes.

        Raises:
            SessionError: a node ended, refused a request, or did not finish in time.
        """
        tracker = self._scenario.node
        self._start_nodes(domain_id)
        self._activate_nodes()
        self._report("waiting for the first frame")
        self._nodes.call(tracker, lambda: self._scenario.on_playback_start(self))
        seconds = self._wait_for_playback()
        self._report("closing the recording")
        diagnostics = dict(self._nodes.get_diagnostics(tracker))
        accounting = _make_accounting(self._nodes.get_diagnostics("player"), diagnostics)
        for name in (tracker, "visualizer", "recorder"):
            self._nodes.call(name, self._nodes.clients[name].deactivate)
        return SessionResult(
            bag=self._bag,
            seconds=seconds,
            accounting=accounting,
            stage_summaries=_read_stage_summaries(diagnostics),
            tracker_diagnostics=diagnostics,
            overlays=dict(self._messages.overlays),
        )

    def wait_for_object(self) -> tuple[int, GroundTruth]:
        """Wait for a processed frame that shows an object. Return stamp and ground truth of the newest.

        Raises:
            SessionError: there was no such frame in time.
        """
        return self._nodes.wait(
            self._scenario.node,
            self._messages.find_newest_object,
            _FIRST_FRAME_TIMEOUT_S,
            "a processed frame with an object",
        )

    def set_target(self, box: Boxes, stamp_ns: int) -> None:
        """Set the tracker's target.

        Args:
            box: box of the target in pixels, (4,): x, y, width, height.
            stamp_ns: stamp of the frame of the box in nanoseconds.
        """
        HsiTrackerClient(self._session, f"/{self._scenario.node}").set_target(box, stamp_ns=stamp_ns)

    def _start_nodes(self, domain_id: int) -> None:
        self._report("starting the nodes")
        with _defer_signals():
            for process in self._nodes.processes.values():
                self._stack.enter_context(process)
        self._session = self._stack.enter_context(RosSession("demo", domain_id))
        self._messages.subscribe(self._session, self._scenario)
        self._nodes.wait(self._scenario.node, self._are_nodes_visible, _START_TIMEOUT_S, "the nodes")
        self._nodes.connect(self._session)

    def _activate_nodes(self) -> None:
        """Configure all nodes and activate them. The tracker comes last, once it has the camera's bands."""
        tracker = self._scenario.node
        for name, client in self._nodes.clients.items():
            self._report(f"configuring {name}")
            self._nodes.call(name, client.configure)
        for name in ("visualizer", "recorder", "player"):
            self._nodes.call(name, self._nodes.clients[name].activate)
        self._nodes.wait(
            tracker, self._is_tracker_ready, _CONFIGURE_TIMEOUT_S, f"{tracker} ready for the camera"
        )
        self._nodes.call(tracker, self._nodes.clients[tracker].activate)

    def _wait_for_playback(self) -> float:
        """Wait until every frame is played and accounted for. Return the time in seconds."""
        clock = self._session.node.get_clock()
        start = clock.now()
        timeout_s = _FIRST_FRAME_TIMEOUT_S + _MAX_FRAME_S * self._plan.num_frames
        self._nodes.wait(
            self._scenario.node, self._is_playback_finished, timeout_s, "the player's last frame"
        )
        with suppress(TimeoutError):
            wait_for(self._is_accounting_exact, _ACCOUNTING_TIMEOUT_S)
        return float((clock.now() - start).nanoseconds / 1e9)

    def _are_nodes_visible(self) -> bool:
        return set(self._nodes.processes) <= set(self._session.node.get_node_names())

    def _is_tracker_ready(self) -> bool:
        return self._scenario.is_ready(self._nodes.get_diagnostics(self._scenario.node))

    def _is_playback_finished(self) -> bool:
        diagnostics = self._nodes.get_diagnostics("player")
        self._num_played = max(len(self._messages.truth_by_stamp), int(diagnostics.get("published", 0)))
        self._report("playing")
        return diagnostics.get("finished") == "true"

    def _is_accounting_exact(self) -> bool:
        player_diagnostics = self._nodes.get_diagnostics("player")
        tracker_diagnostics = self._nodes.get_diagnostics(self._scenario.node)
        return _make_accounting(player_diagnostics, tracker_diagnostics).is_exact

    def _report(self, stage: str) -> None:
        if self._reported_progress != (stage, self._num_played):
            self._reported_progress = (stage, self._num_played)
            self._on_progress(stage, self._num_played)


class _DemoNodes:
    """Nodes of a session: their processes and the clients of their lifecycles, by the node's name.

    Args:
        processes: processes of the nodes, not yet started.
    """

    def __init__(self, processes: Mapping[str, NodeProcess]) -> None:
        self.processes = processes
        self.clients: dict[str, LifecycleClient] = {}

    def connect(self, session: RosSession) -> None:
        """Create a client for each node."""
        self.clients = {
            name: LifecycleClient(session, f"/{name}", _CONFIGURE_TIMEOUT_S) for name in self.processes
        }

    def get_diagnostics(self, name: str) -> Mapping[str, Any]:
        """Return the last diagnostics of a node by key; empty before the first."""
        diagnosis = self.clients[name].diagnosis
        return diagnosis.values if diagnosis else {}

    def call(self, name: str, request: Callable[[], object]) -> None:
        """Call a function that sends requests to a node.

        Raises:
            SessionError: the node refused or did not answer.
        """
        try:
            request()
        except (RequestRefusedError, ServiceError) as error:
            raise self._make_error(name, str(error)) from error

    def wait(self, name: str, condition: Callable[[], T | None], timeout_s: float, description: str) -> T:
        """Wait until the value of a condition is true, and return this value.

        Args:
            name: node whose log is shown after a timeout.
            condition: function without arguments.
            timeout_s: longest time to wait, in seconds.
            description: description of the condition for messages.

        Raises:
            SessionError: the time was exceeded, or a node ended or reported an error.
        """

        def check_condition() -> T | None:
            self._check()
            return condition()

        try:
            value = wait_for(check_condition, timeout_s, description)
        except TimeoutError as error:
            raise self._make_error(name, str(error)) from error
        assert value is not None
        return value

    def interrupt(self) -> None:
        """Interrupt all running processes, so that they end at the same time."""
        for process in self.processes.values():
            if process.is_running:
                process.interrupt()

    def _check(self) -> None:
        for name, process in self.processes.items():
            if not process.is_running:
                raise self._make_error(name, "the process ended")
        for name in self.clients:
            if error := self.get_diagnostics(name).get("last_error"):
                raise self._make_error(name, error)

    def _make_error(self, name: str, reason: str) -> SessionError:
        process = self.processes[name]
        lines = process.log.splitlines()[-_NUM_LOG_LINES:]
        log = "\n".join(f"  {line}" for line in lines) or "  (empty)"
        return SessionError(f"{name}: {reason}\nThe end of {process.log_path}:\n{log}")


class _ReceivedMessages:
    """Messages that a session has received.

    Attributes:
        truth_by_stamp: ground truth of each played frame by stamp.
        processed_stamps: stamps of the processed frames in nanoseconds.
        overlays: images of the visualizer as JPEG, by stamp.
    """

    def __init__(self) -> None:
        self.truth_by_stamp: dict[int, GroundTruth] = {}
        self.processed_stamps: list[int] = []
        self.overlays: dict[int, bytes] = {}

    def subscribe(self, session: RosSession, scenario: DemoScenario) -> None:
        """Subscribe to the ground truth, the tracks and the overlay."""
        node = session.node
        tracks_type = _TRACKS_TYPES[scenario.view]
        tracks_profile = qos.make_track_profile()
        node.create_subscription(TrackArray, TRUTH_TOPIC, self._store_truth, tracks_profile)
        node.create_subscription(tracks_type, scenario.tracks_topic, self._store_tracks, tracks_profile)
        node.create_subscription(Image, OVERLAY_TOPIC, self._store_overlay, qos.make_sensor_profile())

    def find_newest_object(self) -> tuple[int, GroundTruth] | None:
        """Return stamp and truth of the newest processed frame that shows an object; None without one."""
        for stamp_ns in reversed(list(self.processed_stamps)):
            truth = self.truth_by_stamp.get(stamp_ns)
            if truth and len(truth.ids):
                return stamp_ns, truth
        return None

    def _store_truth(self, message: TrackArray) -> None:
        self.truth_by_stamp[read_stamp_ns(message)] = read_truth(message)

    def _store_tracks(self, message: TargetTrackArray | TrackArray) -> None:
        self.processed_stamps.append(read_stamp_ns(message))

    def _store_overlay(self, message: Image) -> None:
        frame = read_image(message)
        self.overlays[frame.stamp_ns] = encode_jpeg(frame.image, _JPEG_QUALITY)


def _make_processes(scenario: DemoScenario, plan: DemoPlan, folder: Path) -> dict[str, NodeProcess]:
    """Return the processes of all nodes by name: tracker, visualizer, recorder and player."""
    tracks_remapping = {"tracks": scenario.tracks_topic}
    recorded_topics = [IMAGE_TOPIC, "/spectral_info", TRUTH_TOPIC, scenario.tracks_topic, "/diagnostics"]
    processes = [
        NodeProcess(
            scenario.module,
            scenario.node,
            folder,
            {
                "model": plan.model,
                **scenario.parameters,
                **qos.make_lossless_overrides(IMAGE_TOPIC, "subscription"),
            },
        ),
        NodeProcess(
            "tracking_runtime.nodes.visualizer",
            "visualizer",
            folder,
            {"tracker": scenario.view, "scale": scenario.image_scale},
            {"image": scenario.image_topic, **tracks_remapping},
        ),
        NodeProcess(
            "tracking_runtime.nodes.recorder",
            "recorder",
            folder,
            {"topics": recorded_topics, "output": str(folder / "bag")},
        ),
        NodeProcess(
            "tracking_runtime.nodes.player",
            "player",
            folder,
            {
                "source": plan.source,
                "rate": plan.rate_hz,
                "wait_for_subscribers": _NUM_IMAGE_SUBSCRIBERS,
                **qos.make_lossless_overrides(IMAGE_TOPIC, "publisher"),
            },
            tracks_remapping,
        ),
    ]
    return {process.name: process for process in processes}


def _make_accounting(
    player_diagnostics: Mapping[str, str], tracker_diagnostics: Mapping[str, str]
) -> FrameAccounting:
    fates = ("processed", "dropped", "refused", "failed", "lost")
    counts = {fate: int(tracker_diagnostics.get(f"frames_{fate}", 0)) for fate in fates}
    return FrameAccounting(published=int(player_diagnostics.get("published", -1)), **counts)


def _read_stage_summaries(diagnostics: Mapping[str, str]) -> dict[str, StageSummary]:
    """Read the durations of the stages from diagnostics, in their order but with the total last."""
    stages = {name: stage for name, stage in read_stages(diagnostics).items() if name != BESIDES_ENGINE}
    return {name: stages[name] for name in sorted(stages, key=lambda name: name == "total")}


@contextmanager
def _defer_signals() -> Iterator[None]:
    """Defer SIGINT and SIGTERM to the end of the block, so that no process stays half started or ended."""
    received: list[int] = []
    previous_handlers = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for deferred_signal, handler in previous_handlers.items():
            signal.signal(deferred_signal, handler)
        for number in received[:1]:
            signal.raise_signal(number)
