"""Planning of a run: videos with unique names, and their jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path

import numpy as np

from tracking_runtime.datasets.factory import find_bags, split_bag_address
from tracking_runtime.datasets.result_files import find_results
from tracking_runtime.datasets.sequences import BagSequence, TruthSequence, VideoSequence, find_source_path
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.initializations import (
    ONE_PASS,
    Initialization,
    Robustness,
    make_initializations,
)
from tracking_runtime.evaluation.jobs import Job, PredictionSource, ResultFiles
from tracking_runtime.evaluation.result_store import make_file_stem
from tracking_runtime.evaluation.video_scores import DEFAULT_RULES, ScoringRules, find_target_boxes


@dataclass(frozen=True)
class NamedVideo:
    """A video with a name that is unique within the run.

    Attributes:
        name: name of the video.
        sequence: frames and ground truth.
        bag_path: recording of the video; None if the video is not a recording.
    """

    name: str
    sequence: VideoSequence
    bag_path: Path | None = None


def assign_unique_names(datasets: Mapping[Path, Sequence[VideoSequence]]) -> list[NamedVideo]:
    """Assign names to the videos of several datasets, so that no two videos have the same result files.

    Videos with the same name get the name of their dataset as a prefix. If they share the prefix too, they
    are named by their path relative to the common folder.

    Args:
        datasets: videos by the path of their dataset.

    Raises:
        SourceError: some videos still have the same result files.
    """
    videos = _name_by_path(_name_by_dataset(datasets))
    shared_stems = _find_shared_stems(videos)
    duplicates = [video.name for video in videos if make_file_stem(video.name) in shared_stems]
    if duplicates:
        raise SourceError(
            f"these videos would have the same result files: {', '.join(duplicates)}; rename their folders"
        )
    return videos


def _name_by_dataset(datasets: Mapping[Path, Sequence[VideoSequence]]) -> list[NamedVideo]:
    """Name the videos. If several have the same name, prefix it with the name of the dataset."""
    counts = Counter(sequence.name for sequences in datasets.values() for sequence in sequences)
    return [
        NamedVideo(
            sequence.name if counts[sequence.name] == 1 else f"{path.resolve().stem}/{sequence.name}",
            sequence,
            sequence.path if isinstance(sequence, BagSequence) else None,
        )
        for path, sequences in datasets.items()
        for sequence in sequences
    ]


def _name_by_path(videos: Sequence[NamedVideo]) -> list[NamedVideo]:
    """Rename the videos that share result files by their path relative to the common folder."""
    shared_stems = _find_shared_stems(videos)
    paths = [
        find_source_path(video.sequence) if make_file_stem(video.name) in shared_stems else None
        for video in videos
    ]
    parents = [path.parent for path in paths if path is not None]
    root = commonpath(parents) if parents else ""
    return [
        video if path is None else replace(video, name=path.relative_to(root).as_posix())
        for video, path in zip(videos, paths, strict=True)
    ]


def _find_shared_stems(videos: Iterable[NamedVideo]) -> set[str]:
    """Return the stems of result files that several videos have."""
    counts = Counter(make_file_stem(video.name) for video in videos)
    return {stem for stem, count in counts.items() if count > 1}


def find_recorded_videos(paths: Iterable[Path], topic: str = "") -> list[NamedVideo]:
    """Find the recordings at some paths. Recordings with the same file name are named by their path.

    Args:
        paths: recordings, or folders of recordings.
        topic: topic of the images, if the recordings have several.

    Raises:
        SourceError: a path contains no recording.
    """
    topics: dict[Path, str] = {}  # by recording, in order
    for address in paths:
        path, image_topic = split_bag_address(address, topic)
        found = find_bags(path) if path.exists() else []
        if not found:
            raise SourceError(f"no recordings at {path}: to score anything else, give --tracker or --results")
        topics.update(dict.fromkeys(found, image_topic))
    counts = Counter(bag.resolve().stem for bag in topics)
    return [
        NamedVideo(
            bag.resolve().stem if counts[bag.resolve().stem] == 1 else str(bag),
            _open_recording(bag, image_topic),
            bag,
        )
        for bag, image_topic in topics.items()
    ]


def make_jobs(
    videos: Sequence[NamedVideo],
    source: PredictionSource,
    *,
    robustness: Robustness = "one-pass",
    rules: ScoringRules = DEFAULT_RULES,
) -> list[Job]:
    """Make a job for each video and initialization.

    Args:
        videos: videos of the run.
        source: source of the predictions.
        robustness: initializations of a single-target tracker.
        rules: rules by which many objects are scored.

    Raises:
        SourceError: several result files match one video.
    """
    result_paths: dict[str, Path] = {}
    if isinstance(source, ResultFiles):
        result_paths = find_results(source.path, [video.name for video in videos])
    return [
        Job(
            video.name,
            video.sequence,
            source,
            initialization,
            rules,
            video.bag_path,
            result_paths.get(video.name),
        )
        for video in videos
        for initialization in _plan_initializations(video.sequence, robustness)
    ]


def _plan_initializations(video: VideoSequence, robustness: Robustness) -> Sequence[Initialization]:
    """Make the initializations of a video. Without a readable target, its one job reports the error."""
    if robustness == "one-pass":
        return (ONE_PASS,)
    try:
        # A copy, so that the ground truth is not cached in the job.
        boxes = find_target_boxes(copy(video).truth)
    except (SourceError, ValueError):
        return (ONE_PASS,)
    present_frames = np.flatnonzero(np.isfinite(boxes[:, 0]))
    return make_initializations(robustness, present_frames.tolist()) if len(present_frames) else (ONE_PASS,)


def _open_recording(bag: Path, topic: str) -> VideoSequence:
    """Open a recording as a video. A recording without images has only its ground truth."""
    try:
        return BagSequence(bag, topic=topic)
    except SourceError:
        return TruthSequence(bag.resolve().stem, bag, list)
