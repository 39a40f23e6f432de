"""Tracks of all objects of a recording, corrected when the last frame is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes
from tracking_runtime.offline.smoothing import SmoothingSettings, smooth_boxes

CONFIRMED, TENTATIVE, COASTING = "confirmed", "tentative", "coasting"  # states of a tracker's objects
INTERPOLATED = "interpolated"  # state of a box between two detections


@dataclass(frozen=True)
class OfflineSettings:
    """Settings of the correction.

    Attributes:
        min_confirmed_frames: number of confirmed frames below which a track is left out.
        max_gap_frames: number of frames without a detection up to which a gap is interpolated.
        smoothing: noise of the tracks.
    """

    min_confirmed_frames: int = 2
    max_gap_frames: int = 30
    smoothing: SmoothingSettings = field(default_factory=SmoothingSettings)


@dataclass
class _History:
    """Detections of one object.

    Attributes:
        frames: index of the frame of each detection.
        boxes: box of each detection.
        scores: score of each detection.
        class_ids: class of each detection.
        num_confirmed: number of frames in which the object was confirmed.
    """

    frames: list[int] = field(default_factory=list)
    boxes: list[Boxes] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    class_ids: list[int] = field(default_factory=list)
    num_confirmed: int = 0


def correct_tracks(
    frames: Iterable[ScoredBoxes], settings: OfflineSettings | None = None
) -> list[ScoredBoxes]:
    """Correct the tracks of a tracker of all moving objects, when all frames are known.

    An object that was confirmed counts from its first detection on, and has the class of most detections.
    Its boxes are smoothed, and short gaps are interpolated. Boxes that the tracker predicted after the last
    detection are left out. Objects that were hardly confirmed are left out.

    Args:
        frames: objects of each frame, with the states `tentative`, `confirmed` or `coasting`; without states,
            all are confirmed.
        settings: settings of the correction; None: the defaults.
    """
    settings = settings or OfflineSettings()
    histories: dict[int, _History] = {}
    num_frames = 0
    for index, objects in enumerate(frames):
        num_frames += 1
        _add_detections(histories, index, objects)
    rows: list[list[tuple[int, Boxes, float, int, str]]] = [[] for _ in range(num_frames)]
    for object_id, history in sorted(histories.items()):
        if history.num_confirmed >= settings.min_confirmed_frames:
            _add_rows(rows, object_id, history, settings)
    return [_make_objects(frame_rows) for frame_rows in rows]


def _add_detections(histories: dict[int, _History], index: int, objects: ScoredBoxes) -> None:
    states = objects.states or (CONFIRMED,) * len(objects.ids)
    for object_id, box, score, class_id, state in zip(
        objects.ids.tolist(), objects.boxes, objects.scores, objects.class_ids, states, strict=True
    ):
        if state == COASTING:
            continue
        history = histories.setdefault(object_id, _History())
        history.frames.append(index)
        history.boxes.append(box)
        history.scores.append(float(score))
        history.class_ids.append(int(class_id))
        history.num_confirmed += state == CONFIRMED


def _add_rows(
    rows: list[list[tuple[int, Boxes, float, int, str]]],
    object_id: int,
    history: _History,
    settings: OfflineSettings,
) -> None:
    """Add the boxes of one object to the rows of its frames."""
    first, last = history.frames[0], history.frames[-1]
    detected = np.array(history.frames) - first
    boxes = np.full((last - first + 1, 4), np.nan)
    boxes[detected] = as_boxes(history.boxes)
    smoothed = smooth_boxes(boxes, settings.smoothing)
    scores = np.interp(np.arange(len(boxes)), detected, history.scores)
    class_id = Counter(history.class_ids).most_common(1)[0][0]
    is_shown = _find_shown(detected, len(boxes), settings.max_gap_frames)
    is_detected = np.isin(np.arange(len(boxes)), detected)
    for offset in np.flatnonzero(is_shown):
        state = CONFIRMED if is_detected[offset] else INTERPOLATED
        rows[first + offset].append((object_id, smoothed[offset], float(scores[offset]), class_id, state))


def _find_shown(detected: np.ndarray, length: int, max_gap_frames: int) -> np.ndarray:
    """Return which frames are detected or in a gap that is short enough, (length,)."""
    is_shown = np.zeros(length, bool)
    is_shown[detected] = True
    for start, end in pairwise(detected):
        if end - start - 1 <= max_gap_frames:
            is_shown[start:end] = True
    return is_shown


def _make_objects(rows: Sequence[tuple[int, Boxes, float, int, str]]) -> ScoredBoxes:
    if not rows:
        return ScoredBoxes.none()
    ids, boxes, scores, class_ids, states = zip(*rows, strict=True)
    return ScoredBoxes(
        np.array(ids, np.int64), as_boxes(boxes), np.array(scores), np.array(class_ids, np.int64), states
    )
