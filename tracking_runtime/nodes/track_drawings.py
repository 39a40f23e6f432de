"""Track messages of both trackers as what there is to draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.overlay import Marks, Presence

# STATE_* of TargetTrack: TRACKING, UNCERTAIN, LOST.
_TARGET_PRESENCE = {1: Presence.SEEN, 2: Presence.UNSURE, 3: Presence.UNSEEN}
# STATE_* of TrackArray: TENTATIVE, CONFIRMED, COASTING.
_TRACK_PRESENCE = {1: Presence.UNSURE, 2: Presence.SEEN, 3: Presence.UNSEEN}


def marks_of_targets(message: Any) -> Marks:
    """Of a TargetTrackArray: labels are id, label and score, or that the target is lost."""
    targets = message.tracks
    return Marks(
        ids=np.array([target.id for target in targets], np.int64),
        boxes=as_boxes([[t.box.x, t.box.y, t.box.width, t.box.height] for t in targets]),
        presence=[_presence(target) for target in targets],
        labels=[_target_label(target) for target in targets],
    )


def marks_of_tracks(message: Any) -> Marks:
    """Of a TrackArray: labels are ids, with the class unless it is the first, the usual one."""
    names = list(message.class_names)
    ids = np.asarray(message.ids, np.int64)
    classes = [f" {names[k]}" if 0 < k < len(names) else "" for k in message.class_ids]
    return Marks(
        ids=ids,
        boxes=as_boxes(np.asarray(message.boxes, np.float64)),
        presence=[_TRACK_PRESENCE.get(state, Presence.UNSURE) for state in message.states],
        labels=[f"{number}{name}" for number, name in zip(ids, classes, strict=True)],
    )


def _target_label(target: Any) -> str:
    certainty = "lost" if _presence(target) is Presence.UNSEEN else f"{target.score:.2f}"
    return " ".join(part for part in (str(target.id), target.label, certainty) if part)


def _presence(target: Any) -> Presence:
    return _TARGET_PRESENCE.get(target.state, Presence.UNSURE)
