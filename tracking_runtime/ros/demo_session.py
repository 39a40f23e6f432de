"""Flying: player, tracker, visualizer and recorder as processes, from the first frame to a finished bag."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
from remote_sensing_tracking.msg import TargetTrackArray, TrackArray
from sensor_msgs.msg import Image

from tracking_runtime.boxes import Boxes
from tracking_runtime.demo.scenario import TRUTH_TOPIC, Flight, Plan
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import read_image, read_truth, stamp_ns
from tracking_runtime.reports.report_data import Accounting
from tracking_runtime.ros.clients import HsiTrackerClient, LifecycleClient, RequestRefused
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import BESIDES_ENGINE, stages_of
from tracking_runtime.ros.processes import NodeProcess, free_domain, local_environment, set_environment
from tracking_runtime.ros.session import RosSession, ServiceError
from tracking_runtime.ros.waiting import wait_for
from tracking_runtime.timing import StageSummary

T = TypeVar("T")
Progress = Callable[[str, int], None]

IMAGE_TOPIC = "/image"
_TRACKS_TYPES = {"hsi": TargetTrackArray, "satellite": TrackArray}
_IMAGE_QOS = f"qos_overrides.{IMAGE_TOPIC}"
_LOSSLESS = {"reliability": "reliable", "depth": 50}
_LISTENERS = 2  # tracker and recorder have to hear the first image
_LOG_LINES = 25
_START_S = 60.0
_CONFIGURE_S = 180.0
_FIRST_FRAME_S = 60.0
_SLOWEST_FRAME_S = 5.0
_ACCOUNT_S = 30.0
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]


class FlightFailed(RuntimeError):
    """A flight could not be finished. The message says why and ends with the log of the node at fault."""


@dataclass
class FlightLog:
    """What a flight brought home beside its bag.

    Attributes:
        bag: the recording.
        seconds: from the first frame played to the last one accounted for.
        accounting: of the frames.
        stages: durations in the tracker, by stage.
        tracker: what the tracker last said of itself, as text by name.
        overlays: JPEG of the visualizer's picture, by the frame's stamp.
    """

    bag: Path
    seconds: float
    accounting: Accounting
    stages: Mapping[str, StageSummary]
    tracker: Mapping[str, str]
    overlays: Mapping[int, bytes] = field(repr=False)


def fly(flight: Flight, plan: Plan, folder: Path, progress: Progress) -> FlightLog:
    """Fly: start all nodes, play, track, show and record every frame, and stop them all.

    Args:
        flight: of which tracker.
        plan: what to play.
        folder: for the bag and the nodes' logs.
        progress: called with the stage of the flight and the number of frames played, ever again.

    Raises:
        FlightFailed: a node ended, refused, or did not come to an end in time.
    """
    with free_domain() as domain, set_environment(local_environment(domain)), ExitStack() as stack:
        crew = _Crew(flight, plan, folder, progress)
        stack.enter_context(crew)
        return crew.fly(domain)


class _Crew:
    """The processes of one flight and the session that speaks to them."""

    def __init__(self, flight: Flight, plan: Plan, folder: Path, progress: Progress) -> None:
        self._flight, self._plan, self._folder, self._progress = flight, plan, folder, progress
        self._bag = folder / "bag"
        self._nodes = {
            flight.node: flight.module,
            "visualizer": "tracking_runtime.nodes.visualizer",
            "recorder": "tracking_runtime.nodes.recorder",
            "player": "tracking_runtime.nodes.player",
        }
        self._processes: dict[str, NodeProcess] = {}
        self._clients: dict[str, LifecycleClient] = {}
        self._played = 0
        self._told = ("", 0)
        self._truth: dict[int, GroundTruth] = {}
        self._processed: list[int] = []
        self._overlays: dict[int, bytes] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        with _signals_later():
            self._interrupt()
            self._stack.close()

    def fly(self, domain: int) -> FlightLog:
        """The whole flight."""
        self._tell("starting the nodes")
        with _signals_later():
            for name, module in self._nodes.items():
                self._processes[name] = self._stack.enter_context(
                    NodeProcess(module, name, self._folder, self._parameters(name), self._remappings(name))
                )
        self._session = self._stack.enter_context(RosSession("demo", domain))
        self._listen()
        self._wait(
            lambda: set(self._nodes) <= set(self._session.node.get_node_names()), _START_S, "the nodes"
        )
        self._clients = {
            name: LifecycleClient(self._session, f"/{name}", _CONFIGURE_S) for name in self._nodes
        }
        for name, client in self._clients.items():
            self._tell(f"configuring {name}")
            self._attempt(name, client.configure)
        for name in ("visualizer", "recorder", "player", self._flight.node):
            if name == self._flight.node:
                self._wait(self._is_ready, _CONFIGURE_S, f"{name} ready for the camera")
            self._attempt(name, self._clients[name].activate)
        self._tell("waiting for the first frame")
        self._attempt(self._flight.node, lambda: self._flight.begin(self))
        seconds = self._play()
        self._tell("closing the recording")
        tracker = dict(self._values(self._flight.node))
        accounting = _accounting(self._values("player"), tracker)
        for name in (self._flight.node, "visualizer", "recorder"):
            self._attempt(name, self._clients[name].deactivate)
        return FlightLog(self._bag, seconds, accounting, _stages(tracker), tracker, dict(self._overlays))

    # What a flight may ask of its pilot

    def first_seen(self) -> tuple[int, GroundTruth]:
        """Stamp and truth of the first frame with an object in it that the tracker has processed."""

        def seen() -> tuple[int, GroundTruth] | None:
            known = ((stamp, self._truth.get(stamp)) for stamp in list(self._processed))
            return next(((stamp, truth) for stamp, truth in known if truth and len(truth.ids)), None)

        return self._wait(seen, _FIRST_FRAME_S, "a processed frame with an object in it")

    def set_target(self, box: Boxes, stamp_ns: int) -> None:
        """Have the tracker follow what a box holds in the frame of that stamp."""
        HsiTrackerClient(self._session, f"/{self._flight.node}").set_target(box, stamp_ns=stamp_ns)

    # Inside

    def _parameters(self, name: str) -> dict[str, object]:
        if name == self._flight.node:
            heard = {f"{_IMAGE_QOS}.subscription.{key}": value for key, value in _LOSSLESS.items()}
            return {"model": self._plan.model, **self._flight.parameters, **heard}
        if name == "visualizer":
            return {"tracker": self._flight.view, "scale": self._flight.picture_scale}
        if name == "recorder":
            topics = [IMAGE_TOPIC, "/spectral_info", TRUTH_TOPIC, self._flight.tracks_topic, "/diagnostics"]
            return {"topics": topics, "output": str(self._bag)}
        played = {f"{_IMAGE_QOS}.publisher.{key}": value for key, value in _LOSSLESS.items()}
        return {
            "source": self._plan.source,
            "rate": self._plan.rate_hz,
            "wait_for_subscribers": _LISTENERS,
            **played,
        }

    def _remappings(self, name: str) -> dict[str, str]:
        tracks = {"tracks": self._flight.tracks_topic}
        return {
            "visualizer": {"image": self._flight.picture_topic, **tracks},
            "player": tracks,
        }.get(name, {})

    def _listen(self) -> None:
        node = self._session.node
        node.create_subscription(TrackArray, TRUTH_TOPIC, self._take_truth, qos.track())
        tracks_type = _TRACKS_TYPES[self._flight.view]
        node.create_subscription(tracks_type, self._flight.tracks_topic, self._take_tracks, qos.track())
        node.create_subscription(Image, "/visualizer/overlay", self._take_overlay, qos.sensor())

    def _take_truth(self, message: TrackArray) -> None:
        self._truth[stamp_ns(message)] = read_truth(message)

    def _take_tracks(self, message: TargetTrackArray | TrackArray) -> None:
        self._processed.append(stamp_ns(message))

    def _take_overlay(self, message: Image) -> None:
        frame = read_image(message)
        self._overlays[frame.stamp_ns] = cv2.imencode(".jpg", frame.image, _JPEG)[1].tobytes()

    def _play(self) -> float:
        """Wait until every frame is played and accounted for; how long the player and the tracker took."""
        started = self._session.node.get_clock().now()
        self._wait(self._has_played, self._patience_s, "the player's last frame")
        with suppress(TimeoutError):
            wait_for(self._is_accounted, _ACCOUNT_S)
        return float((self._session.node.get_clock().now() - started).nanoseconds / 1e9)

    def _is_ready(self) -> bool:
        return self._flight.is_ready(self._values(self._flight.node))

    def _has_played(self) -> bool:
        values = self._values("player")
        self._played = max(len(self._truth), int(values.get("published", 0)))
        self._tell("flying")
        return values.get("finished") == "true"

    def _is_accounted(self) -> bool:
        return _accounting(self._values("player"), self._values(self._flight.node)).is_exact

    @property
    def _patience_s(self) -> float:
        return _FIRST_FRAME_S + _SLOWEST_FRAME_S * self._plan.frames

    def _values(self, name: str) -> Mapping[str, Any]:
        """What a node last said of itself, as text by name."""
        diagnosis = self._clients[name].diagnosis
        return diagnosis.values if diagnosis else {}

    def _attempt(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (RequestRefused, ServiceError) as error:
            raise self._failed(name, str(error)) from error

    def _wait(self, condition: Callable[[], T | None], timeout_s: float, what: str) -> T:
        """The first true value of a condition; a node that ends or fails meanwhile ends the flight."""

        def met() -> T | None:
            self._check()
            return condition()

        try:
            value = wait_for(met, timeout_s, what)
        except TimeoutError as error:
            raise self._failed(self._flight.node, str(error)) from error
        assert value is not None
        return value

    def _check(self) -> None:
        for name, process in self._processes.items():
            if not process.running:
                raise self._failed(name, "its process ended")
        for name in self._clients:
            if error := self._values(name).get("last_error"):
                raise self._failed(name, error)

    def _failed(self, name: str, reason: str) -> FlightFailed:
        lines = self._processes[name].log.splitlines()[-_LOG_LINES:]
        log = "\n".join(f"  {line}" for line in lines) or "  (empty)"
        return FlightFailed(f"{name}: {reason}\nThe end of {self._processes[name].log_path}:\n{log}")

    def _tell(self, stage: str) -> None:
        if self._told != (stage, self._played):
            self._told = stage, self._played
            self._progress(*self._told)

    def _interrupt(self) -> None:
        """Ask all processes to end at once, so that they need not be waited for one after the other."""
        for process in self._processes.values():
            if process.running:
                process.interrupt()


def _accounting(player: Mapping[str, str], tracker: Mapping[str, str]) -> Accounting:
    def frames(fate: str) -> int:
        return int(tracker.get(f"frames_{fate}", 0))

    return Accounting(
        published=int(player.get("published", -1)),
        processed=frames("processed"),
        dropped=frames("dropped"),
        refused=frames("refused"),
        failed=frames("failed"),
        lost=frames("lost"),
    )


def _stages(tracker: Mapping[str, str]) -> dict[str, StageSummary]:
    """The durations in a diagnosis, in its order, the total last."""
    stages = {name: stage for name, stage in stages_of(tracker).items() if name != BESIDES_ENGINE}
    return {name: stages[name] for name in sorted(stages, key=lambda name: name == "total")}


@contextmanager
def _signals_later() -> Iterator[None]:
    """SIGINT and SIGTERM take effect after the block: no process is left half started or half ended."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
        for number in came[:1]:
            signal.raise_signal(number)
