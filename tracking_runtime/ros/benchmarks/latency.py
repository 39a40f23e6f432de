"""How long it takes from a camera to a tracker's tracks, and what the node takes while no frames come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from sensor_msgs.msg import Image

from tracking_runtime.messages.conversion import restamped, stamp_ns
from tracking_runtime.nodes.playback_clock import SteadyPace
from tracking_runtime.nodes.raw_subscriptions import message_class
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Value, stages_of
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for
from tracking_runtime.timing import StageSummary, StageTimes

FATES = ("processed", "dropped", "refused", "failed", "lost")
_FIRST_FRAME_S = 60.0
_ACCOUNT_S = 30.0


@dataclass(frozen=True)
class Passage:
    """How frames fared from the camera's call of publish to the callback of their tracks.

    Attributes:
        published: frames.
        fates: how many of them were processed, dropped, refused, failed and lost.
        start_s: from the start of the node's process to its first tracks, in seconds.
        idle_cpu_percent: of a core, taken by the active node after the last frame.
        latency: from publish to tracks; of the processed ones.
        transport: of that, before the node's callback and after its call of publish.
        stages: durations within the node, as it says itself.
        engine: what runs the network.
    """

    published: int
    fates: Mapping[str, int]
    start_s: float
    idle_cpu_percent: float
    latency: StageSummary
    transport: StageSummary
    stages: Mapping[str, StageSummary]
    engine: str

    @property
    def besides_engine_ms(self) -> tuple[float, float]:
        """p50 and p95 of all but the engine and the wait for it: transport, and what else the node does."""
        inside = self.stages["besides_engine"]
        return self.transport.p50 + inside.p50, self.transport.p95 + inside.p95

    @property
    def is_accounted(self) -> bool:
        """Whether every frame is in exactly one of the fates."""
        return sum(self.fates.values()) == self.published


def to_and_fro(images: Sequence[bytes]) -> Iterator[bytes]:
    """Images forwards and backwards without end, so that what moves never jumps."""
    return cycle([*images, *reversed(images[1:-1])])


def measure_passage(
    session: RosSession,
    process: NodeProcess,
    images: Sequence[bytes],
    count: int,
    rate_hz: float,
    idle_s: float,
    progress: Callable[[int], object],
) -> Passage:
    """Send frames to a node at a steady rate, and take the time until their tracks are back.

    Args:
        session: in the node's domain.
        process: of the tracker, its node unconfigured.
        images: serialised, sent forwards and backwards in turns.
        count: how many frames to send.
        rate_hz: how often.
        idle_s: how long the active node is left without frames at last, in seconds.
        progress: called with the number of frames sent.

    Raises:
        TimeoutError: the node does not answer the first frame.
    """
    node = LifecycleClient(session, f"/{process.name}")
    camera = session.node.create_publisher(Image, "/image", qos.sensor())
    node.start()
    received = _listen(session, f"/{process.name}/tracks")
    wait_for(camera.get_subscription_count, _FIRST_FRAME_S, f"a subscription of {process.name}")
    sent: dict[int, int] = {}
    frames = to_and_fro(images)

    def publish(image: bytes) -> None:
        stamp = session.node.get_clock().now().nanoseconds
        message = restamped(image, stamp)
        sent[stamp] = time.monotonic_ns()
        camera.publish(message)

    publish(next(frames))
    wait_for(lambda: received, _FIRST_FRAME_S, f"the first tracks of {process.name}")
    pace = SteadyPace(rate_hz)
    for number, image in enumerate(islice(frames, count - 1), start=2):
        pace.wait_turn()
        publish(image)
        progress(number)
    values = _settled(node, count)
    idle = _cpu_percent(process.pid, idle_s)
    start_s = received[0][0] / 1e9 - process.started_s
    return _passage(count, values, start_s, idle, sent, received[1:])


def _listen(session: RosSession, topic: str) -> list[tuple[int, Any]]:
    """Grows by each message of a topic and when it came."""
    received: list[tuple[int, Any]] = []
    types = wait_for(
        lambda: dict(session.node.get_topic_names_and_types()).get(topic, []), what=f"a publisher of {topic}"
    )
    session.node.create_subscription(
        message_class(types[0]), topic, lambda m: received.append((time.monotonic_ns(), m)), qos.track()
    )
    wait_for(lambda: session.node.count_publishers(topic), what=f"the connection to {topic}")
    return received


def _settled(node: LifecycleClient, count: int) -> Mapping[str, Value]:
    """What the node says once it accounts for every frame, or says no more that is new."""

    def settled() -> bool:
        values = node.diagnosis.values if node.diagnosis else {}
        return sum(int(values.get(f"frames_{fate}", 0)) for fate in FATES) >= count

    with suppress(TimeoutError):  # a lost last frame leaves no gap to tell it by
        wait_for(settled, _ACCOUNT_S)
    return node.diagnosis.values if node.diagnosis else {}


def _passage(
    count: int,
    values: Mapping[str, Value],
    start_s: float,
    idle: float,
    sent: Mapping[int, int],
    received: Sequence[tuple[int, Any]],
) -> Passage:
    times = StageTimes(window=count)
    for came_ns, message in received:
        latency = (came_ns - sent[stamp_ns(message)]) / 1e6
        times.add("latency", latency)
        times.add("transport", latency - message.latency.sec * 1e3 - message.latency.nanosec / 1e6)
    ends = times.summary()
    return Passage(
        count,
        {fate: int(values.get(f"frames_{fate}", 0)) for fate in FATES},
        start_s,
        idle,
        ends["latency"],
        ends["transport"],
        stages_of(values),
        str(values.get("engine", "")),
    )


def _cpu_percent(pid: int, seconds: float) -> float:
    """Share of a core that a process takes from now on, in percent."""
    before, started = _cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (_cpu_s(pid) - before) / (time.monotonic() - started)


def _cpu_s(pid: int) -> float:
    """Seconds that a process has run, as its scheduler counts them."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread ended
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9
