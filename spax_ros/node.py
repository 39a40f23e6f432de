"""The node ``spax_tracker``: finds and follows every moving object in the images of a satellite camera."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from remote_sensing_tracking import msg
from sensor_msgs.msg import Image

from spax_ros.association import Tracks
from spax_ros.inference import EngineRunner
from spax_ros.sparse.tile_budget import bucket_sizes
from spax_ros.tracker import SpaxTracker, load_tracker
from tracking_runtime.engines import BACKENDS, EngineSettings
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.ros.conversions import image_messages, track_messages
from tracking_runtime.ros.conversions.detection_messages import Detections2D, Tracked
from tracking_runtime.ros.conversions.track_messages import FrameFacts
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Value
from tracking_runtime.ros.node.managed_node import run_node
from tracking_runtime.ros.node.parameters import parameter
from tracking_runtime.ros.tracker_node.node import FrameNode, FrameNodeParameters

_WARM_UP_FRAMES = 3


@dataclass(frozen=True)
class SpaxTrackerParameters(FrameNodeParameters):
    """The parameters of the node ``spax_tracker``."""

    model: str = parameter("spax_small", "name of a model, or path of its manifest")
    engine: str = parameter(
        "auto",
        "what runs the network; auto: the fastest that works here",
        choices=("auto", *(backend.name for backend in BACKENDS)),
    )
    precision: str = parameter(
        "auto",
        "of the network's arithmetic; auto: half on TensorRT, else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    threads: int = parameter(
        0, "for the network, on a CPU; 0: one for each core, at most OMP_NUM_THREADS", minimum=0
    )


class SpaxTrackerNode(FrameNode[SpaxTrackerParameters, SpaxTracker, Tracks]):
    """Follows all that moves in the frames of ``image``."""

    def __init__(self) -> None:
        super().__init__("spax_tracker", SpaxTrackerParameters)

    def load(self) -> None:
        """Open the model, advertise, and offer the services."""
        self._makers = ThreadPoolExecutor(1, f"{self.get_name()}_engines")
        self.scope.callback(self._makers.shutdown, cancel_futures=True)
        super().load()
        self._tracks = self.advertise(msg.TrackArray, "~/tracks", qos.track())
        self._detections_2d = Detections2D(self)
        self._detections = self.advertise(msg.DetectionArray, "~/detections", qos.track())
        self._motion_mask = self.advertise(Image, "~/motion_mask", qos.sensor())

    def open_tracker(self, model: str) -> SpaxTracker:
        """A tracker with a model, warmed up by noise; with ``build_only`` all its engines are made."""
        settings = EngineSettings(precision=self.parameters.precision, threads=self.parameters.threads)
        warm = load_tracker(model, self.parameters.engine, engine_settings=settings, executor=self._makers)
        if self.build_only and isinstance(warm.runner, EngineRunner):
            warm.runner.prepare(bucket_sizes())
        noise = np.random.default_rng(0)
        for number in range(_WARM_UP_FRAMES):
            warm.track(noise.integers(0, 255, (256, 256), np.uint8), number * 10**8)
        return SpaxTracker(warm.model, times=self.times, runner=warm.runner)

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        """One channel, or blue, green and red."""
        if image.dtype == np.float32 or (image.ndim == 3 and image.shape[2] != 3):
            raise FrameRefusedError(
                f"encoding {encoding}: one or three channels of 8 or 16 bits are expected"
            )
        return image[..., ::-1] if encoding == "rgb8" else image

    def track(self, frame: NDArray[Any], stamp_ns: int) -> Tracks:
        """Every track after a frame."""
        return self.tracker.track(frame, stamp_ns)

    def publish(self, facts: FrameFacts, frame: NDArray[Any], result: Tracks) -> None:
        """Publish tracks, and detections and motion mask if somebody looks."""
        names = self.tracker.class_names
        self._tracks.publish(track_messages.to_tracks(facts, names, result))
        rows = zip(result.ids, result.boxes, result.scores, result.class_ids, strict=True)
        self._detections_2d.publish(
            facts.header, (Tracked(int(i), box, float(score), names[k]) for i, box, score, k in rows)
        )
        if self._detections.get_subscription_count():
            self._detections.publish(track_messages.to_detections(facts, names, self.tracker.detections))
        if self._motion_mask.get_subscription_count():
            mask = self.tracker.motion_mask.astype(np.uint8) * 255
            self._motion_mask.publish(image_messages.from_array(mask, "mono8", facts.header))

    def describe_tracker(self) -> dict[str, Value]:
        """Engine, and how much of the image is active."""
        return {
            "engine": self.tracker.engine,
            "active_share": round(self.tracker.active_share, 5),
            "saturated": self.tracker.saturated,
            "detections": len(self.tracker.detections),
            "remark": self.tracker.remark,
        }


def main() -> int:
    """Run the node."""
    return run_node(SpaxTrackerNode)


if __name__ == "__main__":
    sys.exit(main())
