"""Run of the trackers over the clips of the benchmark."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spax_ros.association import AssociationSettings, GaussianTracker, Tracks, TrackState
from spax_ros.benchmark.cost_line import fit_cost_line
from spax_ros.benchmark.trackers import BenchmarkTracker, make_association_settings
from spax_ros.decoding import Detections
from spax_ros.tracker import TrackingResult
from tracking_runtime.boxes import FrameBoxes, make_unique_ids
from tracking_runtime.evaluation.multi_object import MotScores, score_tracks
from tracking_runtime.frames import Frame


@dataclass(frozen=True)
class TrackerResult:
    """Results of one tracker over all clips as one sequence.

    Attributes:
        name: name of the tracker.
        exchanged: exchanged part of the reference. See `BenchmarkTracker`.
        scores: MOT metrics with a match at IoU >= 0.3.
        milliseconds: median time of a frame from image to tracks.
        operations: mean multiply-accumulate operations of the network per frame. NaN: no network.
        active_share: mean fraction of active pixels, 0..1. NaN: no mask.
    """

    name: str
    exchanged: str
    scores: MotScores
    milliseconds: float
    operations: float = float("nan")
    active_share: float = float("nan")


@dataclass(frozen=True)
class FrameCosts:
    """Cost of each frame of the reference.

    Attributes:
        active_pixels: number of active pixels.
        milliseconds: time from image to tracks.
    """

    active_pixels: tuple[int, ...]
    milliseconds: tuple[float, ...]

    def fit_line(self) -> tuple[float, float]:
        """Fit a line and return the milliseconds without active pixels and the milliseconds per pixel."""
        return fit_cost_line(self.active_pixels, self.milliseconds)


@dataclass
class _Measurements:
    """Predictions and measurements of one tracker, frame by frame.

    Attributes:
        predictions: confirmed tracks.
        milliseconds: time from image to tracks.
        operations: multiply-accumulate operations of the network.
        active_fractions: fraction of active pixels, 0..1.
        active_pixels: number of active pixels.
    """

    predictions: list[FrameBoxes] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    operations: list[float] = field(default_factory=list)
    active_fractions: list[float] = field(default_factory=list)
    active_pixels: list[int] = field(default_factory=list)

    def make_result(self, name: str, exchanged: str, truth: Sequence[FrameBoxes]) -> TrackerResult:
        """Score the predictions and summarize the measurements."""
        return TrackerResult(
            name=name,
            exchanged=exchanged,
            scores=score_tracks(truth, self.predictions),
            milliseconds=float(np.median(self.milliseconds)),
            operations=_mean_or_nan(self.operations),
            active_share=_mean_or_nan(self.active_fractions),
        )


def run_trackers(
    clips: Iterable[Iterable[Frame]], trackers: Sequence[BenchmarkTracker], on_frame: Callable[[], None]
) -> tuple[list[TrackerResult], FrameCosts]:
    """Run all trackers, and other associations on the reference's detections.

    Args:
        clips: frames with ground truth, clip by clip.
        trackers: trackers to run. The first is the reference.
        on_frame: called after each frame of each tracker.

    Returns:
        Results of the trackers and associations, and the cost of each frame of the reference.
    """
    tracker_measurements = {tracker.name: _Measurements() for tracker in trackers}
    association_settings = make_association_settings()
    association_measurements = {name: _Measurements() for name in association_settings}
    truth: list[FrameBoxes] = []
    for clip_index, clip in enumerate(clips):
        frames = list(clip)
        truth += [_read_truth(frame, clip_index) for frame in frames]
        for tracker in trackers:
            detections = _run_clip(tracker, frames, clip_index, tracker_measurements[tracker.name], on_frame)
            if tracker is trackers[0]:
                for name, settings in association_settings.items():
                    _replay_detections(detections, settings, clip_index, association_measurements[name])
    results = [
        tracker_measurements[tracker.name].make_result(tracker.name, tracker.exchanged, truth)
        for tracker in trackers
    ]
    results += [
        measurements.make_result(name, "association", truth)
        for name, measurements in association_measurements.items()
    ]
    reference = tracker_measurements[trackers[0].name]
    return results, FrameCosts(tuple(reference.active_pixels), tuple(reference.milliseconds))


@dataclass(frozen=True)
class _FrameDetections:
    """Detections of one frame, to be associated again.

    Attributes:
        stamp_ns: stamp of the frame in nanoseconds.
        image_size: width and height in pixels.
        detections: detections of the reference.
        camera_motion: transform from pixels of the last frame to pixels of this one, (3, 3).
        milliseconds: time of the reference from image to tracks.
    """

    stamp_ns: int
    image_size: tuple[int, int]
    detections: Detections
    camera_motion: NDArray[np.float64]
    milliseconds: float


def _run_clip(
    benchmark_tracker: BenchmarkTracker,
    frames: Sequence[Frame],
    clip_index: int,
    measurements: _Measurements,
    on_frame: Callable[[], None],
) -> list[_FrameDetections]:
    """Run a tracker over a clip and return its detections; none if the tracker returns tracks only."""
    tracker = benchmark_tracker.make_tracker()
    detections = []
    for frame in frames:
        start_ns = time.perf_counter_ns()
        result = tracker.track(frame.image, frame.stamp_ns)
        milliseconds = (time.perf_counter_ns() - start_ns) / 1e6
        measurements.milliseconds.append(milliseconds)
        tracks = result.tracks if isinstance(result, TrackingResult) else result
        measurements.predictions.append(_select_confirmed(tracks, clip_index))
        if isinstance(result, TrackingResult):
            measurements.operations.append(result.operations)
            measurements.active_fractions.append(result.active_fraction)
            measurements.active_pixels.append(int(result.motion_mask.sum()))
            height, width = frame.image.shape[:2]
            detections.append(
                _FrameDetections(
                    stamp_ns=frame.stamp_ns,
                    image_size=(width, height),
                    detections=result.detections,
                    camera_motion=result.camera_motion,
                    milliseconds=milliseconds,
                )
            )
        on_frame()
    return detections


def _replay_detections(
    frames: Sequence[_FrameDetections],
    settings: AssociationSettings,
    clip_index: int,
    measurements: _Measurements,
) -> None:
    """Associate the detections of a clip with other settings."""
    tracker = GaussianTracker(settings)
    for frame in frames:
        tracks = tracker.update(
            frame.detections.boxes,
            frame.detections.scores,
            frame.detections.class_ids,
            frame.stamp_ns,
            camera_motion=frame.camera_motion,
        )
        visible_tracks = tracks.clip_to_image(*frame.image_size)
        measurements.predictions.append(_select_confirmed(visible_tracks, clip_index))
        measurements.milliseconds.append(frame.milliseconds)


def _read_truth(frame: Frame, clip_index: int) -> FrameBoxes:
    if frame.truth is None:
        return FrameBoxes(np.zeros(0, np.int64), np.zeros((0, 4)))
    return FrameBoxes(make_unique_ids(frame.truth.ids, clip_index), frame.truth.boxes)


def _select_confirmed(tracks: Tracks, clip_index: int) -> FrameBoxes:
    is_confirmed = tracks.states == TrackState.CONFIRMED
    return FrameBoxes(make_unique_ids(tracks.ids[is_confirmed], clip_index), tracks.boxes[is_confirmed])


def _mean_or_nan(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
