"""Tracks of one video from a result file of any kind, as boxes of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracking_runtime.boxes import Boxes, ScoredBoxes
from tracking_runtime.datasets.result_files import is_single_target, read_boxes, read_tracks
from tracking_runtime.errors import SourceError
from tracking_runtime.io.table_reader import read_rows

_SINGLE_TARGET_ID = 1


@dataclass(frozen=True)
class TrackFile:
    """Tracks of one video.

    Attributes:
        frames: boxes of each frame.
        stamps_ns: time of each frame in nanoseconds; None if the file has no times.
        class_names: name of each class id; empty if the file has no names.
    """

    frames: Sequence[ScoredBoxes]
    stamps_ns: Sequence[int] | None = None
    class_names: tuple[str, ...] = ()


def read_track_file(path: Path) -> TrackFile:
    """Read the tracks of a result file.

    Args:
        path: MOT text (`frame, id, x, y, width, height, …`) or boxes of one target, a row per frame. A box
            of NaN or without area means that the target is absent.

    Raises:
        SourceError: the file cannot be read, or a row is invalid. The message names file and line.
    """
    if not path.is_file():
        raise SourceError(f"{path} must be a file of tracks: found none; check the path")
    if is_single_target(path):
        num_frames = sum(1 for _ in read_rows(path))
        return TrackFile(make_single_target_frames(read_boxes(path, num_frames)))
    return TrackFile(read_tracks(path))


def make_single_target_frames(boxes: Boxes) -> list[ScoredBoxes]:
    """Return the boxes of one target, (n, 4), as frames with the object 1. Absent boxes are left out."""
    is_present = np.asarray(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    empty = ScoredBoxes.none()
    return [
        ScoredBoxes(np.array([_SINGLE_TARGET_ID], np.int64), box[None], np.ones(1), np.full(1, -1, np.int64))
        if present
        else empty
        for box, present in zip(boxes, is_present, strict=True)
    ]
