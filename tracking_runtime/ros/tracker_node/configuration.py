"""State of a tracker node from one configuration to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sensor_msgs.msg import CompressedImage, Image

from tracking_runtime.ros.node.diagnostics import Value, make_stage_values
from tracking_runtime.ros.tracker_node.background_loader import BackgroundLoader
from tracking_runtime.ros.tracker_node.frame_counters import FrameCounters
from tracking_runtime.ros.tracker_node.image_stream import ImageStream
from tracking_runtime.ros.tracker_node.load_control import LoadController, NodeTracker
from tracking_runtime.ros.tracker_node.parameters import TrackerNodeParameters
from tracking_runtime.ros.tracker_node.worker_supervisor import WorkerSupervisor
from tracking_runtime.timing import StageTimes

T = TypeVar("T", bound=NodeTracker)


@dataclass(frozen=True)
class ReceivedImage:
    """Image with the monotonic time at which the callback received it."""

    message: Image | CompressedImage
    received_ns: int


@dataclass
class Configuration(Generic[T]):
    """State of a node from one configuration to the next. Diagnostics show it also after a clean-up.

    Attributes:
        loader: thread that loads models.
        supervisor: supervisor of the thread that tracks.
        counters: counts of the frames.
        load: trackers and their load level.
        model: name or path of the current model.
        stream: stamps, format and epoch of the images.
        times: durations of each stage.
    """

    loader: BackgroundLoader
    supervisor: WorkerSupervisor[ReceivedImage]
    counters: FrameCounters
    load: LoadController[T]
    model: str = ""
    stream: ImageStream = field(default_factory=ImageStream)
    times: StageTimes = field(default_factory=StageTimes)

    def to_values(
        self, parameters: TrackerNodeParameters, tracker_values: Mapping[str, Value]
    ) -> dict[str, Value]:
        """Return frame counters, load, worker and durations as diagnostics values.

        Args:
            parameters: current parameters of the node.
            tracker_values: values of the tracker, which stand between those of the frames and the durations.
        """
        values: dict[str, Value] = {
            **self.counters.to_values(),
            "frames_dropped": self.supervisor.num_dropped,
            "epoch": self.stream.epoch,
            "overload": parameters.overload,
            "eased": self.load.shedder.level,
            "load": round(self.load.shedder.load, 3),
            "model": parameters.light_model if self.load.uses_light_model else self.model,
            "age_ms": round(self.counters.age_ms, 3),
            "busy_s": round(self.supervisor.busy_s, 1) if self.supervisor.worker else 0.0,
            "restarts": self.supervisor.num_restarts,
            **tracker_values,
        }
        if self.loader.progress:
            values["building"] = self.loader.progress
        return values | make_stage_values(self.times.summarize())
