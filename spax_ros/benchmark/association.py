"""`rstrack bench association`: associations compared on ground truth with the errors of a detector."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from spax_ros.association import AssociationSettings, GaussianTracker, TrackState
from spax_ros.benchmark.detection_errors import DetectionErrors, simulate_detections
from spax_ros.benchmark.trackers import REFERENCE, make_association_settings
from spax_ros.simulation import SatelliteScene
from spax_ros.tracker import TrackerSettings
from tracking_runtime.boxes import FrameBoxes, make_unique_ids
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.multi_object import MotScores, score_tracks
from tracking_runtime.frames import GroundTruth
from tracking_runtime.system_info import describe_machine

RESULT_FILE = "association.json"


@dataclass(frozen=True)
class TruthVideo:
    """A video of which only the objects are used.

    Attributes:
        name: name of the video.
        truth: objects of each frame.
        camera_motions: homography ``(3, 3)`` from the previous frame's pixels to each frame's; None: none.
        rate_hz: frames per second.
    """

    name: str
    truth: Sequence[GroundTruth]
    camera_motions: Sequence[NDArray[np.float64]] | None = None
    rate_hz: float = 10.0


def read_truth_video(video: VideoSequence) -> TruthVideo:
    """Read the objects of a video without its images.

    Raises:
        SourceError: the video has no ground truth.
    """
    truth = [objects or GroundTruth() for objects in video.truth]
    if not any(len(objects.ids) for objects in truth):
        raise SourceError(f"{video.name} must have ground truth: got no object; check the path")
    return TruthVideo(video.name, truth, rate_hz=video.rate_hz)


def simulate_truth_video(seed: int, num_frames: int, size_px: int) -> TruthVideo:
    """Return the objects and the camera motion of a simulated satellite scene."""
    scene = SatelliteScene(seed, num_frames, size_px)
    truth = [frame.truth or GroundTruth() for frame in scene]
    motions = [scene.compute_camera_motion(index) for index in range(num_frames)]
    return TruthVideo(scene.name, truth, motions, scene.rate_hz)


def list_associations() -> dict[str, AssociationSettings]:
    """Return the compared associations by name, SPAX's own first."""
    return {REFERENCE: TrackerSettings().association, **make_association_settings()}


def score_association(
    videos: Sequence[TruthVideo], settings: AssociationSettings, errors: DetectionErrors
) -> MotScores:
    """Return the metrics of an association over all videos as one sequence, with a match at IoU >= 0.3.

    Args:
        videos: objects of the videos.
        settings: settings of the association.
        errors: errors of the detector.
    """
    truth: list[FrameBoxes] = []
    predictions: list[FrameBoxes] = []
    for number, video in enumerate(videos):
        tracker = GaussianTracker(settings)
        for index, (detections, _) in enumerate(simulate_detections(video.truth, errors)):
            tracks = tracker.update(
                detections.boxes,
                detections.scores,
                detections.class_ids,
                stamp_ns=round(index * 1e9 / video.rate_hz),
                camera_motion=None if video.camera_motions is None else video.camera_motions[index],
            )
            is_confirmed = tracks.states == TrackState.CONFIRMED
            ids = make_unique_ids(tracks.ids[is_confirmed], number)
            predictions.append(FrameBoxes(ids, tracks.boxes[is_confirmed]))
        truth += [FrameBoxes(make_unique_ids(objects.ids, number), objects.boxes) for objects in video.truth]
    return score_tracks(truth, predictions)


def compare_associations(
    videos: Sequence[TruthVideo], errors: DetectionErrors, on_association: Callable[[], None]
) -> dict[str, MotScores]:
    """Return the metrics of every association by name.

    Args:
        videos: objects of the videos.
        errors: errors of the detector.
        on_association: called after each association.
    """
    scores = {}
    for name, settings in list_associations().items():
        scores[name] = score_association(videos, settings, errors)
        on_association()
    return scores


def make_table(title: str, scores: Mapping[str, MotScores]) -> Table:
    """Return a table with one row per association."""
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for column in ("MOTA", "IDF1", "HOTA", "IDs", "FP", "FN"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, values in scores.items():
        counts = (values.identity_switches, values.false_positives, values.misses)
        table.add_row(
            name,
            *(f"{value:.3f}" for value in (values.mota, values.idf1, values.hota)),
            *(str(count) for count in counts),
        )
    return table


def write_report(
    folder: Path, groups: Iterable[tuple[str, Mapping[str, MotScores]]], settings: Mapping[str, Any]
) -> Path:
    """Write the metrics of each group of videos to a JSON file, and return its path.

    Args:
        folder: folder of the file, created if missing.
        groups: title and metrics of each group of videos.
        settings: options of the benchmark.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = {title: {name: asdict(values) for name, values in scores.items()} for title, scores in groups}
    content = {"settings": settings, "machine": asdict(describe_machine()), "results": results}
    path = folder / RESULT_FILE
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
