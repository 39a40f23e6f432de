"""Track messages of both trackers as drawings for the overlay."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.overlay import TrackDrawing, TrackVisibility

# STATE_* of TargetTrack: TRACKING, UNCERTAIN, LOST.
_TARGET_VISIBILITY = {1: TrackVisibility.SEEN, 2: TrackVisibility.UNSURE, 3: TrackVisibility.UNSEEN}
# STATE_* of TrackArray: TENTATIVE, CONFIRMED, COASTING.
_TRACK_VISIBILITY = {1: TrackVisibility.UNSURE, 2: TrackVisibility.SEEN, 3: TrackVisibility.UNSEEN}


def make_target_drawing(message: Any) -> TrackDrawing:
    """Convert a TargetTrackArray. A label is the id, the target's label, and the score or 'lost'.

    Raises:
        FrameRefusedError: a box is not finite.
    """
    targets = message.tracks
    drawing = TrackDrawing(
        ids=np.array([target.id for target in targets], np.int64),
        boxes=as_boxes([[t.box.x, t.box.y, t.box.width, t.box.height] for t in targets]),
        visibilities=[_read_visibility(target) for target in targets],
        labels=[_make_target_label(target) for target in targets],
    )
    return _check(drawing)


def make_track_drawing(message: Any) -> TrackDrawing:
    """Convert a TrackArray. A label is the id, and the class unless it is the first.

    Raises:
        FrameRefusedError: the arrays differ in length, or a box is not finite.
    """
    count = len(message.ids)
    for name, width in (("class_ids", 1), ("boxes", 4), ("states", 1)):
        length = len(getattr(message, name))
        if length != count * width:
            raise FrameRefusedError(
                f"TrackArray with {count} ids must have {count * width} {name}: got {length}"
            )
    names = list(message.class_names)
    ids = np.asarray(message.ids, np.int64)
    classes = [f" {names[k]}" if 0 < k < len(names) else "" for k in message.class_ids]
    drawing = TrackDrawing(
        ids=ids,
        boxes=as_boxes(np.asarray(message.boxes, np.float64)),
        visibilities=[_TRACK_VISIBILITY.get(state, TrackVisibility.UNSURE) for state in message.states],
        labels=[f"{track_id}{name}" for track_id, name in zip(ids, classes, strict=True)],
    )
    return _check(drawing)


def _check(drawing: TrackDrawing) -> TrackDrawing:
    if not np.isfinite(drawing.boxes).all():
        raise FrameRefusedError("boxes of tracks must be finite: got NaN or infinite numbers")
    return drawing


def _make_target_label(target: Any) -> str:
    status = "lost" if _read_visibility(target) is TrackVisibility.UNSEEN else f"{target.score:.2f}"
    return " ".join(part for part in (str(target.id), target.label, status) if part)


def _read_visibility(target: Any) -> TrackVisibility:
    return _TARGET_VISIBILITY.get(target.state, TrackVisibility.UNSURE)
