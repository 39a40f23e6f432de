"""Ground truth as text files carry it, read strictly: a doubtful line is an error, never a wrong score.

Three formats are told apart by their columns, whatever separates them (commas, tabs, spaces):

* 4: x, y, width, height of one target, a line for each frame (OTB, HOT); all negative or NaN where it is
  absent.
* 8, in a file named ``groundtruth.txt``: the corners of one target, a line for each frame (VOT); its box is
  the upright one around them.
* 6 and more: frame, id, x, y, width, height, confidence, class, … of one object (MOT, SatVideoDT); frames
  count from 1, an object with confidence 0 is left out, classes count from 1.

Numbers are taken as pixels of this package's geometry, as they are written.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.geometry import as_boxes

FILE_NAMES = ("groundtruth_rect.txt", "groundtruth.txt", "gt.txt", "gt/gt.txt")

Malformed = Literal["raise", "skip"]
Truth = TypeVar("Truth")

_CORNERS_FILE = "groundtruth.txt"
_CORNERS_COLUMNS = 8
_RECT_COLUMNS = 4
_MOT_COLUMNS = 6


class _Doubtful(ValueError):
    """Why a line cannot be believed."""


@dataclass(frozen=True)
class _Line:
    number: int
    words: tuple[str, ...]
    columns: int

    @property
    def values(self) -> tuple[float, ...]:
        if len(self.words) != self.columns:
            raise _Doubtful(f"{len(self.words)} columns, the first line has {self.columns}")
        try:
            return tuple(float(word) for word in self.words)
        except ValueError:
            raise _Doubtful(f"not numbers: {' '.join(self.words)!r}") from None


@dataclass
class _Doubts:
    """The lines that cannot be believed, and why."""

    reasons: list[tuple[int, str]] = field(default_factory=list)

    def note(self, line: _Line, reason: str) -> None:
        self.reasons.append((line.number, reason))

    def believed(self, line: _Line, read: Callable[[tuple[float, ...]], Truth]) -> Truth | None:
        """What a line says, or None where it cannot be believed."""
        try:
            return read(line.values)
        except _Doubtful as doubt:
            self.note(line, str(doubt))
            return None


@dataclass(frozen=True)
class _Object:
    frame: int
    id: int
    class_id: int
    box: tuple[float, ...]
    counts: bool = True


def find_ground_truth(folder: Path) -> Path | None:
    """The ground truth of a folder of frames: a file of one of the usual names in it, or beside it."""
    candidates = [place / name for place in (folder, folder.parent) for name in FILE_NAMES]
    return next((path for path in candidates if path.is_file()), None)


def read_ground_truth(
    path: Path, frames: int, *, class_names: Sequence[str] = (), malformed: Malformed = "raise"
) -> list[GroundTruth | None]:
    """The truth of each of a sequence's ``frames`` frames.

    Args:
        path: of the text file.
        frames: how many frames the sequence has.
        class_names: of the classes that the file numbers from 1; without them all objects are of class 0.
        malformed: ``skip`` leaves out lines that cannot be believed; a frame with such a line has no truth.

    Raises:
        SourceError: a line cannot be believed; the message names the file and the line.
    """
    if malformed not in get_args(Malformed):
        raise ValueError(f"malformed is {malformed!r}, known are {', '.join(get_args(Malformed))}")
    lines = _lines(path)
    columns = lines[0].columns
    doubts = _Doubts()
    if columns == _RECT_COLUMNS or (columns == _CORNERS_COLUMNS and path.name == _CORNERS_FILE):
        truth = _one_target(lines, frames, doubts)
    elif columns >= _MOT_COLUMNS:
        truth = _many_objects(lines, frames, class_names, doubts)
    else:
        raise SourceError(
            f"{path}:{lines[0].number}: {columns} columns; known are x,y,w,h (4), corners (8, in a file "
            f"named {_CORNERS_FILE}) and frame,id,x,y,w,h,… (6 or more)"
        )
    if doubts.reasons and malformed == "raise":
        line, reason = doubts.reasons[0]
        more = f" (and {len(doubts.reasons) - 1} more lines)" if len(doubts.reasons) > 1 else ""
        raise SourceError(f"{path}:{line}: {reason}{more}")
    return truth


def _lines(path: Path) -> list[_Line]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read as text: {error}") from error
    words = [re.findall(r"[^,;\s]+", line) for line in text.splitlines()]
    columns = next((len(found) for found in words if found), 0)
    if not columns:
        raise SourceError(f"{path}: no ground truth in it, the file is empty")
    return [_Line(number, tuple(found), columns) for number, found in enumerate(words, start=1) if found]


def _one_target(lines: list[_Line], frames: int, doubts: _Doubts) -> list[GroundTruth | None]:
    """One line a frame."""
    if len(lines) != frames:
        surplus = lines[min(frames, len(lines) - 1)]
        doubts.note(surplus, f"{len(lines)} lines of ground truth for {frames} frames")
    truth = [doubts.believed(line, _target) for line in lines[:frames]]
    return truth + [None] * (frames - len(truth))


def _many_objects(
    lines: list[_Line], frames: int, class_names: Sequence[str], doubts: _Doubts
) -> list[GroundTruth | None]:
    """One line an object and frame."""
    objects: dict[int, dict[int, _Object]] = defaultdict(dict)
    doubtful_frames = set()
    for line in lines:
        found = doubts.believed(line, lambda values: _object(values, frames, class_names))
        if found is None:
            doubtful_frames.add(_frame_at_least(line))
        elif found.id in objects[found.frame]:
            doubts.note(line, f"object {found.id} is in frame {found.frame} twice")
            doubtful_frames.add(found.frame)
        else:
            objects[found.frame][found.id] = found
    return [
        None if frame in doubtful_frames else _truth([o for o in objects[frame].values() if o.counts])
        for frame in range(1, frames + 1)
    ]


def _frame_at_least(line: _Line) -> float:
    """The frame of a line of which nothing else may be believed; NaN if not even that."""
    try:
        return float(line.words[0])
    except ValueError:
        return math.nan


def _truth(objects: list[_Object]) -> GroundTruth:
    return GroundTruth(
        ids=np.array([found.id for found in objects], np.int64),
        class_ids=np.array([found.class_id for found in objects], np.uint8),
        boxes=as_boxes([found.box for found in objects]),
    )


def _target(values: tuple[float, ...]) -> GroundTruth:
    """The one target of a line of rectangle or corners, if it is there."""
    if all(math.isnan(value) for value in values) or all(value < 0 for value in values):
        return GroundTruth()
    if len(values) == _CORNERS_COLUMNS:
        left, right = min(values[::2]), max(values[::2])
        top, bottom = min(values[1::2]), max(values[1::2])
        values = (left, top, right - left, bottom - top)
    return _truth([_Object(0, 1, 0, _with_area(values))])


def _object(values: tuple[float, ...], frames: int, class_names: Sequence[str]) -> _Object:
    frame, number = values[:2]
    confidence = values[6] if len(values) > 6 else 1
    class_number = values[7] if len(values) > 7 else 1
    if not all(math.isfinite(value) for value in (frame, number, class_number)):
        raise _Doubtful("frame, id or class is no number")
    if frame != int(frame) or not 1 <= frame <= frames:
        raise _Doubtful(f"frame {frame:g}, but frames count from 1 to {frames}")
    if number != int(number) or number < 0:
        raise _Doubtful(f"id {number:g} is not a whole number from 0")
    if class_names and not 1 <= class_number <= len(class_names):
        known = ", ".join(class_names)
        raise _Doubtful(f"class {class_number:g}, but the classes are 1 to {len(class_names)}: {known}")
    class_id = int(class_number) - 1 if class_names else 0
    return _Object(int(frame), int(number), class_id, _with_area(values[2:6]), counts=confidence != 0)


def _with_area(box: tuple[float, ...]) -> tuple[float, ...]:
    if not all(math.isfinite(value) for value in box) or box[2] <= 0 or box[3] <= 0:
        raise _Doubtful(f"no box: x, y, width, height = {', '.join(f'{value:g}' for value in box)}")
    return box
