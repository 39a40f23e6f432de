"""Node `recorder`: records topics to a bag in rosbag2's format. rosbag2 need not be installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diagnostic_msgs.msg import DiagnosticArray
from std_srvs.srv import Trigger

from tracking_runtime.bags import BackgroundWriter, BagWriter, WriterProgress
from tracking_runtime.bags.naming import make_recording_name
from tracking_runtime.errors import SourceError
from tracking_runtime.nodes.black_box import BlackBox, lock_recording, save_crash_of_recorder
from tracking_runtime.nodes.crash_watch import CrashWatch, Incident
from tracking_runtime.nodes.raw_subscriptions import RawSubscriptions
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import TOPIC, Diagnosis, DiagnosticLevel, Value
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import NodeParameters, parameter
from tracking_runtime.ros.node.run import run_node

_DISCOVERY_PERIOD_S = 0.2  # period of the search for new topics
_WATCH_PERIOD_S = 1.0  # period of the checks of the writer
_MIN_KEEP_S = 10.0  # shortest kept time: a crash is noticed after 5 s
_MAX_STALL_S = 4.0  # time without an answer of the disk after which the recorder reports an error


@dataclass(frozen=True)
class RecorderParameters(NodeParameters):
    """Parameters of the node `recorder`."""

    topics: tuple[str, ...] = parameter(
        ("image", "spectral_info", "ground_truth", "/diagnostics", "/rosout"),
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
    keep: float = parameter(
        0.0,
        "[s] time of the newest messages that stay on the disk, at least 10; 0: all messages stay",
        minimum=0.0,
    )
    max_incidents: int = parameter(
        20,
        "highest number of incidents whose diagnoses and logs are saved in the folder of the bag, with a "
        "copy of the messages if keep is set",
        minimum=0,
    )

    def check(self) -> None:
        """Raise ValueError if the kept time ends before a crash is noticed."""
        if 0 < self.keep < _MIN_KEEP_S:
            raise ValueError(
                f"parameter keep must be 0 or at least {_MIN_KEEP_S:g} s: got {self.keep:g}; a crash is "
                "noticed after 5 s"
            )


class Recorder(ManagedNode[RecorderParameters]):
    """Recorder that writes a new bag at each activation."""

    def __init__(self) -> None:
        super().__init__("recorder", RecorderParameters)
        self._raw_subscriptions: RawSubscriptions | None = None
        self._writer: BackgroundWriter | None = None
        self._black_box: BlackBox | None = None
        self._folder = Path()
        self._last_told: tuple[str | None, int] = (None, 0)

    def load(self) -> None:
        """Raise SourceError if the folder of the bag exists already."""
        self._raw_subscriptions = None
        self._writer = None
        self._black_box = None
        if self.parameters.output and Path(self.parameters.output).exists():
            raise SourceError(f"{self.parameters.output} exists already: set output to another folder")

    def start(self) -> None:
        """Create the bag and subscribe to the topics."""
        name = self.parameters.output or make_recording_name()
        self._folder = Path(name).absolute()
        for crashed in save_crash_of_recorder(self._folder):
            self.get_logger().warning(f"the recorder of {crashed} ended without finishing, see incident_*")
        writer = BagWriter(self._folder, compression=self.parameters.compression)
        self.scope.enter_context(lock_recording(self._folder))
        background_writer = BackgroundWriter(
            writer, capacity_bytes=self.parameters.queue * 1_000_000, keep_s=self.parameters.keep
        )
        self.scope.callback(self._finish, background_writer)
        black_box = self._open_black_box(background_writer)
        self.scope.callback(black_box.close)
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
        self.add_timer(_WATCH_PERIOD_S, black_box.check)
        self.subscribe(DiagnosticArray, TOPIC, black_box.receive, qos.make_track_profile())
        self.offer_service(Trigger, "~/snapshot", self._answer_snapshot)
        self._black_box = black_box
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
            "incidents": self._black_box.num_incidents if self._black_box else 0,
            **_make_topic_values("written", progress.written),
            **_make_topic_values("dropped", progress.dropped),
            **_make_topic_values("refused", progress.refused),
            **_make_topic_values("lost_in_transport", self._raw_subscriptions.lost),
        }
        if error := _find_error(progress):
            return Diagnosis(DiagnosticLevel.ERROR, error, values)
        if warning := _find_warning(progress, self._raw_subscriptions):
            return Diagnosis(DiagnosticLevel.WARN, warning, values)
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

    def _open_black_box(self, writer: BackgroundWriter) -> BlackBox:
        return BlackBox(
            self._folder,
            writer,
            CrashWatch(self.get_namespace(), self.get_fully_qualified_name()),
            keeps_copy=self.parameters.keep > 0,
            max_incidents=self.parameters.max_incidents,
            log=self.get_logger().warning,
        )

    def _answer_snapshot(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Save the newest messages, diagnoses and logs in the background, as after an incident."""
        response.success = False
        parameters = self.parameters
        if self._black_box is None or not parameters.keep:
            response.message = "parameter keep must be above 0: got 0; set it before the configuration"
            return response
        folder = self._black_box.save(Incident(self.get_fully_qualified_name(), "snapshot on request"))
        if folder is None:
            response.message = f"max_incidents {parameters.max_incidents} is reached: start another recording"
            return response
        response.success = True
        response.message = f"written to {folder}"
        return response

    def _finish(self, writer: BackgroundWriter) -> None:
        progress = writer.close()
        written, dropped = sum(progress.written.values()), sum(progress.dropped.values())
        self.get_logger().info(f"{written} messages in {self._folder}, {dropped} dropped")


def _find_error(progress: WriterProgress) -> str:
    """Return why nothing is written now; empty while the disk answers."""
    if progress.error:
        return progress.error
    if progress.stalled_s > _MAX_STALL_S:
        return f"the disk has not answered for {progress.stalled_s:.0f} s: check or replace the disk"
    return ""


def _find_warning(progress: WriterProgress, subscriptions: RawSubscriptions) -> str:
    """Return the most urgent reason why the bag is not complete; empty if it is complete."""
    if progress.gaps:
        return f"recording again after a gap: {progress.gaps[-1]}"
    if num_dropped := sum(progress.dropped.values()):
        return f"the disk is too slow: {num_dropped} messages dropped"
    if subscriptions.refused:
        topic, reason = next(iter(subscriptions.refused.items()))
        return f"{topic} is not recorded: {reason}"
    if num_refused := sum(progress.refused.values()):
        topic = next(iter(progress.refused))
        refused = f"{num_refused} messages refused, first on {topic}: invalid time of publication"
        return f"{refused}: check the clock of the publisher"
    if num_lost := sum(subscriptions.lost.values()):
        return f"{num_lost} messages lost in transport: make the QoS of their publishers reliable"
    return ""


def _make_topic_values(prefix: str, counts: Mapping[str, int]) -> dict[str, Value]:
    return {f"{prefix}.{topic}": count for topic, count in counts.items() if count}


def main() -> int:
    """Run the node until it is shut down."""
    return run_node(Recorder)


if __name__ == "__main__":
    sys.exit(main())
