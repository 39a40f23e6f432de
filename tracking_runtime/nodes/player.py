"""Plays frames from anywhere as a camera's topics, with their ground truth."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import repeat

from rclpy.duration import Duration
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from remote_sensing_tracking.msg import SpectralInfo, TrackArray
from sensor_msgs.msg import Image

from tracking_runtime.bags.source_recorder import RecordedFrame, SourceRecording
from tracking_runtime.io.prefetch import read_ahead
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.conversion import IMAGE, SPECTRAL_INFO, TRACKS, restamped, stamp_of
from tracking_runtime.nodes.playback_clock import LockStep, Pace, SteadyPace
from tracking_runtime.nodes.raw_subscriptions import Taps
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, Level, Value
from tracking_runtime.ros.node.managed_node import TrackingNode, run_node
from tracking_runtime.ros.node.parameters import NodeParameters, parameter

_SOURCE_RATE = -1.0
_POLL_S = 0.05
_SETTLED_S = 0.3
_DELIVERY_S = 2.0
_OUTPUTS = {
    IMAGE: (Image, QoSProfile(depth=5)),
    TRACKS: (TrackArray, qos.track()),
    SPECTRAL_INFO: (SpectralInfo, qos.info()),
}


@dataclass(frozen=True)
class PlayerParameters(NodeParameters):
    """Parameters of the player."""

    source: str = parameter(
        "scene:satellite",
        "address of the frames: folder:PATH, bag:PATH or scene:NAME, with options as in ?rate=25",
    )
    rate: float = parameter(
        _SOURCE_RATE,
        "[Hz] frames a second; -1: the source's own; 0: each frame as soon as a message on `tracks` carries "
        "the stamp of the one before",
        minimum=_SOURCE_RATE,
    )
    loop: bool = parameter(False, "begin again after the last frame")
    stamps: str = parameter("source", "stamps as in the source, or of now", choices=("source", "now"))
    wait_for_subscribers: int = parameter(
        1, "subscribers of `image` to wait for before the first frame", minimum=0
    )
    wait_for_nodes: str = parameter(
        "", "nodes that have to listen to `tracks` before the first frame, separated by spaces"
    )
    patience: float = parameter(
        10.0, "[s] how long to wait for `tracks` at rate 0 before going on", minimum=0.01
    )
    read_ahead: int = parameter(4, "[frames] made before they are due", minimum=1, maximum=64)
    exit_when_done: bool = parameter(False, "end the process after the last frame")

    def check(self) -> None:
        """Raise ValueError where values do not fit together."""
        if _SOURCE_RATE < self.rate < 0:
            raise ValueError(f"parameter rate is {self.rate:g}, allowed: -1, 0 and more")


class Player(TrackingNode[PlayerParameters]):
    """Publishes ``image``, ``ground_truth`` and ``spectral_info``, from the first frame when activated."""

    def __init__(self) -> None:
        super().__init__("player", PlayerParameters)
        self._outputs: dict[str, Publisher] = {}
        self._published = 0
        self._finished = False
        self._pace: Pace = SteadyPace(1)

    def load(self) -> None:
        """Open the source, so that what is wrong with it is known now."""
        self._source = open_source(self.parameters.source)
        self._recording = SourceRecording(self._source)
        self._outputs = {
            topic.name: self.advertise(kind, topic.name.lstrip("/"), profile)
            for topic in self._recording.topics
            for kind, profile in [_OUTPUTS[topic.interface.name]]
        }

    def start(self) -> None:
        """Play."""
        self._published = 0
        self._finished = False
        self._stopping = threading.Event()
        self._answers: Taps | None = None
        self._pace = self._make_pace()
        thread = threading.Thread(target=self._play, name="player", daemon=True)
        thread.start()
        self.scope.callback(thread.join)
        self.scope.callback(self._pace.stop)
        self.scope.callback(self._stopping.set)

    def diagnose(self) -> Diagnosis:
        """How far it is."""
        unanswered = self._pace.unanswered
        values: dict[str, Value] = {
            "source": self.parameters.source,
            "published": self._published,
            "unanswered": unanswered,
            "finished": self._finished,
        }
        if unanswered:
            return Diagnosis(Level.WARN, f"{unanswered} frames were not answered on `tracks`", values)
        return Diagnosis(Level.OK, "finished" if self._finished else "playing", values)

    def _make_pace(self) -> Pace:
        rate = self.parameters.rate
        if rate != 0:
            return SteadyPace(self._source.rate_hz if rate == _SOURCE_RATE else rate)
        pace = LockStep(self.parameters.patience)
        answers = Taps(
            self,
            [self.resolve_topic_name("tracks")],
            put=lambda record: pace.answered(stamp_of(record.data)),
        )
        self.scope.callback(answers.close)

        def look() -> None:
            if answers.awaited:
                answers.look()

        self.repeat(_POLL_S, look)
        self._answers = answers
        return pace

    def _play(self) -> None:
        """What the player's thread does."""
        try:
            for _ in repeat(None) if self.parameters.loop else range(1):
                with closing(read_ahead(self._recording, self.parameters.read_ahead)) as frames:
                    self._play_once(frames)
                if self._stopping.is_set():
                    return
            self._pace.wait_end()
            for output in self._outputs.values():
                output.wait_for_all_acked(Duration(seconds=_DELIVERY_S))
            self._finished = True
            self.get_logger().info(f"finished: {self._published} frames published")
        except Exception as error:
            self.note_error("cannot play on", error)
        self.report()
        if self.parameters.exit_when_done:
            os.kill(os.getpid(), signal.SIGTERM)

    def _play_once(self, frames: Iterator[RecordedFrame]) -> None:
        for frame in frames:
            for record in frame.ahead:
                self._outputs[record.topic].publish(record.data)
            if self._published == 0:
                self._wait_for_audience()
            if not self._pace.wait_turn():
                return
            self._publish(frame)

    def _publish(self, frame: RecordedFrame) -> None:
        is_now = self.parameters.stamps == "now"
        stamp_ns = self.get_clock().now().nanoseconds if is_now else frame.stamp_ns
        self._pace.play(stamp_ns)
        for record in frame.records:
            data = restamped(record.data, stamp_ns) if is_now else record.data
            self._outputs[record.topic].publish(data)
        self._published += 1

    def _wait_for_audience(self) -> None:
        """Return when everybody who wants to see the first frame can, or when stopped.

        There are subscribers enough of the images, all nodes that are waited for listen to the tracks, there
        are tracks to wait for in lock step, and for a while nobody came to any topic: a recorder does not get
        to all of them at once.
        """
        heard, since = -1, 0.0
        while not self._stopping.wait(_POLL_S):
            counts = {name: output.get_subscription_count() for name, output in self._outputs.items()}
            enough = counts["/image"] >= self.parameters.wait_for_subscribers and self._all_listen()
            if not enough or (self._answers and self._answers.awaited) or sum(counts.values()) != heard:
                heard, since = sum(counts.values()), time.monotonic()
            elif time.monotonic() - since >= _SETTLED_S:
                return

    def _all_listen(self) -> bool:
        listeners = self.get_subscriptions_info_by_topic(self.resolve_topic_name("tracks"))
        return set(self.parameters.wait_for_nodes.split()) <= {listener.node_name for listener in listeners}


def main() -> int:
    """Run the node until it is told to end."""
    return run_node(Player)


if __name__ == "__main__":
    sys.exit(main())
