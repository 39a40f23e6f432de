"""Node `recorder`: records topics to a bag in rosbag2's format. rosbag2 need not be installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracking_runtime.bags import BackgroundWriter, BagWriter
from tracking_runtime.bags.naming import make_recording_name
from tracking_runtime.errors import SourceError
from tracking_runtime.nodes.raw_subscriptions import RawSubscriptions
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel, Value
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import NodeParameters, parameter
from tracking_runtime.ros.node.run import run_node

_DISCOVERY_PERIOD_S = 0.2  # period of the search for new topics
_WATCH_PERIOD_S = 1.0  # period of the checks of the writer
_MAX_STALL_S = 4.0  # time without an answer of the disk after which the recorder reports an error


@dataclass(frozen=True)
class RecorderParameters(NodeParameters):
    """Parameters of the node `recorder`."""

    topics: tuple[str, ...] = parameter(
        ("image", "spectral_info", "ground_truth", "/diagnostics"),
        "topics to record, from when they are published; relative names are in the node's namespace",
    )
    pattern: str = parameter("", "regular expression; topics whose whole name matches are also recorded")
    output: str = parameter("", "folder of the bag, which must not exist; empty: recording_DATE_TIME")
    compression: Literal["none", "zstd"] = parameter(
        "none", "compression of the bag's chunks", choices=("none", "zstd")
    )
    queue: int = parameter(
        512, "[MB] capacity of the queue to the disk; messages beyond are dropped", minimum=1
    )


class Recorder(ManagedNode[RecorderParameters]):
    """Recorder that writes a new bag at each activation."""

    def __init__(self) -> None:
        super().__init__("recorder", RecorderParameters)
        self._raw_subscriptions: RawSubscriptions | None = None
        self._writer: BackgroundWriter | None = None
        self._folder = Path()
        self._last_told: tuple[str | None, int] = (None, 0)

    def load(self) -> None:
        """Check that the folder of the bag does not exist."""
        self._raw_subscriptions = None
        self._writer = None
        if self.parameters.output and Path(self.parameters.output).exists():
            raise SourceError(f"{self.parameters.output} exists already: set output to another folder")

    def start(self) -> None:
        """Create the bag and subscribe to the topics."""
        name = self.parameters.output or make_recording_name()
        self._folder = Path(name).absolute()
        writer = BagWriter(self._folder, compression=self.parameters.compression)
        background_writer = BackgroundWriter(writer, capacity_bytes=self.parameters.queue * 1_000_000)
        self.scope.callback(self._finish, background_writer)
        names = [self.resolve_topic_name(name) for name in self.parameters.topics]
        subscriptions = RawSubscriptions(
            self, names, self.parameters.pattern, put=background_writer.put, add=background_writer.add_topic
        )
        self.scope.callback(subscriptions.close)
        self.add_timer(_DISCOVERY_PERIOD_S, subscriptions.subscribe_to_published)
        self._raw_subscriptions = subscriptions
        self._writer = background_writer
        self._last_told = (None, 0)
        self.add_timer(_WATCH_PERIOD_S, self._log_changes)
        subscriptions.subscribe_to_published()

    def diagnose(self) -> Diagnosis:
        """Return the numbers of written, dropped and lost messages, and the topics that are not recorded."""
        if self._writer is None or self._raw_subscriptions is None:
            return Diagnosis()
        progress = self._writer.get_progress()
        values: dict[str, Value] = {
            "output": str(self._folder),
            "written": sum(progress.written.values()),
            "dropped": sum(progress.dropped.values()),
            "refused": sum(progress.refused.values()),
            "gaps": len(progress.gaps),
            "lost_in_transport": sum(self._raw_subscriptions.lost.values()),
            "queued_mb": progress.queued_bytes / 1e6,
            "awaited": " ".join(self._raw_subscriptions.awaited_topics),
            **_make_topic_values("written", progress.written),
            **_make_topic_values("dropped", progress.dropped),
            **_make_topic_values("refused", progress.refused),
            **_make_topic_values("lost_in_transport", self._raw_subscriptions.lost),
        }
        if progress.error:
            return Diagnosis(DiagnosticLevel.ERROR, progress.error, values)
        if progress.stalled_s > _MAX_STALL_S:
            stall = f"the disk has not answered for {progress.stalled_s:.0f} s: check or replace the disk"
            return Diagnosis(DiagnosticLevel.ERROR, stall, values)
        if progress.gaps:
            return Diagnosis(
                DiagnosticLevel.WARN, f"recording again after a gap: {progress.gaps[-1]}", values
            )
        if values["dropped"]:
            return Diagnosis(
                DiagnosticLevel.WARN, f"the disk is too slow: {values['dropped']} messages dropped", values
            )
        if self._raw_subscriptions.refused:
            topic, reason = next(iter(self._raw_subscriptions.refused.items()))
            return Diagnosis(DiagnosticLevel.WARN, f"{topic} is not recorded: {reason}", values)
        if values["refused"]:
            topic = next(iter(progress.refused))
            refused = f"{values['refused']} messages refused, first on {topic}: invalid time of publication"
            return Diagnosis(DiagnosticLevel.WARN, f"{refused}: check the clock of the publisher", values)
        if values["lost_in_transport"]:
            lost = f"{values['lost_in_transport']} messages lost in transport"
            return Diagnosis(
                DiagnosticLevel.WARN, f"{lost}: make the QoS of their publishers reliable", values
            )
        return Diagnosis(DiagnosticLevel.OK, "recording", values)

    def _log_changes(self) -> None:
        """Log when the writer fails, and when it continues."""
        if self._writer is None:
            return
        progress = self._writer.get_progress()
        last_error, num_gaps = self._last_told
        if progress.error and progress.error != last_error:
            self.get_logger().error(progress.error)
        for gap in progress.gaps[num_gaps:]:
            self.get_logger().warning(f"recording again in a new file of {self._folder}, after a gap: {gap}")
        self._last_told = (progress.error, len(progress.gaps))

    def _finish(self, writer: BackgroundWriter) -> None:
        progress = writer.close()
        written, dropped = sum(progress.written.values()), sum(progress.dropped.values())
        self.get_logger().info(f"{written} messages in {self._folder}, {dropped} dropped")


def _make_topic_values(prefix: str, counts: Mapping[str, int]) -> dict[str, Value]:
    return {f"{prefix}.{topic}": count for topic, count in counts.items() if count}


def main() -> int:
    """Run the node until it is shut down."""
    return run_node(Recorder)


if __name__ == "__main__":
    sys.exit(main())
