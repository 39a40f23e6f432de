"""Track messages of both trackers as drawings for the overlay."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.overlay import TrackDrawing, TrackVisibility

# STATE_* of TargetTrack: TRACKING, UNCERTAIN, LOST.
_TARGET_VISIBILITY = {1: TrackVisibility.SEEN, 2: TrackVisibility.UNSURE, 3: TrackVisibility.UNSEEN}
# STATE_* of TrackArray: TENTATIVE, CONFIRMED, COASTING.
_TRACK_VISIBILITY = {1: TrackVisibility.UNSURE, 2: TrackVisibility.SEEN, 3: TrackVisibility.UNSEEN}


def make_target_drawing(message: Any) -> TrackDrawing:
    """Convert a TargetTrackArray. A label is the id, the target's label, and the score or 'lost'."""
    targets = message.tracks
    return TrackDrawing(
        ids=np.array([target.id for target in targets], np.int64),
        boxes=as_boxes([[t.box.x, t.box.y, t.box.width, t.box.height] for t in targets]),
        visibilities=[_read_visibility(target) for target in targets],
        labels=[_make_target_label(target) for target in targets],
    )


def make_track_drawing(message: Any) -> TrackDrawing:
    """Convert a TrackArray. A label is the id, and the class unless it is the first."""
    names = list(message.class_names)
    ids = np.asarray(message.ids, np.int64)
    classes = [f" {names[k]}" if 0 < k < len(names) else "" for k in message.class_ids]
    return TrackDrawing(
        ids=ids,
        boxes=as_boxes(np.asarray(message.boxes, np.float64)),
        visibilities=[_TRACK_VISIBILITY.get(state, TrackVisibility.UNSURE) for state in message.states],
        labels=[f"{track_id}{name}" for track_id, name in zip(ids, classes, strict=True)],
    )


def _make_target_label(target: Any) -> str:
    status = "lost" if _read_visibility(target) is TrackVisibility.UNSEEN else f"{target.score:.2f}"
    return " ".join(part for part in (str(target.id), target.label, status) if part)


def _read_visibility(target: Any) -> TrackVisibility:
    return _TARGET_VISIBILITY.get(target.state, TrackVisibility.UNSURE)
