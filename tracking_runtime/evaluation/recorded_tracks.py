"""Tracks that were recorded with their truth, as answers to score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracking_runtime.bags import BagReader
from tracking_runtime.boxes import as_boxes
from tracking_runtime.datasets.sequences import Truths
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.evaluation.video_scores import Answer
from tracking_runtime.io.disk_list import Made, SpooledMapping
from tracking_runtime.messages.conversion import TARGET_TRACKS, TRACKS, read_truth, stamp_ns

_STATE_CONFIRMED = 2
_IDS_PER_EPOCH = 1 << 32


@dataclass(frozen=True)
class Recorded:
    """What was tracked, and what was there.

    Attributes:
        topic: of the tracks.
        truth: of each frame with a truth; None where the tracker gave no answer, which does not count.
        answer: the tracker's.
        unanswered: frames with a truth that the tracker dropped.
    """

    topic: str
    truth: Truths
    answer: Answer
    unanswered: int


def read_recorded(path: Path, *, topic: str = "") -> Recorded:
    """The tracks of a recording and its ground truth; no image is read.

    Args:
        path: of the recording.
        topic: of the tracks; may be left out if there is one.

    Raises:
        SourceError: there is no truth, or no such tracks; the message says what there is.
    """
    reader = BagReader(path)
    truths = [name for name in reader.topics_of(TRACKS) if name.rpartition("/")[2] == "ground_truth"]
    tracks = [name for kind in (TRACKS, TARGET_TRACKS) for name in reader.topics_of(kind)]
    tracks = [name for name in tracks if name not in truths]
    if len(truths) != 1:
        raise SourceError(f"{path}: {len(truths)} topics named ground_truth, one is needed to score tracks")
    chosen = [name for name in tracks if name == topic] if topic else tracks
    if len(chosen) != 1:
        raise SourceError(f"{path}: choose the topic of its tracks; there: {', '.join(tracks) or 'none'}")
    truth = SpooledMapping((stamp_ns(message), read_truth(message)) for _, message in reader.messages(truths))
    of_one_target = reader.topics[chosen[0]].interface.name == TARGET_TRACKS
    read = _target if of_one_target else _objects
    answers = SpooledMapping((stamp_ns(message), read(message)) for _, message in reader.messages(chosen))
    stamps = list(truth)
    nothing: Any = np.full(4, np.nan) if of_one_target else ScoredBoxes.none()
    complete = Made(len(stamps), lambda index: answers.get(stamps[index], nothing))
    return Recorded(
        topic=chosen[0],
        truth=Made(len(stamps), lambda index: truth[stamps[index]] if stamps[index] in answers else None),
        answer=as_boxes(np.array(complete)) if of_one_target else complete,
        unanswered=sum(stamp not in answers for stamp in stamps),
    )


def _target(message: Any) -> Any:
    """The box of the first target, or NaN."""
    if not len(message.tracks):
        return np.full(4, np.nan)
    box = message.tracks[0].box
    return np.array([box.x, box.y, box.width, box.height])


def _objects(message: Any) -> ScoredBoxes:
    """The objects seen in a frame; ids begin anew in each epoch, so that the epoch is part of them here."""
    seen = np.asarray(message.states) == _STATE_CONFIRMED
    return ScoredBoxes(
        ids=(np.asarray(message.ids, np.int64) + int(message.epoch) * _IDS_PER_EPOCH)[seen],
        boxes=as_boxes(np.asarray(message.boxes, np.float64))[seen],
        scores=np.asarray(message.scores, np.float64)[seen],
        class_ids=np.asarray(message.class_ids, np.int64)[seen],
    )
