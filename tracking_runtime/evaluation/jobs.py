"""Evaluation of one video: a job, the source of its predictions, and its result."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from tracking_runtime.boxes import ScoredBoxes
from tracking_runtime.datasets.result_files import (
    is_single_target,
    read_boxes,
    read_tracks,
    write_boxes,
    write_tracks,
)
from tracking_runtime.datasets.sequences import (
    ImageSequence,
    Truths,
    TruthSequence,
    VideoSequence,
    find_source_path,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.initializations import ONE_PASS, Initialization
from tracking_runtime.evaluation.offline_replay import OFFLINE_NOTE, replay_offline
from tracking_runtime.evaluation.recorded_tracks import read_recorded_predictions
from tracking_runtime.evaluation.replay import ReplayTracker, find_tracker, make_tracker, replay
from tracking_runtime.evaluation.result_store import VideoResult, make_file_stem, write_result
from tracking_runtime.evaluation.video_scores import (
    DEFAULT_RULES,
    SCHEMA,
    Prediction,
    ScoringRules,
    score_video,
)
from tracking_runtime.evaluation.worst_frame import draw_worst_frame
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import pad_sequence
from tracking_runtime.io.notes import collect_notes
from tracking_runtime.io.table_reader import OnInvalidRow
from tracking_runtime.models.manifest import find_model, read_manifest


@dataclass(frozen=True)
class TrackerSource:
    """Predictions of a tracker that is run over the video.

    Attributes:
        tracker: name of the tracker.
        model: name or path of its model.
        engine: engine that runs the model.
        live: True drops frames as in real time.
        offline: True uses later frames (non-causal).
        profile: kind of camera, one of the tracker's profiles; empty: its default.
        weights_sha256: sha256 of the model's weights, so that a resumed run notices another model.
    """

    tracker: str
    model: str
    engine: str = "auto"
    live: bool = False
    offline: bool = False
    profile: str = ""
    weights_sha256: str = ""

    @classmethod
    def resolve(
        cls,
        tracker: str,
        model: str = "",
        engine: str = "auto",
        *,
        live: bool = False,
        offline: bool = False,
        profile: str = "",
    ) -> TrackerSource:
        """Make a source, with the tracker's default model if `model` is empty.

        Raises:
            SourceError: the tracker is unknown.
            ModelError: the model cannot be read.
        """
        chosen_model = model or find_tracker(tracker).default_model
        weights_sha256 = read_manifest(find_model(chosen_model)).weights_sha256
        return cls(tracker, chosen_model, engine, live, offline, profile, weights_sha256)


@dataclass(frozen=True)
class ResultFiles:
    """Predictions from published result files.

    Attributes:
        path: folder with a file for each video, or a single file.
        on_invalid_row: policy for invalid rows.
    """

    path: Path
    on_invalid_row: OnInvalidRow = "raise"


@dataclass(frozen=True)
class RecordedTracks:
    """Predictions from the tracks in the recording itself.

    Attributes:
        topic: topic of the tracks; empty: the recording's only one.
    """

    topic: str = ""


PredictionSource = TrackerSource | ResultFiles | RecordedTracks


@dataclass(frozen=True)
class Job:
    """Evaluation of one video with one initialization.

    Attributes:
        video_name: name of the video, unique within the run.
        video: frames and ground truth.
        source: source of the predictions.
        initialization: initialization of a single-target tracker.
        rules: rules by which many objects are scored.
        bag_path: recording of the video; None if the video is not a recording.
        result_path: published result file of the video; None if missing.
    """

    video_name: str
    video: VideoSequence
    source: PredictionSource
    initialization: Initialization = ONE_PASS
    rules: ScoringRules = DEFAULT_RULES
    bag_path: Path | None = None
    result_path: Path | None = None

    @property
    def name(self) -> str:
        """Name of the video and of the initialization."""
        if self.initialization.name:
            return f"{self.video_name}@{self.initialization.name}"
        return self.video_name

    @property
    def fingerprint(self) -> str:
        """Hash of everything known in advance that the metrics depend on."""
        parts = [SCHEMA, self.name, self.source, self.initialization, self.rules, _describe_input(self)]
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def evaluate_video(job: Job, folder: Path) -> VideoResult:
    """Evaluate one video and write its result. An error becomes part of the result.

    The job's video stays unchanged: ground truth that is read here is not cached in it.

    Args:
        job: job.
        folder: folder of the run.
    """
    with collect_notes() as notes:
        try:
            result = _evaluate(replace(job, video=copy(job.video)), folder)
        except Exception as error:
            result = VideoResult(job.name, job.fingerprint, f"{type(error).__name__}: {error}")
    result = replace(result, notes=tuple(notes))
    write_result(folder, result)
    return result


@dataclass(frozen=True)
class _PredictedVideo:
    """Predictions of a video with the ground truth of the same frames.

    Attributes:
        prediction: prediction for each frame.
        truth: ground truth of each frame.
        first_frame: index of the first frame in the video.
        speed: speed of the tracker, see `VideoResult`.
        tracker_info: description of the tracker.
    """

    prediction: Prediction
    truth: Truths
    first_frame: int = 0
    speed: Mapping[str, float] = field(default_factory=dict)
    tracker_info: Mapping[str, str] = field(default_factory=dict)


def _evaluate(job: Job, folder: Path) -> VideoResult:
    # Step 1: get the predictions.
    if isinstance(job.source, TrackerSource):
        predicted = _run_tracker(job, job.source, folder)
    elif isinstance(job.source, ResultFiles):
        predicted = _read_result_file(job, job.source)
    else:
        predicted = _read_recorded_tracks(job, job.source)
    # Step 2: score them.
    start = time.perf_counter()
    scores = score_video(
        job.name,
        predicted.truth,
        predicted.prediction,
        attributes=job.video.attributes,
        class_names=job.video.class_names,
        rules=job.rules,
    )
    scoring_seconds = time.perf_counter() - start
    speed = {**predicted.speed, "scoring_seconds": scoring_seconds} if predicted.speed else {}
    result = VideoResult(job.name, job.fingerprint, "", scores, speed, predicted.tracker_info)
    # Step 3: draw the worst frame.
    picture = draw_worst_frame(
        job.video, predicted.truth, predicted.prediction, scores, predicted.first_frame
    )
    if picture is None:
        return result
    path = folder / "pictures" / f"{make_file_stem(job.name)}.jpg"
    path.write_bytes(picture.jpeg)
    return replace(result, picture=f"pictures/{path.name}", caption=picture.caption)


def _run_tracker(job: Job, source: TrackerSource, folder: Path) -> _PredictedVideo:
    """Run a tracker and write its predictions as a result file."""
    truth = job.video.truth
    opened_source = replace(source, live=False, offline=False)
    tracker = _open_tracker(opened_source)
    tracker_info = dict(tracker.description)
    if source.offline:
        replayed = replay_offline(
            tracker,
            lambda: _open_second_tracker(opened_source),
            job.video,
            initialization=job.initialization,
        )
        tracker_info["causality"] = OFFLINE_NOTE
    else:
        replayed = replay(tracker, job.video, initialization=job.initialization, live=source.live)
    path = folder / "results" / f"{make_file_stem(job.name)}.txt"
    if isinstance(replayed.prediction, np.ndarray):
        write_boxes(path, replayed.prediction)
    else:
        write_tracks(path, replayed.prediction, first_frame_number=replayed.first_frame + 1)
    speed = {
        "frames": len(replayed.prediction),
        "seconds": replayed.seconds,
        "tracking_seconds": replayed.tracking_seconds,
        "dropped": replayed.num_dropped,
    }
    return _PredictedVideo(
        replayed.prediction,
        truth[replayed.first_frame :],
        replayed.first_frame,
        speed,
        tracker_info,
    )


def _read_result_file(job: Job, source: ResultFiles) -> _PredictedVideo:
    path = job.result_path
    if path is None:
        raise SourceError(f"no result of {job.name} in {source.path}: name its file like the video")
    tracker_info = {"results": str(source.path)}
    video = job.video
    if is_single_target(path):
        boxes = read_boxes(path, len(video), on_invalid_row=source.on_invalid_row)
        return _PredictedVideo(boxes, video.truth, tracker_info=tracker_info)
    # A text file of ground truth may end before the last frames with tracks.
    num_frames = None if isinstance(video, TruthSequence) else len(video)
    objects = read_tracks(path, num_frames, on_invalid_row=source.on_invalid_row)
    length = max(len(video), len(objects))
    return _PredictedVideo(
        pad_sequence(objects, length, ScoredBoxes.none()),
        pad_sequence(video.truth, length, GroundTruth()),
        tracker_info=tracker_info,
    )


def _read_recorded_tracks(job: Job, source: RecordedTracks) -> _PredictedVideo:
    if job.bag_path is None:
        raise SourceError(f"{job.name} is not a recording: choose a tracker or result files")
    recorded = read_recorded_predictions(job.bag_path, topic=source.topic)
    return _PredictedVideo(
        recorded.prediction,
        recorded.truth,
        speed={"frames": len(recorded.truth), "dropped": recorded.num_unpredicted},
        tracker_info={"tracks": recorded.topic},
    )


@lru_cache(maxsize=1)
def _open_tracker(source: TrackerSource) -> ReplayTracker:
    """Open a tracker. It is used again for the next job of this process if that has the same source."""
    return make_tracker(find_tracker(source.tracker), source.model, source.engine, source.profile)


@lru_cache(maxsize=1)
def _open_second_tracker(source: TrackerSource) -> ReplayTracker:
    """Open a tracker for passes backward, as `_open_tracker`."""
    return make_tracker(find_tracker(source.tracker), source.model, source.engine, source.profile)


def _describe_input(job: Job) -> str:
    """Describe the files that the prediction depends on, by path and time of change."""
    if job.result_path is not None:
        return f"{job.result_path} {job.result_path.stat().st_mtime_ns}"
    if isinstance(job.video, ImageSequence):
        return repr([str(path) for path in job.video.image_paths])
    options = getattr(job.video, "options_text", "")
    place = find_source_path(job.video) if job.bag_path is None else job.bag_path
    return f"{place!r}{options}"
