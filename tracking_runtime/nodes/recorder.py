"""Records topics as they are into a bag that rosbag2 reads, with or without rosbag2 installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from tracking_runtime.bags import BackgroundWriter, BagWriter
from tracking_runtime.errors import SourceError
from tracking_runtime.nodes.raw_subscriptions import Taps
from tracking_runtime.ros.node.diagnostics import Diagnosis, Level, Value
from tracking_runtime.ros.node.managed_node import TrackingNode, run_node
from tracking_runtime.ros.node.parameters import NodeParameters, parameter

_LOOK_PERIOD_S = 0.2


@dataclass(frozen=True)
class RecorderParameters(NodeParameters):
    """Parameters of the recorder."""

    topics: tuple[str, ...] = parameter(
        ("image", "spectral_info", "ground_truth", "/diagnostics"),
        "topics to record, each from when it is published; names are relative to the node's namespace",
    )
    pattern: str = parameter("", "regular expression; topics whose whole name matches are recorded as well")
    output: str = parameter("", "folder of the bag, which must not exist; empty: recording_DATE_TIME")
    compression: Literal["none", "zstd"] = parameter("none", "of the bag's chunks", choices=("none", "zstd"))
    queue: int = parameter(512, "[MB] messages that may wait for the disk before any are dropped", minimum=1)


class Recorder(TrackingNode[RecorderParameters]):
    """Records while it is active, into a new bag at each activation."""

    def __init__(self) -> None:
        super().__init__("recorder", RecorderParameters)
        self._taps: Taps | None = None
        self._background: BackgroundWriter | None = None
        self._folder = Path()

    def load(self) -> None:
        """See that the bag can be made."""
        self._taps = self._background = None
        if self.parameters.output and Path(self.parameters.output).exists():
            raise SourceError(f"{self.parameters.output} exists already: set output to another folder")

    def start(self) -> None:
        """Begin a bag and look for topics."""
        name = self.parameters.output or datetime.now().strftime("recording_%Y-%m-%d_%H-%M-%S")
        self._folder = Path(name).absolute()
        writer = BagWriter(self._folder, compression=self.parameters.compression)
        background = BackgroundWriter(writer, capacity_bytes=self.parameters.queue * 1_000_000)
        self.scope.callback(self._finish, background)
        names = [self.resolve_topic_name(name) for name in self.parameters.topics]
        taps = Taps(self, names, self.parameters.pattern, put=background.put, add=background.add)
        self.scope.callback(taps.close)
        self.repeat(_LOOK_PERIOD_S, taps.look)
        self._taps, self._background = taps, background
        taps.look()

    def diagnose(self) -> Diagnosis:
        """What is recorded, and what is not and why."""
        if self._background is None or self._taps is None:
            return Diagnosis()
        progress = self._background.progress()
        values: dict[str, Value] = {
            "output": str(self._folder),
            "written": sum(progress.written.values()),
            "dropped": sum(progress.dropped.values()),
            "lost_in_transport": sum(self._taps.lost.values()),
            "queued_mb": progress.queued_bytes / 1e6,
            "awaited": " ".join(self._taps.awaited),
            **_by_topic("written", progress.written),
            **_by_topic("dropped", progress.dropped),
            **_by_topic("lost_in_transport", self._taps.lost),
        }
        if progress.error:
            return Diagnosis(Level.ERROR, progress.error, values)
        if values["dropped"]:
            return Diagnosis(
                Level.WARN, f"the disk is too slow: {values['dropped']} messages dropped", values
            )
        if self._taps.refused:
            topic, reason = next(iter(self._taps.refused.items()))
            return Diagnosis(Level.WARN, f"{topic} is not recorded: {reason}", values)
        if values["lost_in_transport"]:
            lost = f"{values['lost_in_transport']} messages lost on the way here"
            return Diagnosis(Level.WARN, f"{lost}: make their QoS reliable", values)
        return Diagnosis(Level.OK, "recording", values)

    def _finish(self, background: BackgroundWriter) -> None:
        progress = background.close()
        written, dropped = sum(progress.written.values()), sum(progress.dropped.values())
        self.get_logger().info(f"{written} messages in {self._folder}, {dropped} dropped")


def _by_topic(what: str, counts: Mapping[str, int]) -> dict[str, Value]:
    return {f"{what}.{topic}": count for topic, count in counts.items() if count}


def main() -> int:
    """Run the node until it is told to end."""
    return run_node(Recorder)


if __name__ == "__main__":
    sys.exit(main())
