"""Latency benchmark: time from a camera's publish to a tracker's tracks, and CPU use of an idle node."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from sensor_msgs.msg import Image

from tracking_runtime.messages.conversion import read_stamp_ns, replace_serialized_stamp
from tracking_runtime.messages.definitions import load_message_class
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.conversions.track_messages import to_nanoseconds
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import BESIDES_ENGINE, Value, read_stages
from tracking_runtime.ros.processes import (
    NodeProcess,
    make_local_environment,
    reserve_domain,
    set_environment,
)
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.shared_memory import set_malloc_thresholds
from tracking_runtime.ros.waiting import wait_for
from tracking_runtime.timing import StageSummary, StageTimes

FATES = ("processed", "dropped", "refused", "failed", "lost")
"""Counters of a tracker node; each published frame is in exactly one."""
_FIRST_FRAME_TIMEOUT_S = 60.0
_COUNT_TIMEOUT_S = 30.0  # time after the last frame until the node has counted all of them


@dataclass(frozen=True)
class LatencyMeasurement:
    """Latency of frames from the camera's publish to the callback of their tracks.

    Attributes:
        published: number of published frames.
        fates: number of frames that were processed, dropped, refused, failed and lost.
        start_s: time from the start of the node's process to its first tracks, in seconds.
        idle_cpu_percent: CPU use of the active node after the last frame, in percent of a core.
        latency: time from publish to tracks, of the processed frames.
        transport: time of both transports: before the node's callback and after its publish.
        stages: durations within the node, by its diagnostics.
        engine: description of the engine.
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
        """Time outside of the engine and of the wait for it, in milliseconds: p50 and p95."""
        node = self.stages[BESIDES_ENGINE]
        return self.transport.p50 + node.p50, self.transport.p95 + node.p95

    @property
    def is_complete(self) -> bool:
        """Complete counts: every published frame is in exactly one of the fates."""
        return sum(self.fates.values()) == self.published


def run_latency_benchmark(
    module: str,
    name: str,
    folder: Path,
    parameters: Mapping[str, object],
    images: Sequence[bytes],
    num_frames: int,
    rate_hz: float,
    idle_s: float,
    report: Callable[[int], object],
) -> LatencyMeasurement:
    """Start a tracker node in a domain of its own and measure its latency.

    Args:
        module: Python module of the node.
        name: name of the node.
        folder: folder of the node's log.
        parameters: parameters of the node.
        images: serialized images, sent forward and backward.
        num_frames: number of frames to send.
        rate_hz: frames per second.
        idle_s: time without frames at the end, in seconds.
        report: function that is called with the number of frames sent.
    """
    set_malloc_thresholds()
    with ExitStack() as stack:
        domain_id = stack.enter_context(reserve_domain())
        stack.enter_context(set_environment(make_local_environment(domain_id)))
        process = stack.enter_context(NodeProcess(module, name, folder, parameters))
        session = stack.enter_context(RosSession("latency", domain_id))
        return measure_latency(session, process, images, num_frames, rate_hz, idle_s, report)


def measure_latency(
    session: RosSession,
    process: NodeProcess,
    images: Sequence[bytes],
    num_frames: int,
    rate_hz: float,
    idle_s: float,
    report: Callable[[int], object],
) -> LatencyMeasurement:
    """Send frames to a node at a steady rate, and measure the time until their tracks arrive.

    Args:
        session: session in the domain of the process.
        process: process of the tracker whose node is unconfigured.
        images: serialized images, sent forward and backward.
        num_frames: number of frames to send.
        rate_hz: frames per second.
        idle_s: time without frames at the end, in seconds.
        report: function that is called with the number of frames sent.

    Raises:
        WaitTimeoutError: the node does not answer the first frame.
    """
    node = LifecycleClient(session, f"/{process.name}")
    camera = session.node.create_publisher(Image, "/image", qos.make_sensor_profile())
    node.start()
    received = _subscribe_tracks(session, f"/{process.name}/tracks")
    wait_for(camera.get_subscription_count, _FIRST_FRAME_TIMEOUT_S, f"a subscription of {process.name}")
    published_ns: dict[int, int] = {}

    def publish(image: bytes) -> None:
        stamp_ns = session.node.get_clock().now().nanoseconds
        message = replace_serialized_stamp(image, stamp_ns)
        published_ns[stamp_ns] = time.monotonic_ns()
        camera.publish(message)

    # Step 1: the first frame alone, because the first inference is slow.
    frames = iterate_ping_pong(images)
    publish(next(frames))
    wait_for(lambda: received, _FIRST_FRAME_TIMEOUT_S, f"the first tracks of {process.name}")
    # Step 2: all other frames at the rate.
    for number, image in enumerate(_iterate_at_rate(islice(frames, num_frames - 1), rate_hz), start=2):
        publish(image)
        report(number)
    # Step 3: counts of the node, then the idle node.
    values = _wait_for_counts(node, num_frames)
    idle_cpu_percent = _measure_cpu_percent(process.pid, idle_s)
    start_s = received[0][0] / 1e9 - process.started_s
    return _make_measurement(num_frames, values, start_s, idle_cpu_percent, published_ns, received[1:])


def iterate_ping_pong(images: Sequence[bytes]) -> Iterator[bytes]:
    """Iterate over images forward and backward without end, so that no object jumps."""
    return cycle([*images, *reversed(images[1:-1])])


def _iterate_at_rate(images: Iterable[bytes], rate_hz: float) -> Iterator[bytes]:
    """Iterate over images at a steady rate. A late image delays all later images."""
    due_s = 0.0
    for image in images:
        now_s = time.monotonic()
        due_s = max(due_s + 1 / rate_hz, now_s)
        time.sleep(due_s - now_s)
        yield image


def _subscribe_tracks(session: RosSession, topic: str) -> list[tuple[int, Any]]:
    """Subscribe to a topic and return a list to which time and message of every arrival are appended."""
    received: list[tuple[int, Any]] = []
    types = wait_for(
        lambda: dict(session.node.get_topic_names_and_types()).get(topic, []),
        description=f"a publisher of {topic}",
    )

    def receive(message: Any) -> None:
        received.append((time.monotonic_ns(), message))

    session.node.create_subscription(load_message_class(types[0]), topic, receive, qos.make_track_profile())
    wait_for(lambda: session.node.count_publishers(topic), description=f"the connection to {topic}")
    return received


def _wait_for_counts(node: LifecycleClient, num_frames: int) -> Mapping[str, Value]:
    """Wait until the node has counted every frame, and return the values of its diagnosis."""

    def is_complete() -> bool:
        values = node.diagnosis.values if node.diagnosis else {}
        return sum(int(values.get(f"frames_{fate}", 0)) for fate in FATES) >= num_frames

    with suppress(TimeoutError):  # the node cannot notice that the last frame is lost
        wait_for(is_complete, _COUNT_TIMEOUT_S)
    return node.diagnosis.values if node.diagnosis else {}


def _make_measurement(
    num_frames: int,
    values: Mapping[str, Value],
    start_s: float,
    idle_cpu_percent: float,
    published_ns: Mapping[int, int],
    received: Sequence[tuple[int, Any]],
) -> LatencyMeasurement:
    times = StageTimes(window=num_frames)
    for received_ns, message in received:
        latency_ms = (received_ns - published_ns[read_stamp_ns(message)]) / 1e6
        times.add_duration("latency", latency_ms)
        times.add_duration("transport", latency_ms - to_nanoseconds(message.latency) / 1e6)
    summary = times.summarize()
    return LatencyMeasurement(
        published=num_frames,
        fates={fate: int(values.get(f"frames_{fate}", 0)) for fate in FATES},
        start_s=start_s,
        idle_cpu_percent=idle_cpu_percent,
        latency=summary["latency"],
        transport=summary["transport"],
        stages=read_stages(values),
        engine=str(values.get("engine", "")),
    )


def _measure_cpu_percent(pid: int, seconds: float) -> float:
    """Measure the CPU use of a process from now on, in percent of a core."""
    begin_cpu_s = _read_cpu_s(pid)
    begin_s = time.monotonic()
    time.sleep(seconds)
    return 100 * (_read_cpu_s(pid) - begin_cpu_s) / (time.monotonic() - begin_s)


def _read_cpu_s(pid: int) -> float:
    """Read the CPU time of a process's threads in seconds.

    `psutil` has a resolution of 10 ms, which is too coarse for an idle node.
    """
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9
