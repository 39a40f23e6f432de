"""Predictions read from a recording's track topics, with the ground truth recorded beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracking_runtime.bags import BagReader
from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes, make_unique_ids
from tracking_runtime.datasets.sequences import Truths
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.video_scores import Prediction
from tracking_runtime.io.disk_list import DiskDict, LazySequence
from tracking_runtime.messages.conversion import TARGET_TRACKS, TRACKS, read_stamp_ns, read_truth

_STATE_CONFIRMED = 2  # TrackArray.STATE_CONFIRMED
_NO_BOX = np.full(4, np.nan)


@dataclass(frozen=True)
class RecordedPredictions:
    """Recorded tracks of each frame with ground truth.

    Attributes:
        topic: topic of the tracks.
        truth: ground truth of each frame; None if the tracker has no prediction for it, so that it does not
            count.
        prediction: prediction of the tracker.
        num_unpredicted: number of frames without a prediction, which the tracker dropped.
    """

    topic: str
    truth: Truths
    prediction: Prediction
    num_unpredicted: int


def read_recorded_predictions(path: Path, *, topic: str = "") -> RecordedPredictions:
    """Read the tracks of a recording and its ground truth. Read no image.

    Args:
        path: recording.
        topic: topic of the tracks. Empty: the recording's only topic of tracks.

    Raises:
        SourceError: the ground truth or the topic is missing. The message lists the topics of the recording.
    """
    reader = BagReader(path)
    truth_topic, tracks_topic = _choose_topics(reader, path, topic)
    truth_by_stamp = DiskDict(
        (read_stamp_ns(message), read_truth(message)) for _, message in reader.read_messages([truth_topic])
    )
    stamps_ns = list(truth_by_stamp)
    prediction: Prediction
    if reader.topics[tracks_topic].interface.name == TARGET_TRACKS:
        boxes = {
            read_stamp_ns(message): _read_target(message)
            for _, message in reader.read_messages([tracks_topic])
        }
        prediction = as_boxes([boxes.get(stamp_ns, _NO_BOX) for stamp_ns in stamps_ns])
        predicted_stamps = set(boxes)
    else:
        objects = DiskDict(
            (read_stamp_ns(message), _read_objects(message))
            for _, message in reader.read_messages([tracks_topic])
        )
        empty = ScoredBoxes.none()
        prediction = LazySequence(len(stamps_ns), lambda index: objects.get(stamps_ns[index], empty))
        predicted_stamps = set(objects)

    def get_truth(index: int) -> Any:
        return truth_by_stamp[stamps_ns[index]] if stamps_ns[index] in predicted_stamps else None

    return RecordedPredictions(
        topic=tracks_topic,
        truth=LazySequence(len(stamps_ns), get_truth),
        prediction=prediction,
        num_unpredicted=sum(stamp_ns not in predicted_stamps for stamp_ns in stamps_ns),
    )


def _choose_topics(reader: BagReader, path: Path, topic: str) -> tuple[str, str]:
    """Return the topics of the ground truth and of the tracks. Raise SourceError if they are not unique."""
    truth_topics = [name for name in reader.find_topics(TRACKS) if name.rpartition("/")[2] == "ground_truth"]
    all_tracks = [name for kind in (TRACKS, TARGET_TRACKS) for name in reader.find_topics(kind)]
    track_topics = [name for name in all_tracks if name not in truth_topics]
    if len(truth_topics) != 1:
        raise SourceError(
            f"{path} must have one topic named ground_truth to score tracks: got {len(truth_topics)}"
        )
    chosen = [name for name in track_topics if name == topic] if topic else track_topics
    if len(chosen) != 1:
        available = ", ".join(track_topics) or "none"
        raise SourceError(f"{path}: choose the topic of its tracks (--tracks-topic); available: {available}")
    return truth_topics[0], chosen[0]


def _read_target(message: Any) -> Boxes:
    """Return the box of the first target, (4,); NaN without targets."""
    if not len(message.tracks):
        return _NO_BOX
    box = message.tracks[0].box
    return np.array([box.x, box.y, box.width, box.height])


def _read_objects(message: Any) -> ScoredBoxes:
    """Return the confirmed tracks. The epoch is part of their ids, because ids restart in each epoch."""
    is_confirmed = np.asarray(message.states) == _STATE_CONFIRMED
    return ScoredBoxes(
        ids=make_unique_ids(message.ids, int(message.epoch))[is_confirmed],
        boxes=as_boxes(np.asarray(message.boxes, np.float64))[is_confirmed],
        scores=np.asarray(message.scores, np.float64)[is_confirmed],
        class_ids=np.asarray(message.class_ids, np.int64)[is_confirmed],
    )
