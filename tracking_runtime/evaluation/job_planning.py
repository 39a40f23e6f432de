"""Which videos a run is over, and the jobs that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path

import numpy as np

from tracking_runtime.datasets.factory import find_bags
from tracking_runtime.datasets.result_files import find_results
from tracking_runtime.datasets.sequences import BagSequence, TruthSequence, VideoSequence, place_of
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.initializations import ONE_PASS, Robustness, Start, starts
from tracking_runtime.evaluation.jobs import Answers, Job, ResultFiles, file_name
from tracking_runtime.evaluation.video_scores import DEFAULT_RULES, Rules, target_boxes


@dataclass(frozen=True)
class Video:
    """A video under a name that no other video of the run has.

    Attributes:
        name: of the video.
        sequence: the video.
        bag: its recording, if it is one.
    """

    name: str
    sequence: VideoSequence
    bag: Path | None = None


def named_apart(places: Mapping[Path, Sequence[VideoSequence]]) -> list[Video]:
    """The videos of several places, no two with the same files of results.

    Those that share a name get that of their place before it; those that share even that one are named by
    the path to them, from the folder that they have in common.

    Raises:
        SourceError: some cannot be told apart.
    """
    names = Counter(sequence.name for sequences in places.values() for sequence in sequences)
    videos = [
        Video(
            sequence.name if names[sequence.name] == 1 else f"{place.resolve().stem}/{sequence.name}",
            sequence,
            sequence.path if isinstance(sequence, BagSequence) else None,
        )
        for place, sequences in places.items()
        for sequence in sequences
    ]
    shared = _shared_files(videos)
    lying = [place_of(video.sequence) if file_name(video.name) in shared else None for video in videos]
    parents = [place.parent for place in lying if place is not None]
    above = commonpath(parents) if parents else ""
    told = [
        video if place is None else replace(video, name=place.relative_to(above).as_posix())
        for video, place in zip(videos, lying, strict=True)
    ]
    shared = _shared_files(told)
    if alike := [video.name for video in told if file_name(video.name) in shared]:
        raise SourceError(f"results of these videos would lie in the same files: {', '.join(alike)}")
    return told


def _shared_files(videos: Iterable[Video]) -> set[str]:
    """Names of files of results that several videos would have."""
    users = Counter(file_name(video.name) for video in videos)
    return {name for name, count in users.items() if count > 1}


def recorded_videos(places: Iterable[Path]) -> list[Video]:
    """The recordings at some places.

    Raises:
        SourceError: a place has none.
    """
    found = {}
    for place in places:
        bags = find_bags(place) if place.exists() else []
        if not bags:
            raise SourceError(
                f"no recordings at {place}: to score anything else, give --tracker or --results"
            )
        found.update(dict.fromkeys(bags))
    names = Counter(bag.resolve().stem for bag in found)
    return [
        Video(bag.resolve().stem if names[bag.resolve().stem] == 1 else str(bag), _with_images(bag), bag)
        for bag in found
    ]


def make_jobs(
    videos: Sequence[Video],
    answers: Answers,
    *,
    robustness: Robustness = "one-pass",
    rules: Rules = DEFAULT_RULES,
) -> list[Job]:
    """A job for each video and start.

    Raises:
        SourceError: several result files may be of one video.
    """
    published: dict[str, Path] = {}
    if isinstance(answers, ResultFiles):
        published = find_results(answers.path, [video.name for video in videos])
    return [
        Job(
            video.name,
            video.sequence,
            answers,
            start,
            rules,
            video.bag,
            published.get(video.name),
        )
        for video in videos
        for start in _starts(video.sequence, robustness)
    ]


def _starts(video: VideoSequence, robustness: Robustness) -> Sequence[Start]:
    """The starts of a video, of which nothing is kept; one where no target can be read: its job will say."""
    if robustness == "one-pass":
        return (ONE_PASS,)
    try:
        present = np.flatnonzero(np.isfinite(target_boxes(copy(video).truth)[:, 0]))
    except (SourceError, ValueError):
        return (ONE_PASS,)
    return starts(robustness, present.tolist()) if len(present) else (ONE_PASS,)


def _with_images(bag: Path) -> VideoSequence:
    """A recording as a video; one whose images were not recorded has only its truth."""
    try:
        return BagSequence(bag)
    except SourceError:
        return TruthSequence(bag.resolve().stem, bag, list)
