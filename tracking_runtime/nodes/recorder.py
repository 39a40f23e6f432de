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
            "lost_in_transport": sum(self._raw_subscriptions.lost.values()),
            "queued_mb": progress.queued_bytes / 1e6,
            "awaited": " ".join(self._raw_subscriptions.awaited_topics),
            **_make_topic_values("written", progress.written),
            **_make_topic_values("dropped", progress.dropped),
            **_make_topic_values("lost_in_transport", self._raw_subscriptions.lost),
        }
        if progress.error:
            return Diagnosis(DiagnosticLevel.ERROR, progress.error, values)
        if values["dropped"]:
            return Diagnosis(
                DiagnosticLevel.WARN, f"the disk is too slow: {values['dropped']} messages dropped", values
            )
        if self._raw_subscriptions.refused:
            topic, reason = next(iter(self._raw_subscriptions.refused.items()))
            return Diagnosis(DiagnosticLevel.WARN, f"{topic} is not recorded: {reason}", values)
        if values["lost_in_transport"]:
            lost = f"{values['lost_in_transport']} messages lost in transport"
            return Diagnosis(
                DiagnosticLevel.WARN, f"{lost}: make the QoS of their publishers reliable", values
            )
        return Diagnosis(DiagnosticLevel.OK, "recording", values)

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
