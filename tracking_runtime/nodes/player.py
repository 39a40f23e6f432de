"""Node `player`: publishes the frames of a source as a camera's topics, with ground truth."""

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

from tracking_runtime.io.prefetch import prefetch
from tracking_runtime.io.source_recorder import FrameMessages, SourceMessages
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.conversion import (
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    read_serialized_stamp_ns,
    replace_serialized_stamp,
)
from tracking_runtime.nodes.playback_clock import FixedRateClock, LockStepClock, PlaybackClock
from tracking_runtime.nodes.raw_subscriptions import RawSubscriptions
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel, Value
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import NodeParameters, parameter
from tracking_runtime.ros.node.run import run_node

_SOURCE_RATE = -1.0
_POLL_S = 0.05  # period of the checks for subscribers
_SETTLED_S = 0.3  # time without new subscribers before the first frame
_MAX_STALL_S = 4.0  # time for one frame of the source after which the player reports an error
_MAX_END_S = 5.0  # time that a deactivation waits for the source
_DELIVERY_S = 2.0  # longest wait for the acknowledgment of the last frame
_OUTPUTS = {
    IMAGE: (Image, QoSProfile(depth=5)),
    TRACKS: (TrackArray, qos.make_track_profile()),
    SPECTRAL_INFO: (SpectralInfo, qos.make_info_profile()),
}


@dataclass(frozen=True)
class PlayerParameters(NodeParameters):
    """Parameters of the node `player`."""

    source: str = parameter(
        "scene:satellite",
        "source of the frames: path of a video, folder, cube, recording, or scene:NAME; options as ?rate=25",
    )
    rate: float = parameter(
        _SOURCE_RATE,
        "[Hz] frame rate; -1: rate of the source; 0: lock step, each frame when a message on `tracks` "
        "has the stamp of the previous frame",
        minimum=_SOURCE_RATE,
    )
    loop: bool = parameter(False, "restart after the last frame")
    stamps: str = parameter(
        "source",
        "stamps of the messages: those of the source, or the current time",
        choices=("source", "now"),
    )
    wait_for_subscribers: int = parameter(
        1, "number of subscribers of `image` to wait for before the first frame", minimum=0
    )
    wait_for_nodes: str = parameter(
        "", "names of nodes that must subscribe to `tracks` before the first frame, separated by spaces"
    )
    patience: float = parameter(10.0, "[s] longest wait for a message on `tracks` at rate 0", minimum=0.01)
    read_ahead: int = parameter(4, "[frames] number of frames prepared in advance", minimum=1, maximum=64)
    exit_when_done: bool = parameter(False, "end the process after the last frame")

    def check(self) -> None:
        """Raise ValueError if the values contradict each other."""
        if _SOURCE_RATE < self.rate < 0:
            raise ValueError(f"parameter rate must be -1 or at least 0: got {self.rate:g}")


class Player(ManagedNode[PlayerParameters]):
    """Publisher of `image`, `ground_truth` and `spectral_info`. Each activation starts at the first frame."""

    def __init__(self) -> None:
        super().__init__("player", PlayerParameters)
        self._outputs: dict[str, Publisher] = {}
        self._num_published = 0
        self._finished = False
        self._reading_since_s: float | None = None
        self._playback_clock: PlaybackClock = FixedRateClock(1)

    def load(self) -> None:
        """Open the source, so that its errors are reported when the node is configured."""
        self._source = open_source(self.parameters.source)
        self._recording = SourceMessages(self._source)
        self._outputs = {
            topic.name: self.advertise(kind, topic.name.lstrip("/"), profile)
            for topic in self._recording.topics
            for kind, profile in [_OUTPUTS[topic.interface.name]]
        }

    def start(self) -> None:
        """Start the player's thread."""
        self._num_published = 0
        self._finished = False
        self._reading_since_s = None
        self._track_subscriptions: RawSubscriptions | None = None
        stopping = threading.Event()
        clock = self._playback_clock = self._make_clock()
        thread = threading.Thread(target=self._play, args=(clock, stopping), name="player", daemon=True)
        thread.start()
        self.scope.callback(self._end_thread, thread)
        self.scope.callback(clock.stop)
        self.scope.callback(stopping.set)

    def diagnose(self) -> Diagnosis:
        """Return the number of published frames and of frames without tracks."""
        unanswered = self._playback_clock.num_unanswered
        values: dict[str, Value] = {
            "source": self.parameters.source,
            "published": self._num_published,
            "unanswered": unanswered,
            "finished": self._finished,
        }
        since_s = self._reading_since_s
        if since_s is not None and time.monotonic() - since_s > _MAX_STALL_S:
            stall = f"the source has given no frame for {time.monotonic() - since_s:.0f} s: check it"
            return Diagnosis(DiagnosticLevel.ERROR, stall, values)
        if unanswered:
            return Diagnosis(
                DiagnosticLevel.WARN, f"{unanswered} frames were not answered on `tracks`", values
            )
        return Diagnosis(DiagnosticLevel.OK, "finished" if self._finished else "playing", values)

    def _make_clock(self) -> PlaybackClock:
        rate = self.parameters.rate
        if rate != 0:
            return FixedRateClock(self._source.rate_hz if rate == _SOURCE_RATE else rate)
        clock = LockStepClock(self.parameters.patience)
        subscriptions = RawSubscriptions(
            self,
            [self.resolve_topic_name("tracks")],
            put=lambda record: clock.finish_frame(read_serialized_stamp_ns(record.data)),
        )
        self.scope.callback(subscriptions.close)

        def subscribe() -> None:
            if subscriptions.awaited_topics:
                subscriptions.subscribe_to_published()

        self.add_timer(_POLL_S, subscribe)
        self._track_subscriptions = subscriptions
        return clock

    def _end_thread(self, thread: threading.Thread) -> None:
        """Wait for the end of the player's thread. A thread whose source hangs is left behind."""
        thread.join(_MAX_END_S)
        if thread.is_alive():
            self.record_stuck_thread("the source")

    def _play(self, clock: PlaybackClock, stopping: threading.Event) -> None:
        """Play the source in the player's thread, until the event is set."""
        try:
            for _ in repeat(None) if self.parameters.loop else range(1):
                with closing(prefetch(self._recording, self.parameters.read_ahead)) as frames:
                    self._play_frames(frames, clock, stopping)
                if stopping.is_set():
                    return
            clock.wait_for_last_frame()
            for output in self._outputs.values():
                output.wait_for_all_acked(Duration(seconds=_DELIVERY_S))
            self._finished = True
            self.get_logger().info(f"finished: {self._num_published} frames published")
        except BaseException as error:  # a player whose thread has ended must not look as if it played
            if stopping.is_set():
                return
            self.diagnostics.record_error("cannot continue to play", error)
        self.diagnostics.publish()
        if self.parameters.exit_when_done:
            os.kill(os.getpid(), signal.SIGTERM)

    def _play_frames(
        self, frames: Iterator[FrameMessages], clock: PlaybackClock, stopping: threading.Event
    ) -> None:
        while (frame := self._read_next(frames)) is not None and not stopping.is_set():
            for record in frame.first_records:
                self._outputs[record.topic].publish(record.data)
            if self._num_published == 0:
                self._wait_for_subscribers(stopping)
            if not clock.wait_for_next_frame():
                return
            self._publish(frame, clock)

    def _read_next(self, frames: Iterator[FrameMessages]) -> FrameMessages | None:
        """Return the next frame of the source, None at the end. The diagnosis watches its duration."""
        self._reading_since_s = time.monotonic()
        try:
            return next(frames, None)
        finally:
            self._reading_since_s = None

    def _publish(self, frame: FrameMessages, clock: PlaybackClock) -> None:
        is_now = self.parameters.stamps == "now"
        stamp_ns = self.get_clock().now().nanoseconds if is_now else frame.stamp_ns
        clock.start_frame(stamp_ns)
        for record in frame.records:
            data = replace_serialized_stamp(record.data, stamp_ns) if is_now else record.data
            self._outputs[record.topic].publish(data)
        self._num_published += 1

    def _wait_for_subscribers(self, stopping: threading.Event) -> None:
        """Wait until all subscribers are ready for the first frame, or until the player is stopped.

        The images must have enough subscribers, the awaited nodes must subscribe to the tracks, and lock step
        needs a publisher of tracks. Then no new subscriber may appear for `_SETTLED_S`: a recorder subscribes
        to one topic after the other.
        """
        num_subscribers, since_s = -1, 0.0
        while not stopping.wait(_POLL_S):
            counts = {name: output.get_subscription_count() for name, output in self._outputs.items()}
            is_complete = (
                counts["/image"] >= self.parameters.wait_for_subscribers and self._have_all_nodes_subscribed()
            )
            if (
                not is_complete
                or (self._track_subscriptions and self._track_subscriptions.awaited_topics)
                or sum(counts.values()) != num_subscribers
            ):
                num_subscribers, since_s = sum(counts.values()), time.monotonic()
            elif time.monotonic() - since_s >= _SETTLED_S:
                return

    def _have_all_nodes_subscribed(self) -> bool:
        listeners = self.get_subscriptions_info_by_topic(self.resolve_topic_name("tracks"))
        return set(self.parameters.wait_for_nodes.split()) <= {listener.node_name for listener in listeners}


def main() -> int:
    """Run the node until it is shut down."""
    return run_node(Player)


if __name__ == "__main__":
    sys.exit(main())
