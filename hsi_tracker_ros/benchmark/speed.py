"""Speed of HA-Net's tracker from frame to boxes, for one target and for a batch of targets."""

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

NUM_TARGETS = 8  # targets of the batch
CUBE_SIZE = (512, 256)  # width and height in pixels

TrackerFactory = Callable[[TrackerSettings, SpectralInfo], HsiTracker]


@dataclass(frozen=True)
class TrackerSpeed:
    """Median tracking times of a frame.

    Attributes:
        width: width of the cubes in pixels.
        height: height of the cubes in pixels.
        bands: number of bands.
        targets: number of targets in the batch.
        engine: engine that ran the network.
        milliseconds: time with one target.
        batch_milliseconds: time with all targets in one tracker.
        singles_milliseconds: time with the same targets in one tracker each.
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
        """Frames per second with one target."""
        return 1000 / self.milliseconds

    @property
    def batch_time_ratio(self) -> float:
        """Time of the batch as a fraction of the time of its targets one by one."""
        return self.batch_milliseconds / self.singles_milliseconds


def measure_speed(make_tracker: TrackerFactory, num_frames: int) -> TrackerSpeed:
    """Measure the speed of a tracker on a simulated scene.

    The three cases alternate frame by frame, so that other load on the machine affects all of them equally.

    Args:
        make_tracker: factory of the tracker.
        num_frames: number of frames to measure.
    """
    scene = HyperspectralScene(BENCHMARK_SEEDS.start, num_frames + 1, size=CUBE_SIZE, attributes="")
    camera = scene.spectral_info
    # No target is ever lost and no box changes size, so that every frame costs the same with any weights.
    settings = replace(TrackerSettings(), lost_confidence=-1.0, leaving_frames=0, size_rate=0.0)
    single = make_tracker(settings, camera)
    batch = make_tracker(settings, camera)
    singles = [make_tracker(settings, camera) for _ in range(NUM_TARGETS)]
    first_frame = scene.make_frame(0)
    assert first_frame.truth is not None
    boxes = _spread_boxes(first_frame.truth.boxes[0])
    single.set_target(first_frame.image, boxes[0])
    for tracker, box in zip(singles, boxes, strict=True):
        tracker.set_target(first_frame.image, box)
        batch.set_target(first_frame.image, box)
    batch.prepare_batch()
    times_s = []
    for index in range(1, num_frames + 1):
        frame = scene.make_frame(index)
        times_s.append(
            [
                _measure_frame_s(trackers, frame.image, frame.stamp_ns)
                for trackers in ([single], [batch], singles)
            ]
        )
    single_ms, batch_ms, singles_ms = 1000 * np.median(times_s, axis=0)
    return TrackerSpeed(
        *CUBE_SIZE,
        bands=len(camera.wavelengths_nm),
        targets=NUM_TARGETS,
        engine=single.model.description,
        milliseconds=float(single_ms),
        batch_milliseconds=float(batch_ms),
        singles_milliseconds=float(singles_ms),
    )


def _spread_boxes(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a box and others of the same size, spread over the image, (NUM_TARGETS, 4)."""
    width, height = CUBE_SIZE
    columns, rows = np.meshgrid(np.linspace(0.1, 0.9, NUM_TARGETS // 2), (0.25, 0.75))
    centers = np.stack([columns.ravel() * width, rows.ravel() * height], axis=1)
    boxes = np.concatenate([centers - box[2:] / 2, np.tile(box[2:], (NUM_TARGETS, 1))], axis=1)
    boxes[0] = box
    return boxes


def _measure_frame_s(trackers: list[HsiTracker], cube: NDArray[Any], stamp_ns: int) -> float:
    """Track one frame with each tracker and return the total time in seconds."""
    start = time.perf_counter()
    for tracker in trackers:
        tracker.track(cube, stamp_ns)
    return time.perf_counter() - start
