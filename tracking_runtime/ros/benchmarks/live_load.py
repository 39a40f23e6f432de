"""Tracker in a process of its own, fed by a camera that sends frames at a rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
from sensor_msgs.msg import Image

from tracking_runtime.messages.conversion import read_stamp_ns, replace_serialized_stamp
from tracking_runtime.messages.definitions import load_message_class
from tracking_runtime.ros.benchmarks.latency import FATES, iterate_ping_pong
from tracking_runtime.ros.clients import LifecycleClient
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import WaitTimeoutError, wait_for

_FIRST_FRAME_TIMEOUT_S = 120.0
_COUNT_TIMEOUT_S = 15.0  # time after the last frame until the node has counted all of them


@dataclass
class Arrivals:
    """Arrived tracks since they were taken last.

    Attributes:
        latencies_ms: time from the camera's publish to the arrival of the tracks, in milliseconds.
    """

    latencies_ms: list[float] = field(default_factory=list)

    def compute_percentile(self, percent: float) -> float:
        """Return a percentile of the latencies in milliseconds; 0 without arrivals."""
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else 0.0


class LiveTracker:
    """Tracker node with a camera. The camera sends images forward and backward.

    Args:
        session: session in the domain of the process.
        process: running process of the tracker, whose node is unconfigured.
        images: serialized images.
    """

    def __init__(self, session: RosSession, process: NodeProcess, images: Sequence[bytes]) -> None:
        self.process = process
        self.num_published = 0
        name = f"{process.namespace.rstrip('/')}/{process.name}"
        self.name = name
        self._session = session
        self._client = LifecycleClient(session, name)
        self._camera = session.node.create_publisher(
            Image, f"{process.namespace.rstrip('/')}/image", qos.make_sensor_profile()
        )
        self._images = iterate_ping_pong(images)
        self._arrivals = Arrivals()
        self._period_s = float("inf")
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._send_frames, name=f"camera of {name}", daemon=True)

    def start(self) -> None:
        """Activate the node, and wait for the tracks of a first frame. Its first inference is slow.

        Raises:
            WaitTimeoutError: the node does not answer the first frame.
        """
        self._client.start()
        topic = f"{self.name}/tracks"
        types = wait_for(
            lambda: dict(self._session.node.get_topic_names_and_types()).get(topic, []),
            description=f"a publisher of {topic}",
        )
        self._session.node.create_subscription(
            load_message_class(types[0]), topic, self._receive, qos.make_track_profile()
        )
        wait_for(
            self._camera.get_subscription_count, _FIRST_FRAME_TIMEOUT_S, f"a subscription of {self.name}"
        )
        wait_for(lambda: self._session.node.count_publishers(topic), description=f"the publisher of {topic}")
        self._send()
        wait_for(
            lambda: self._arrivals.latencies_ms, _FIRST_FRAME_TIMEOUT_S, f"the first tracks of {self.name}"
        )
        self._thread.start()

    def set_rate(self, rate_hz: float) -> None:
        """Send frames at a rate from now on, in frames per second; 0: no frames."""
        with self._changed:
            self._period_s = 1 / rate_hz if rate_hz else float("inf")
            self._changed.notify()

    def take_arrivals(self) -> Arrivals:
        """Return the arrivals since the call before."""
        arrivals, self._arrivals = self._arrivals, Arrivals()
        return arrivals

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of processed, dropped, refused, failed and lost frames, by the newest diagnosis."""
        values = self._client.diagnosis.values if self._client.diagnosis else {}
        return {fate: int(values.get(f"frames_{fate}", 0)) for fate in FATES}

    @property
    def message(self) -> str:
        """Newest diagnosis."""
        diagnosis = self._client.diagnosis
        return f"{diagnosis.level.name}: {diagnosis.message}" if diagnosis else "no diagnosis"

    def wait_for_counts(self) -> bool:
        """Stop the camera, and return whether the node counts each of its frames once."""
        self.set_rate(0.0)
        self._send()  # shows the gap that lost frames leave
        with suppress(WaitTimeoutError):
            wait_for(lambda: sum(self.counts.values()) == self.num_published, _COUNT_TIMEOUT_S)
        return sum(self.counts.values()) == self.num_published

    def close(self) -> None:
        """End the camera."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _receive(self, message: object) -> None:
        self._arrivals.latencies_ms.append((time.time_ns() - read_stamp_ns(message)) / 1e6)

    def _send(self) -> None:
        self._camera.publish(replace_serialized_stamp(next(self._images), time.time_ns()))
        self.num_published += 1

    def _send_frames(self) -> None:
        due_s = time.monotonic()
        while not self._is_closing:
            with self._changed:
                now_s = time.monotonic()
                due_s = max(due_s + self._period_s, now_s) if self._period_s < float("inf") else now_s
                wait_s = due_s - now_s if self._period_s < float("inf") else None
                if wait_s is None or wait_s > 0:
                    is_changed = self._changed.wait(wait_s)
                    if is_changed or wait_s is None:
                        due_s = time.monotonic()
                        continue
                self._send()


@contextmanager
def run_live_trackers(
    session: RosSession, processes: Sequence[NodeProcess], images: Sequence[Sequence[bytes]]
) -> Iterator[list[LiveTracker]]:
    """Start trackers in their processes, and end their cameras after the block.

    Args:
        session: session in the domain of the processes.
        processes: running processes of trackers, whose nodes are unconfigured.
        images: serialized images of each tracker.
    """
    trackers = [LiveTracker(session, process, own) for process, own in zip(processes, images, strict=True)]
    try:
        for tracker in trackers:
            tracker.start()
        yield trackers
    finally:
        for tracker in trackers:
            tracker.close()
