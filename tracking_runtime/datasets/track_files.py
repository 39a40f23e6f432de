"""Tracks of one video from a result file of any kind, as boxes of each frame."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes
from tracking_runtime.datasets.result_files import is_single_target, read_boxes, read_tracks
from tracking_runtime.errors import SourceError
from tracking_runtime.io.disk_list import DiskList, LazySequence
from tracking_runtime.io.table_reader import read_rows

_JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
_SINGLE_TARGET_ID = 1
_LOST = "lost"  # state of a target that is not in the frame
_MAX_LINE_BYTES = 1 << 24  # bytes of one frame
_MAX_FRAME_NUMBER = 1 << 31
_MAX_CLASSES = 256


@dataclass(frozen=True)
class TrackFile:
    """Tracks of one video.

    Attributes:
        frames: boxes of each frame that the file has.
        frame_numbers: number of each frame in the video, from 1, ascending.
        stamps_ns: time of each frame in nanoseconds; None if the file has no times.
        class_names: name of each class id; empty if the file has no names.
    """

    frames: Sequence[ScoredBoxes]
    frame_numbers: Sequence[int]
    stamps_ns: Sequence[int] | None = None
    class_names: tuple[str, ...] = ()

    @property
    def num_frames(self) -> int:
        """Number of the last frame."""
        return self.frame_numbers[-1] if len(self.frame_numbers) else 0

    def rename_classes(self, class_names: Sequence[str], subject: object) -> TrackFile:
        """Return the tracks with class ids that index other names; empty names change nothing.

        Args:
            class_names: name of each class id, in the order of the tracker's or benchmark's numbers.
            subject: file of the tracks, for the message.

        Raises:
            SourceError: a class of the file has none of the names.
        """
        if not class_names:
            return self
        unknown = [name for name in self.class_names if name not in class_names]
        if unknown:
            raise SourceError(
                f"{subject}: class {unknown[0]!r} must be one of the class names: got "
                f"{', '.join(class_names)}"
            )
        new_ids = np.array([*map(list(class_names).index, self.class_names), -1], np.int64)

        def rename(index: int) -> ScoredBoxes:
            frame = self.frames[index]
            return replace(frame, class_ids=new_ids[frame.class_ids])

        return replace(self, frames=LazySequence(len(self.frames), rename), class_names=tuple(class_names))


def read_track_file(path: Path, class_names: Sequence[str] = ()) -> TrackFile:
    """Read the tracks of a result file.

    Args:
        path: JSON lines of `rstrack track` (`.jsonl`), MOT text (`frame, id, x, y, width, height, …`), or
            boxes of one target, a row per frame. A box of NaN or without area, or a lost target, is absent.
        class_names: name of each class id; empty: the names in the file, in the order of their appearance.

    Raises:
        SourceError: the file cannot be read, or a row is invalid. The message names file and line.
    """
    if not path.is_file():
        raise SourceError(f"{path} must be a file of tracks: found none; check the path")
    if path.suffix.lower() in _JSON_LINES_SUFFIXES:
        return _read_json_lines(path).rename_classes(class_names, path)
    if is_single_target(path):
        num_frames = sum(1 for _ in read_rows(path))
        frames: Sequence[ScoredBoxes] = _make_single_target_frames(read_boxes(path, num_frames))
    else:
        frames = read_tracks(path)
    return TrackFile(frames, range(1, len(frames) + 1), class_names=tuple(class_names))


def _make_single_target_frames(boxes: Boxes) -> list[ScoredBoxes]:
    """Return the boxes of one target, (n, 4), as frames with the object 1. Absent boxes are left out."""
    is_present = np.asarray(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    empty = ScoredBoxes.none()
    return [
        ScoredBoxes(np.array([_SINGLE_TARGET_ID], np.int64), box[None], np.ones(1), np.full(1, -1, np.int64))
        if present
        else empty
        for box, present in zip(boxes, is_present, strict=True)
    ]


def _read_json_lines(path: Path) -> TrackFile:
    """Read the JSON lines of `rstrack track`. An unfinished last line of an interrupted run is left out."""
    frames: DiskList[ScoredBoxes] = DiskList()
    numbers: list[int] = []
    stamps_ns: list[int] = []
    class_ids: dict[str, int] = {}
    for place, content in _parse_lines(path):
        number = _get_int(place, content, "frame", 1, _MAX_FRAME_NUMBER)
        stamp_ns = _get_int(place, content, "stamp_ns", -(1 << 63), (1 << 63) - 1)
        if numbers and (number <= numbers[-1] or stamp_ns < stamps_ns[-1]):
            raise SourceError(
                f"{place}: frames and stamps must ascend: got frame {number} after {numbers[-1]}"
            )
        tracks = content.get("tracks")
        if not isinstance(tracks, list) or not all(isinstance(track, dict) for track in tracks):
            raise SourceError(f"{place}: tracks must be a list of objects")
        frames.append(_make_boxes(place, [t for t in tracks if t.get("state") != _LOST], class_ids))
        numbers.append(number)
        stamps_ns.append(stamp_ns)
    return TrackFile(frames, numbers, stamps_ns, tuple(class_ids))


def _parse_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield file with line number, and content, of each line."""
    try:
        with path.open("rb") as file:
            line_number = 0
            while line := file.readline(_MAX_LINE_BYTES + 1):
                line_number += 1
                place = f"{path}:{line_number}"
                if len(line) > _MAX_LINE_BYTES:
                    raise SourceError(f"{place}: a line must have at most {_MAX_LINE_BYTES} bytes")
                if not line.strip():
                    continue
                try:
                    content = json.loads(line)
                except (ValueError, RecursionError) as error:
                    if not line.endswith(b"\n") and line_number > 1:
                        return
                    raise SourceError(f"{place}: a line must be a JSON object: {error}") from error
                if not isinstance(content, dict):
                    raise SourceError(f"{place}: a line must be a JSON object: got {type(content).__name__}")
                yield place, content
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _make_boxes(place: str, tracks: Sequence[Mapping[str, Any]], class_ids: dict[str, int]) -> ScoredBoxes:
    """Return the boxes of a line. New class names get the next id."""
    ids = [_get_int(place, track, "id", 0, (1 << 63) - 1) for track in tracks]
    if len(set(ids)) != len(ids):
        raise SourceError(f"{place}: an object is in the frame twice")
    classes = []
    for track in tracks:
        name = track.get("class", "")
        if not isinstance(name, str):
            raise SourceError(f"{place}: class must be text: got {str(name)[:50]}")
        if name and name not in class_ids and len(class_ids) >= _MAX_CLASSES:
            raise SourceError(f"{place}: at most {_MAX_CLASSES} classes are read")
        classes.append(class_ids.setdefault(name, len(class_ids)) if name else -1)
    states = tuple(str(track.get("state", "")) for track in tracks)
    return ScoredBoxes(
        ids=np.array(ids, np.int64),
        boxes=as_boxes([_get_box(place, track) for track in tracks]),
        scores=np.array([_get_score(place, track) for track in tracks], np.float64),
        class_ids=np.array(classes, np.int64),
        states=states if any(states) else (),
    )


def _get_int(place: str, content: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = content.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SourceError(f"{place}: {key} must be a whole number from {low}: got {str(value)[:50]}")
    return value


def _get_box(place: str, track: Mapping[str, Any]) -> list[float]:
    box = track.get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        raise SourceError(f"{place}: box must be 4 numbers: got {str(box)[:50]}")
    if min(box[2:]) <= 0:
        raise SourceError(f"{place}: width and height of a box must be positive: got {str(box)[:50]}")
    return [float(value) for value in box]


def _get_score(place: str, track: Mapping[str, Any]) -> float:
    score = track.get("score", 1.0)
    if not _is_finite(score):
        raise SourceError(f"{place}: score must be a number: got {str(score)[:50]}")
    return float(score)


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
