"""Small tracker node for tests of the base classes: it tracks the brightest pixel."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from remote_sensing_tracking import msg

from spax_ros.association import Tracks
from tracking_runtime.errors import ModelError
from tracking_runtime.ros.conversions import track_messages
from tracking_runtime.ros.conversions.track_messages import FrameMetadata
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Value
from tracking_runtime.ros.node.parameters import Change, parameter
from tracking_runtime.ros.node.run import run_node
from tracking_runtime.ros.tracker_node.node import TrackerNode
from tracking_runtime.ros.tracker_node.parameters import TrackerNodeParameters

POISON = 13
"""Brightest value of an image in which the tracker raises an error."""
EXIT = 14
"""Brightest value of an image in which the tracker raises SystemExit."""
HANG = 15
"""Brightest value of an image in which the tracker hangs."""
BREAK = 16
"""Brightest value of an image after which the tracker can neither track nor be reset."""
LEAK = 17
"""Brightest value of an image in which memory runs out."""


@dataclass(frozen=True)
class BrightnessParameters(TrackerNodeParameters):
    size: float = parameter(3.0, "[px] side of the box", minimum=1, maximum=9, change=Change.ALWAYS)
    low: int = parameter(0, "lowest value", minimum=0)
    high: int = parameter(255, "highest value", maximum=255)
    hang: float = parameter(0.0, "[s] time of a frame in which the tracker hangs", minimum=0)
    work: float = parameter(0.0, "[s] time of a frame; a quarter with a model named light", minimum=0)

    def check(self) -> None:
        if self.low > self.high:
            raise ValueError(f"parameter low is {self.low}, high is only {self.high}")


class BrightnessTracker:
    max_load_level = 2
    size_tolerance_px = 2

    def __init__(self, work_s: float, hang_s: float = 0.0) -> None:
        self.num_frames = 0
        self._hang_s = hang_s
        self._is_broken = False
        self._work_s = work_s
        self._level = 0

    def set_load_level(self, level: int) -> None:
        self._level = level

    def copy_state_from(self, other: BrightnessTracker) -> None:
        self.num_frames = other.num_frames

    def reset(self) -> None:
        if self._is_broken:
            raise RuntimeError("broken")
        self.num_frames = 0

    def track(self, image: NDArray[Any]) -> tuple[int, int]:
        value = image.max()
        self._is_broken |= value == BREAK
        if value in (POISON, BREAK):
            raise RuntimeError("poisoned")
        if value == EXIT:
            raise SystemExit("the engine ended the process")
        if value == HANG:
            print("the tracker hangs now", flush=True)
            time.sleep(self._hang_s)
        if value == LEAK:
            raise MemoryError
        self.num_frames += 1
        time.sleep(self._work_s / 2**self._level)
        y, x = np.unravel_index(int(image.argmax()), image.shape)
        return int(x), int(y)


class BrightnessNode(TrackerNode[BrightnessParameters, BrightnessTracker, tuple[int, int]]):
    def __init__(self) -> None:
        super().__init__("brightness", BrightnessParameters)

    def load(self) -> None:
        super().load()
        self._tracks = self.advertise(msg.TrackArray, "~/tracks", qos.make_track_profile())

    def unload(self) -> None:
        self.get_logger().info("unloading")
        super().unload()

    def open_tracker(self, model: str) -> BrightnessTracker:
        if model and not Path(model).exists():
            raise ModelError(f"no model {model}")
        if model:
            Path(model).read_bytes()  # the read of a FIFO ends when its writer closes the FIFO
        work_s = self.parameters.work / (4 if Path(model).name == "light" else 1)
        return BrightnessTracker(work_s, self.parameters.hang)

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        return image.reshape(*image.shape[:2], -1)[..., 0]

    def track(self, frame: NDArray[Any], stamp_ns: int) -> tuple[int, int]:
        return self.tracker.track(frame)

    def publish(self, metadata: FrameMetadata, frame: NDArray[Any], result: tuple[int, int]) -> None:
        size = self.parameters.size
        tracks = Tracks(
            ids=np.array([self.tracker.num_frames]),
            class_ids=np.zeros(1, np.uint8),
            scores=np.ones(1, np.float32),
            boxes=np.array([[*result, size, size]]),
            velocities=np.zeros((1, 2)),
            states=np.full(1, msg.TrackArray.STATE_CONFIRMED, np.uint8),
            ages=np.ones(1, np.int32),
        )
        self._tracks.publish(track_messages.to_tracks(metadata, ["spot"], tracks))

    def describe_tracker(self) -> dict[str, Value]:
        return {"engine": "none", "frames": self.tracker.num_frames}


if __name__ == "__main__":
    sys.exit(run_node(BrightnessNode))
