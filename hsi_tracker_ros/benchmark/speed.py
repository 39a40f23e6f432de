"""How fast the tracker is by itself, from frame to boxes, and what a batch of targets saves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.scene import BENCHMARK_SEEDS, HyperspectralScene
from hsi_tracker_ros.tracker import HsiTracker, TrackerSettings
from tracking_runtime.spectral_info import SpectralInfo

TARGETS = 8
SIZE = (512, 256)

MakeTracker = Callable[[TrackerSettings, SpectralInfo], HsiTracker]


@dataclass(frozen=True)
class Speed:
    """Medians over frames.

    Attributes:
        width: of the cubes, in pixels.
        height: of the cubes, in pixels.
        bands: of the cubes.
        targets: in the batch.
        engine: that ran the network.
        milliseconds: of a frame with one target.
        batch_milliseconds: of a frame with all targets.
        singles_milliseconds: of the same targets, each in a tracker of its own.
    """

    width: int
    height: int
    bands: int
    targets: int
    engine: str
    milliseconds: float
    batch_milliseconds: float
    singles_milliseconds: float

    @property
    def frames_per_second(self) -> float:
        """With one target."""
        return 1000 / self.milliseconds

    @property
    def batch_share(self) -> float:
        """What a batch costs, of what its targets cost one by one."""
        return self.batch_milliseconds / self.singles_milliseconds


def measure_speed(make: MakeTracker, frames: int) -> Speed:
    """Time a tracker on a simulated scene, in turns, so that other work on the machine troubles all alike.

    Args:
        make: a tracker with these settings, for a camera.
        frames: to time.
    """
    scene = HyperspectralScene(BENCHMARK_SEEDS.start, frames + 1, size=SIZE, attributes="")
    camera = scene.spectral_info
    # Looking for a lost one is another matter, and so is what size random weights make of it.
    settings = replace(TrackerSettings(), lost_confidence=-1.0, leaving_frames=0, size_rate=0.0)
    single, batch = make(settings, camera), make(settings, camera)
    singles = [make(settings, camera) for _ in range(TARGETS)]
    first = scene.frame(0)
    assert first.truth is not None
    boxes = _spread(first.truth.boxes[0])
    single.set_target(first.image, boxes[0])
    for tracker, box in zip(singles, boxes, strict=True):
        tracker.set_target(first.image, box)
        batch.set_target(first.image, box)
    batch.prepare()
    seconds = []
    for index in range(1, frames + 1):
        frame = scene.frame(index)
        seconds.append(
            [_seconds(trackers, frame.image, frame.stamp_ns) for trackers in ([single], [batch], singles)]
        )
    one, together, apart = 1000 * np.median(seconds, axis=0)
    bands = len(camera.wavelengths_nm)
    return Speed(*SIZE, bands, TARGETS, single.model.description, float(one), float(together), float(apart))


def _spread(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """A box, and others of its size all over the image."""
    width, height = SIZE
    columns, rows = np.meshgrid(np.linspace(0.1, 0.9, TARGETS // 2), (0.25, 0.75))
    centres = np.stack([columns.ravel() * width, rows.ravel() * height], axis=1)
    boxes = np.concatenate([centres - box[2:] / 2, np.tile(box[2:], (TARGETS, 1))], axis=1)
    boxes[0] = box
    return boxes


def _seconds(trackers: list[HsiTracker], cube: NDArray[Any], stamp_ns: int) -> float:
    began = time.perf_counter()
    for tracker in trackers:
        tracker.track(cube, stamp_ns)
    return time.perf_counter() - began
