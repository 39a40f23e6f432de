"""Track messages of both trackers as parallel arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, as_boxes
from tracking_runtime.errors import FrameRefusedError

_STATE_LOST = 3  # STATE_LOST of TargetTrack
_MAX_TRACKS = 100_000


@dataclass(frozen=True)
class TrackRows:
    """Tracks of one frame.

    Attributes:
        ids: identity of each track, (n,).
        boxes: boxes in pixels, (n, 4): x, y, width, height.
        scores: score of each track, (n,).
        states: state of each track, (n,), as in its message.
        labels: class name or label of each track.
    """

    ids: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float64]
    states: NDArray[np.uint8]
    labels: list[str]

    def select(self, is_selected: NDArray[np.bool_]) -> TrackRows:
        """Return the tracks of a mask, (n,)."""
        labels = [label for label, selected in zip(self.labels, is_selected, strict=True) if selected]
        return TrackRows(
            self.ids[is_selected],
            self.boxes[is_selected],
            self.scores[is_selected],
            self.states[is_selected],
            labels,
        )


def read_target_rows(message: Any) -> TrackRows:
    """Read a TargetTrackArray. LOST targets are left out: their box is the last position.

    Raises:
        FrameRefusedError: the message has too many targets, or a box that is not finite.
    """
    targets = [target for target in message.tracks if target.state != _STATE_LOST]
    rows = TrackRows(
        ids=np.array([target.id for target in targets], np.int64),
        boxes=as_boxes([[t.box.x, t.box.y, t.box.width, t.box.height] for t in targets]),
        scores=np.array([target.score for target in targets], np.float64),
        states=np.array([target.state for target in targets], np.uint8),
        labels=[target.label for target in targets],
    )
    return _check(rows)


def read_track_rows(message: Any) -> TrackRows:
    """Read a TrackArray.

    Raises:
        FrameRefusedError: the arrays differ in length, are too long, or a box is not finite.
    """
    count = len(message.ids)
    for name, width in (("class_ids", 1), ("scores", 1), ("boxes", 4), ("states", 1)):
        length = len(getattr(message, name))
        if length != count * width:
            raise FrameRefusedError(
                f"TrackArray with {count} ids must have {count * width} {name}: got {length}"
            )
    names = list(message.class_names)
    rows = TrackRows(
        ids=np.asarray(message.ids, np.int64),
        boxes=as_boxes(np.asarray(message.boxes, np.float64)),
        scores=np.asarray(message.scores, np.float64),
        states=np.asarray(message.states, np.uint8),
        labels=[names[k] if k < len(names) else "" for k in message.class_ids],
    )
    return _check(rows)


def _check(rows: TrackRows) -> TrackRows:
    if len(rows.ids) > _MAX_TRACKS:
        raise FrameRefusedError(f"a frame must have at most {_MAX_TRACKS} tracks: got {len(rows.ids)}")
    if not np.isfinite(rows.boxes).all():
        raise FrameRefusedError("boxes of tracks must be finite")
    return rows
